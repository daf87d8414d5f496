"""What people work on: one case for each actor over time. It does not find campaigns, and enforces nothing.

Times are UTC microseconds. What is stored is in `store`; these are the nouns.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stillwatch.errors import StillwatchError


class CaseError(StillwatchError):
    """A case cannot be changed so: somebody else was faster, or it makes no sense."""


class StaleRevision(CaseError):
    """Somebody else changed it since the caller looked."""


class SecondPersonNeeded(CaseError):
    """Who does it has dismissed much within a day: it takes somebody else who agrees."""


MACHINE = "stillwatch"  # who acts when findings do
LEAD = "lead-"  # what ids of leads begin with
Json = dict[str, Any]  # an object of JSON


class DatabaseUnreachable(CaseError):
    """The database did not answer, or could not be written; the same may work in a moment."""


class RecordNotFound(CaseError):
    """There is no such case, act or account."""


class CaseState(StrEnum):
    """Where a case stands."""

    NEW = "new"  # nobody has looked
    OPEN = "open"  # somebody works on it
    CLOSED = "closed"  # judged; what comes back re-opens it


class Verdict(StrEnum):
    """What a person found, of a case or of one of its accounts."""

    TRUE = "true"
    FALSE = "false"
    SUSPICIOUS = "suspicious"
    PERMITTED = "permitted"
    VICTIM = "victim"  # of accounts only: a stolen customer key is not the thief


@dataclass(frozen=True)
class Case:
    """One actor's case as it is now."""

    id: str
    title: str  # one sentence with numbers
    state: CaseState
    verdict: Verdict | None
    owner: str | None
    opened_us: int
    updated_us: int  # the last finding or the last hand on it
    due_us: int | None
    campaign: str  # id of the latest finding
    accounts: tuple[str, ...]  # the actor's, without victims; in lists of cases left out: see `members`
    p_value: float
    exchanges: int  # of the harvest, over all findings; what was taken through stolen keys is in it
    output_tokens: int
    reopened: int  # how often it came back
    suppressed_until_us: int | None
    revision: int  # raised with every change: writers say which one they saw
    members: int = 0  # how many accounts
    victims: int = 0  # accounts of others that the actor used
    cleared: int = 0  # accounts judged not to be the actor's
    suppressed_by: str | None = None  # who answers for it
    suppressed_why: str | None = None
    appeal: str | None = None  # what the customer says, while it is open
    merged_into: str | None = None  # the case that goes on with this actor
    split_from: str | None = None
    first_us: int | None = None  # the earliest hour of the harvest
    last_us: int | None = None
    score_bits: float = 0.0
    permission: str | None = None  # that the latest finding says suppresses it
    raised_by: str = ""  # the detector whose alarm the latest finding is

    @property
    def rests_on_lead(self) -> bool:
        """Whether a person opened it from a lead, and no finding names it yet: no step may rest on it."""
        return self.campaign.startswith(LEAD)


@dataclass(frozen=True)
class Member:
    """An account in a case."""

    account: str
    since_us: int  # named first
    last_us: int  # when a finding named it last
    named: bool  # by the case's latest finding
    exchanges: int  # of the account in the scanned log
    verdict: Verdict | None  # of the account, where it has its own
    actor: bool  # counted as the actor's own: may be acted on
    tied: bool  # enough ties it to act on it (Campaign.firm)
    provisional: bool  # seen between two full looks only
    moved_to: str | None  # left for this case


@dataclass(frozen=True)
class Finding:
    """What one scan said about a case's actor."""

    id: int
    case: str
    at_us: int  # when it was folded in
    source: str  # which scan, or `serve`
    campaign: str
    digest: str  # SHA-256 of the campaign as it was found
    alarm_us: int
    p_value: float
    exchanges: int
    output_tokens: int
    accounts: int


@dataclass(frozen=True)
class Act:
    """What somebody did to a case."""

    id: int
    case: str
    at_us: int
    who: str
    verb: str
    text: str  # why, or the note
    sets: dict[str, Any]  # facet -> value
    undoes: int | None  # the act that this one takes back
    in_force: bool
    revision: int


class DetectorState(StrEnum):
    """What a detector's alarm may do. Raised by evidence only; anybody may lower it."""

    SHADOW = "shadow"  # measured, shown to who asks
    ALERT = "alert"  # a person is told
    ACT = "act"  # a machine may take the reversible steps of the ladder by itself
