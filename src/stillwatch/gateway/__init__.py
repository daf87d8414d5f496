"""`stillwatch serve`: a gateway in front of a model API that captures, enforces the policy, and detects live.

Its processes communicate only through files in one folder.
"""

from dataclasses import dataclass, field

from stillwatch.terms import EnforcementStatus
from stillwatch.terms.holds import HoldSchedule


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One issued client key. The key itself is not stored: `digest` is keyed with the folder's secret."""

    key_id: str  # the public part of the key
    digest: bytes
    account: str
    number: int  # of the account, dense from 0: its index in the workers' shared budgets
    org: str | None = None
    disabled: bool = False
    expires_us: int | None = None


@dataclass(frozen=True)
class Tables:
    """A worker's lookup tables. The supervisor publishes them whole, and the worker swaps them whole."""

    revision: int
    keys: dict[str, KeyEntry] = field(default_factory=dict)  # by key_id
    standings: dict[str, EnforcementStatus] = field(default_factory=dict)  # by account
    holds: dict[str, HoldSchedule] = field(default_factory=dict)  # by account: those that may be held
    generation: str = field(default="", compare=False)  # of the state; see `control.mark`
