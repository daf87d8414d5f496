"""The console: where people view cases, decide and act. It detects nothing and stores no findings itself.

A `UserRole` says what a person may do. Information and functions of a running gateway are behind a
`Deployment`, which the console calls but never imports. Times are UTC microseconds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from stillwatch.errors import StillwatchError
from stillwatch.scan import AccountVerdict
from stillwatch.terms import EnforcementStatus, Step, Terms
from stillwatch.terms.history import HistoryEntry

if TYPE_CHECKING:
    import pyarrow as pa


class ConsoleError(StillwatchError):
    """The operation is not possible this way; the message says what is."""


class Unavailable(ConsoleError):
    """It needs a running gateway, or data that this deployment does not keep."""


class UserRole(IntEnum):
    """What a person may do; each role includes those before it."""

    READER = 1  # view cases and pages, never prompts
    ANALYST = 2  # work on cases, take small actions, request big ones, view prompts with a reason, use SQL
    APPROVER = 3  # approve what another person requested


@dataclass(frozen=True)
class User:
    """A person who may log in."""

    name: str
    role: UserRole
    created_us: int
    disabled_us: int | None = None


@dataclass(frozen=True)
class NearbyAccount:
    """An account related to an action, as far as known. None: unknown."""

    account: str
    org: str | None = None
    step: str = "clear"  # its present enforcement status
    kind_of_use: str | None = None  # the kind that its traffic resembles
    campaign: str | None = None  # its campaign, by the detector
    exchanges: int | None = None  # of the last days, like the two below
    output_tokens: int | None = None
    end_users: int | None = None
    shares: tuple[str, ...] = ()  # shared with an affected account; this account itself is not affected


@dataclass(frozen=True)
class AffectedEndUser:
    """A person below an affected account: would notice the action, whether or not the account is guilty."""

    account: str
    end_user: str
    exchanges: int


@dataclass(frozen=True)
class StepImpact:
    """The accounts that an action affects, and related ones that it does not. None: unknown."""

    accounts: tuple[str, ...]  # whose status would change
    unchanged: tuple[str, ...] = ()  # already in this status
    unknown: tuple[str, ...] = ()  # no key and no exchange on record
    keys: int | None = None  # working keys of the affected accounts
    end_users: int | None = None  # below them in the last days
    same_org: tuple[str, ...] = ()  # other accounts of their organisations
    same_end_user: int | None = None  # other accounts that some of those end users use too
    same_network: int | None = None  # other accounts seen at one of their addresses
    notes: tuple[str, ...] = ()
    hit: tuple[NearbyAccount, ...] = ()  # of `accounts`, those with most exchanges
    near: tuple[NearbyAccount, ...] = ()  # of the accounts not affected, those that share most
    users: tuple[AffectedEndUser, ...] = ()  # of the affected end users, those with most exchanges


@dataclass(frozen=True)
class Proposed:
    """An action that the policy's ladder proposes."""

    number: int
    at_us: int
    campaign: str
    step: Step
    rule: str
    why: str
    accounts: tuple[str, ...]
    due_us: int | None  # when it is taken automatically; None: it waits for a person


@dataclass(frozen=True)
class ComponentHealth:
    """One part of the deployment and its state: `ok`, `degraded` or `failing`, with a sentence."""

    name: str
    status: str
    text: str


@dataclass(frozen=True)
class Lost:
    """A span without records."""

    from_us: int
    until_us: int
    exchanges: int | None
    why: str


@dataclass(frozen=True)
class InForce:
    """The policy in force and its texts, newest first. `error` says why the file on disk is not in force."""

    terms: Terms
    sha256: str
    error: str | None
    texts: tuple[HistoryEntry, ...]


@dataclass(frozen=True)
class CapturedExchange:
    """The texts of one exchange, if they are kept."""

    at_us: int
    exchange_id: str
    model: str
    user_agent: str
    prompt: str
    completion: str


@runtime_checkable
class Recording(Protocol):
    """A deployment with recorded exchanges, which the console's SQL can query, without texts."""

    def captured_files(self) -> Sequence[Path]:
        """Return the Parquet files of recorded exchanges, oldest first."""

    def accounts_table(self) -> "pa.Table | None":
        """Return the known accounts in the ACCOUNTS schema; None if there are none."""


@runtime_checkable
class StepRecord(Protocol):
    """A deployment that knows who took actions, by any route: these people may not decide an appeal."""

    def step_authors(self, accounts: Collection[str]) -> Mapping[str, str]:
        """Return who ever set an action on some of the accounts, and which: "set action 3"."""


class Deployment(Protocol):
    """The system behind the console. `folder.Folder` is the one without a gateway.

    A method that needs something missing raises Unavailable with the reason; `acts` is that reason for
    actions, or None if they can be taken. Numbers are the deployment's own.
    """

    name: str

    @property
    def acts(self) -> str | None: ...

    def standings(self, accounts: Collection[str]) -> Mapping[str, EnforcementStatus]:
        """Return the enforcement status of those of the accounts that are not clear."""

    def reach(self, accounts: Sequence[str], step: Step, now_us: int) -> StepImpact:
        """Return what an action on these accounts would affect, without taking it."""

    def act(
        self, accounts: Sequence[str], standing: EnforcementStatus, who: str, why: str, now_us: int
    ) -> int:
        """Set one status for all the accounts or none; return the action's number."""

    def undo(self, action: int, who: str, why: str, now_us: int) -> int:
        """Undo an action, so that the status before it applies again; return the number of the undoing."""

    def proposals(self, accounts: Collection[str] | None = None) -> Sequence[Proposed]:
        """Return the actions that the ladder proposes now, for all or for some accounts."""

    def approve(self, proposal: int, who: str, why: str, now_us: int) -> int | None:
        """Take a proposed action; return its number, or None if nothing was left to do."""

    def dismiss(self, proposal: int, who: str, why: str, now_us: int) -> None:
        """Close a proposal: that action is not proposed for these accounts again."""

    def in_force(self) -> bool:
        """Return whether every worker has adopted the latest actions, waiting up to a second."""

    def terms(self) -> InForce:
        """Return the policy in force with its history."""

    def health(self, now_us: int) -> Sequence[ComponentHealth]:
        """Return the present state of each part."""

    def not_seen(self, now_us: int) -> Sequence[str]:
        """Return what the findings cannot show: days no longer in memory, a detector that is behind."""

    def gaps(self) -> Sequence[Lost]:
        """Return the spans without records, newest first."""

    def verdict(self, account: str) -> AccountVerdict | None:
        """Return what the last scan says of an account; None if it says nothing."""

    def captured_texts(self, account: str, limit: int) -> Sequence[CapturedExchange]:
        """Return the newest texts of an account. The caller has recorded who requested them, and why."""
