"""What people work on: one case for each actor over time. Cases neither find campaigns nor enforce anything.

Times are UTC microseconds. `store` holds the data; these are its types.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stillwatch.errors import StillwatchError


class CaseError(StillwatchError):
    """A case cannot be changed this way: somebody else was faster, or the change is invalid."""


class StaleRevision(CaseError):
    """Somebody else changed it after the caller read it."""


class SecondPersonNeeded(CaseError):
    """This person has dismissed many cases within a day: a second person must agree."""


MACHINE = "stillwatch"  # the actor of acts caused by findings
LEAD = "lead-"  # prefix of lead ids
Json = dict[str, Any]  # a JSON object


class DatabaseUnreachable(CaseError):
    """The database did not answer, or could not be written; a retry may succeed."""


class RecordNotFound(CaseError):
    """There is no such case, act or account."""


class CaseState(StrEnum):
    """The state of a case."""

    NEW = "new"  # nobody has looked at it
    OPEN = "open"  # somebody works on it
    CLOSED = "closed"  # judged; new activity re-opens it


class Verdict(StrEnum):
    """A person's conclusion on a case or on one of its accounts."""

    TRUE = "true"
    FALSE = "false"
    SUSPICIOUS = "suspicious"
    PERMITTED = "permitted"
    VICTIM = "victim"  # of accounts only: the owner of a stolen key is not the thief


@dataclass(frozen=True)
class Case:
    """One actor's case in its present state."""

    id: str
    title: str  # one sentence with numbers
    state: CaseState
    verdict: Verdict | None
    owner: str | None
    opened_us: int
    updated_us: int  # the last finding or act
    due_us: int | None
    campaign: str  # id of the latest finding
    accounts: tuple[str, ...]  # the actor's, without victims; empty in lists of cases: see `members`
    p_value: float
    exchanges: int  # of the harvest, over all findings, including use of stolen keys
    output_tokens: int
    reopened: int  # how often the actor returned
    suppressed_until_us: int | None
    revision: int  # increases with every change: writers name the one they saw
    members: int = 0  # how many accounts
    victims: int = 0  # accounts of others that the actor used
    cleared: int = 0  # accounts judged not to be the actor's
    suppressed_by: str | None = None  # who is responsible for it
    suppressed_why: str | None = None
    appeal: str | None = None  # the customer's text, while it is open
    merged_into: str | None = None  # the case that continues with this actor
    split_from: str | None = None
    first_us: int | None = None  # the earliest hour of the harvest
    last_us: int | None = None
    score_bits: float = 0.0
    permission: str | None = None  # permission by which the latest finding is suppressed
    raised_by: str = ""  # the detector whose alarm is the latest finding

    @property
    def rests_on_lead(self) -> bool:
        """Whether a person opened it from a lead and no finding names it yet: no action may rest on it."""
        return self.campaign.startswith(LEAD)


@dataclass(frozen=True)
class Member:
    """An account in a case."""

    account: str
    since_us: int  # first named
    last_us: int  # last named by a finding
    named: bool  # by the case's latest finding
    exchanges: int  # of the account in the scanned log
    verdict: Verdict | None  # of the account, where it has its own
    actor: bool  # counted as the actor's own: may be acted on
    tied: bool  # tied strongly enough to act on it (Campaign.firm)
    provisional: bool  # seen only between two full evaluations
    moved_to: str | None  # left for this case


@dataclass(frozen=True)
class Finding:
    """The result of one scan on a case's actor."""

    id: int
    case: str
    at_us: int  # when it was added
    source: str  # the scan, or `serve`
    campaign: str
    digest: str  # SHA-256 of the campaign as it was found
    alarm_us: int
    p_value: float
    exchanges: int
    output_tokens: int
    accounts: int


@dataclass(frozen=True)
class Act:
    """Something that a person did to a case."""

    id: int
    case: str
    at_us: int
    who: str
    verb: str
    text: str  # the reason, or the note
    sets: dict[str, Any]  # facet -> value
    undoes: int | None  # the act that this one undoes
    in_force: bool
    revision: int


class DetectorState(StrEnum):
    """What a detector's alarm may do. Raised only with evidence; anybody may lower it."""

    SHADOW = "shadow"  # measured, shown on request
    ALERT = "alert"  # a person is notified
    ACT = "act"  # reversible actions of the ladder may be taken automatically
