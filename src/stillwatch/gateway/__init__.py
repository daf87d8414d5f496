"""`stillwatch serve`: a gateway in front of a model API that captures, enforces the terms, and watches live.

Its processes know each other only through files in one folder. It does not know how a campaign is found.
"""

from dataclasses import dataclass, field

from stillwatch.terms import EnforcementStatus
from stillwatch.terms.holds import HoldSchedule


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One client key that was issued. The key is not kept: `digest` is keyed with the folder's secret."""

    key_id: str  # the public part of the key
    digest: bytes
    account: str
    number: int  # of the account, dense from 0: its place in the workers' shared budgets
    org: str | None = None
    disabled: bool = False
    expires_us: int | None = None


@dataclass(frozen=True)
class Tables:
    """What a worker looks up. Published whole by the supervisor, swapped whole by the worker."""

    revision: int
    keys: dict[str, KeyEntry] = field(default_factory=dict)  # by key_id
    standings: dict[str, EnforcementStatus] = field(default_factory=dict)  # by account
    holds: dict[str, HoldSchedule] = field(default_factory=dict)  # by account: those that may be held
    generation: str = field(default="", compare=False)  # of the state; see `control.mark`
