"""The console: where people look at cases, decide and act. It detects nothing and holds no findings itself.

A `UserRole` says who may do what. What only a running gateway knows or can do is a `Deployment`; the console
asks it and never imports it. Times are UTC microseconds.
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
    """It cannot be done so; the message says what can."""


class Unavailable(ConsoleError):
    """It needs a running gateway, or something that this deployment does not keep."""


class UserRole(IntEnum):
    """What a person may do; each may do all that those below may."""

    READER = 1  # look at cases and pages, never at prompts
    ANALYST = 2  # work on cases, take small steps, ask for big ones, see prompts with a reason, use SQL
    APPROVER = 3  # approve what another person asked for


@dataclass(frozen=True)
class User:
    """A person who may log in."""

    name: str
    role: UserRole
    created_us: int
    disabled_us: int | None = None


@dataclass(frozen=True)
class NearbyAccount:
    """An account near a step, by what is known of it. None: nothing says."""

    account: str
    org: str | None = None
    step: str = "clear"  # what stands for it now
    kind_of_use: str | None = None  # as the detector reads its traffic
    campaign: str | None = None  # that the detector counts it to
    exchanges: int | None = None  # of the last days, as the two below
    output_tokens: int | None = None
    end_users: int | None = None
    shares: tuple[str, ...] = ()  # with an account that is hit; such a one is not touched itself


@dataclass(frozen=True)
class AffectedEndUser:
    """A person below an account that is hit: who would feel it, whether or not the account is guilty."""

    account: str
    end_user: str
    exchanges: int


@dataclass(frozen=True)
class StepImpact:
    """Whom a step would hit, and who stands near and would not be touched. None: that could not be told."""

    accounts: tuple[str, ...]  # whose standing would change
    unchanged: tuple[str, ...] = ()  # on that step already
    unknown: tuple[str, ...] = ()  # nothing is known of them: no key, no exchange on record
    keys: int | None = None  # working keys of the accounts hit
    end_users: int | None = None  # below them in the last days
    same_org: tuple[str, ...] = ()  # other accounts of their organisations
    same_end_user: int | None = None  # other accounts that some of those end users use too
    same_network: int | None = None  # other accounts seen behind an address of theirs
    notes: tuple[str, ...] = ()
    hit: tuple[NearbyAccount, ...] = ()  # of `accounts`, those with most exchanges
    near: tuple[NearbyAccount, ...] = ()  # of those not touched, those that share most
    users: tuple[AffectedEndUser, ...] = ()  # of the end users hit, those with most exchanges


@dataclass(frozen=True)
class Proposed:
    """A step that the terms' ladder asks for."""

    number: int
    at_us: int
    campaign: str
    step: Step
    rule: str
    why: str
    accounts: tuple[str, ...]
    due_us: int | None  # it is taken by itself then; None: it waits for a person


@dataclass(frozen=True)
class ComponentHealth:
    """One part of the deployment and how it does: `ok`, `degraded` or `failing`, with a sentence."""

    name: str
    status: str
    text: str


@dataclass(frozen=True)
class Lost:
    """A span that is not on record."""

    from_us: int
    until_us: int
    exchanges: int | None
    why: str


@dataclass(frozen=True)
class InForce:
    """The terms in force and their texts, newest first. `error` says why the file on disk is not in force."""

    terms: Terms
    sha256: str
    error: str | None
    texts: tuple[HistoryEntry, ...]


@dataclass(frozen=True)
class CapturedExchange:
    """What was asked and answered in one exchange, where texts are kept."""

    at_us: int
    exchange_id: str
    model: str
    user_agent: str
    prompt: str
    completion: str


@runtime_checkable
class Recording(Protocol):
    """A deployment that has exchanges on record: the console's SQL then reaches them, without texts."""

    def captured_files(self) -> Sequence[Path]:
        """Give the Parquet files of what was captured, oldest first."""

    def accounts_table(self) -> "pa.Table | None":
        """Give what is known of accounts in the ACCOUNTS schema; None where nothing is."""


@runtime_checkable
class StepRecord(Protocol):
    """A deployment that keeps who took steps, wherever they were taken: such a person decides no appeal."""

    def step_authors(self, accounts: Collection[str]) -> Mapping[str, str]:
        """Give who ever set a step on some of the accounts, and which: "set action 3"."""


class Deployment(Protocol):
    """What stands behind the console. `folder.Folder` is the one without a gateway.

    A method that needs what is not there raises Unavailable with the reason; `acts` is that reason for steps,
    None where they can be taken. Numbers are the deployment's own.
    """

    name: str

    @property
    def acts(self) -> str | None: ...

    def standings(self, accounts: Collection[str]) -> Mapping[str, EnforcementStatus]:
        """Give what stands for those of the accounts that are not clear."""

    def reach(self, accounts: Sequence[str], step: Step, now_us: int) -> StepImpact:
        """Say whom a step on these accounts would hit. It changes nothing."""

    def act(
        self, accounts: Sequence[str], standing: EnforcementStatus, who: str, why: str, now_us: int
    ) -> int:
        """Set one standing for all the accounts or none; give the action's number."""

    def undo(self, action: int, who: str, why: str, now_us: int) -> int:
        """Take an action back, so that what lay below it stands again; give the number of the undoing."""

    def proposals(self, accounts: Collection[str] | None = None) -> Sequence[Proposed]:
        """Give the steps that the ladder asks for now, of all or of some accounts."""

    def approve(self, proposal: int, who: str, why: str, now_us: int) -> int | None:
        """Take the step that a proposal asks for; give the action's number, None where nothing was left."""

    def dismiss(self, proposal: int, who: str, why: str, now_us: int) -> None:
        """Close a proposal: that step is not asked for on these accounts again."""

    def in_force(self) -> bool:
        """Say whether every worker goes by the steps that were taken; waits a second for those who do not."""

    def terms(self) -> InForce:
        """Give the terms in force with their history."""

    def health(self, now_us: int) -> Sequence[ComponentHealth]:
        """Say how each part does now."""

    def not_seen(self, now_us: int) -> Sequence[str]:
        """Say what the findings cannot show: days that memory does not hold, a detector that is behind."""

    def gaps(self) -> Sequence[Lost]:
        """Give the spans that are not on record, newest first."""

    def verdict(self, account: str) -> AccountVerdict | None:
        """Give what the last scan says of an account; None where it says nothing."""

    def captured_texts(self, account: str, limit: int) -> Sequence[CapturedExchange]:
        """Give the newest texts of an account. The caller has put on record who asked, and why."""
