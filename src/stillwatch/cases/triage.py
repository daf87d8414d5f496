"""Changes several cases at once: each by its own act, at the revision that was seen, or not at all.

A case that cannot be changed does not stop the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stillwatch.cases import Case, CaseError, DatabaseUnreachable, SecondPersonNeeded, Verdict, handling
from stillwatch.cases.store import Store
from stillwatch.errors import StillwatchError

MOST_AT_ONCE = 200  # cases
DISMISSALS = (Verdict.FALSE, Verdict.PERMITTED)


@dataclass(frozen=True)
class PickedCase:
    """A case as a person saw it."""

    id: str
    revision: int


@dataclass(frozen=True)
class TriageOutcome:
    """The result for one case: its new state, or why it was not changed."""

    case: str
    now: Case | None = None
    refusal: str | None = None
    needs_second: bool = False  # a second person could do it


def change_each(picked: Sequence[PickedCase], act: Callable[[PickedCase], Case]) -> list[TriageOutcome]:
    """Change each case in turn; once the database is unreachable the rest are not tried."""
    outcomes: list[TriageOutcome] = []
    for case in picked:
        try:
            outcomes.append(TriageOutcome(case.id, act(case)))
        except DatabaseUnreachable as why:
            rest = picked[len(outcomes) :]
            return outcomes + [TriageOutcome(not_done.id, refusal=str(why)) for not_done in rest]
        except StillwatchError as why:
            outcomes.append(TriageOutcome(case.id, None, str(why), isinstance(why, SecondPersonNeeded)))
    return outcomes


def merge_all(
    store: Store,
    picked: Sequence[PickedCase],
    *,
    who: str,
    why: str,
    now_us: int,
    approver: str | None = None,
) -> tuple[str, list[TriageOutcome]]:
    """Merge cases into the one opened first. Return it, and the results for the others.

    Raises: CaseError for fewer than two cases; RecordNotFound.
    """
    if len(picked) < 2:
        raise CaseError("pick at least two cases to merge")
    opened = {picked_case: store.case(picked_case.id, accounts=False).opened_us for picked_case in picked}
    target = min(picked, key=lambda picked_case: (opened[picked_case], picked_case.id))
    revision = target.revision

    def merge(picked_case: PickedCase) -> Case:
        nonlocal revision
        merged = handling.merge(
            store, picked_case.id, target.id, into_revision=revision,
            who=who, why=why, now_us=now_us, if_revision=picked_case.revision, approver=approver,
        )  # fmt: skip
        revision = merged.revision
        return merged

    return target.id, change_each([picked_case for picked_case in picked if picked_case != target], merge)
