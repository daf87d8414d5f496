"""Several cases at once: each by an act of its own, on the revision that was seen, or not at all.

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
    found: list[TriageOutcome] = []
    for one in picked:
        try:
            found.append(TriageOutcome(one.id, act(one)))
        except DatabaseUnreachable as why:
            rest = picked[len(found) :]
            return found + [TriageOutcome(left.id, refusal=str(why)) for left in rest]
        except StillwatchError as why:
            found.append(TriageOutcome(one.id, None, str(why), isinstance(why, SecondPersonNeeded)))
    return found


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
    opened = {one: store.case(one.id, accounts=False).opened_us for one in picked}
    target = min(picked, key=lambda one: (opened[one], one.id))
    at = target.revision

    def merge(one: PickedCase) -> Case:
        nonlocal at
        done = handling.merge(
            store, one.id, target.id, into_revision=at,
            who=who, why=why, now_us=now_us, if_revision=one.revision, approver=approver,
        )  # fmt: skip
        at = done.revision
        return done

    return target.id, change_each([one for one in picked if one != target], merge)
