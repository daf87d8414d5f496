"""Changes several cases at once: each by an act of its own, at the revision that was seen, or not at all.

A case that cannot be changed keeps none of the others back. It decides nothing itself: `handling` does.
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
    """A case as somebody saw it."""

    id: str
    revision: int


@dataclass(frozen=True)
class TriageOutcome:
    """What came of one case: how it is now, or why it was not changed."""

    case: str
    now: Case | None = None
    refusal: str | None = None
    needs_second: bool = False  # a second person could do it


def change_each(picked: Sequence[PickedCase], act: Callable[[PickedCase], Case]) -> list[TriageOutcome]:
    """Do something to each case in turn; where the database is gone the rest are not tried."""
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
    """Let the case that was opened first go on with the others' actors. Give it, and what came of the others.

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
