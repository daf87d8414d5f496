"""What people work on: one case for each actor over time. It does not find campaigns, and enforces nothing.

Times are UTC microseconds. What is stored is in `store`; these are the nouns.
"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.errors import StillwatchError


class CaseError(StillwatchError):
    """A case cannot be changed so: somebody else was faster, or it makes no sense."""


class State(StrEnum):
    """Where a case stands."""

    NEW = "new"  # nobody has looked
    OPEN = "open"  # somebody works on it
    CLOSED = "closed"  # judged; what comes back re-opens it


class Verdict(StrEnum):
    """What a person found."""

    TRUE = "true"
    FALSE = "false"
    SUSPICIOUS = "suspicious"
    PERMITTED = "permitted"
    VICTIM = "victim"  # a stolen customer key is not the thief


@dataclass(frozen=True)
class Case:
    """One actor's case as it is now."""

    id: str
    title: str  # one sentence with numbers
    state: State
    verdict: Verdict | None
    owner: str | None
    opened_us: int
    updated_us: int  # the last finding or the last hand on it
    due_us: int | None
    campaign: str  # id of the latest finding
    accounts: tuple[str, ...]
    p_value: float
    exchanges: int  # of the harvest
    output_tokens: int
    reopened: int  # how often it came back
    suppressed_until_us: int | None
    revision: int  # raised with every change: writers say which one they saw
