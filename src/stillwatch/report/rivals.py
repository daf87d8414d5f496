"""Honest explanations of a finding as a matrix: how far each was checked, the result, what would change it.

The checks themselves are in `scan.alternatives`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from stillwatch.scan import BenignAlternative

CHECKED, OPEN, NOT_CHECKABLE, NO_MATTER = "checked", "open", "not checkable", "does not apply"
_WOULD_CHANGE = {  # by the beginning of the kind
    "one organisation": "a contract or a register that shows that the accounts are one organisation's, and "
    "terms that allow its work",
    "permitted": "a permission for synthetic data that was in force at the time",
    "a class": "a school or a course that confirms its students, and its exercise",
    "stolen keys": "what the keys' owners say, a place where the keys were published, or requests of their "
    "own that go on from elsewhere; such accounts are victims",
    "a new public template": "the publication that the wording is from, and its date",
    "one program": "the program's name and version, and that others who use it send the same wording and "
    "settings",
    "an evaluation": "the name of the test set, and results that were published or can be shown",
    "an application": "the application, its users, and requests that follow from what its users did",
}
_ELSE = "facts about the accounts' use that the log does not hold"


@dataclass(frozen=True)
class Rival:
    """One honest explanation."""

    kind: str
    state: str  # CHECKED, OPEN (required input was missing), NOT_CHECKABLE from a log, NO_MATTER
    result: str
    would_change: str  # evidence that would change the assessment


def rival(kind: str, text: str) -> Rival:
    """Return how far an explanation was checked.

    >>> rival("one organisation", "not checked: no accounts table was given (--accounts)").state
    'open'
    """
    state = CHECKED
    if text.endswith("does not apply"):
        state = NO_MATTER
    elif text.startswith("not checked"):
        state = OPEN if "was given" in text else NOT_CHECKABLE
    change = next(
        (text_of_change for begins, text_of_change in _WOULD_CHANGE.items() if kind.startswith(begins)), _ELSE
    )
    return Rival(kind, state, text.removeprefix("not checked: "), change)


def rivals(alternatives: Iterable[BenignAlternative]) -> tuple[Rival, ...]:
    """Return the matrix of a campaign."""
    return tuple(rival(alternative.kind, alternative.text) for alternative in alternatives)
