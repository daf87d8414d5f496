"""Kinds of honest heavy use, one file each. It knows what an account looks like, never whether it is innocent.

A kind is a description. It excuses an account only where it rests on something the provider knows by itself (a
permission it granted, one organisation with one payment); whatever rests on shape alone can be imitated, and each
file says how.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RestsOn = Literal["shape", "provider"]
SHAPE_CEILING = 0.8  # a shape that a client can choose is never worth more
PROVIDER_CEILING = 0.99


@dataclass(frozen=True)
class Sign:
    """What one kind's file found: how well it fits (0..1), a sentence with the numbers, and what it rests on."""

    confidence: float
    evidence: str
    rests_on: RestsOn = "shape"


@dataclass(frozen=True)
class Kind:
    """The kind of use an account shows best."""

    account_code: int
    kind: str
    confidence: float
    evidence: str
    rests_on: RestsOn = "shape"

    @property
    def excuses(self) -> bool:
        """Whether the kind may suppress a case by itself; it never suppresses the measurement."""
        return self.rests_on == "provider"


@dataclass(frozen=True)
class Record:
    """What the provider's accounts table says of one account, with the sizes of the groups it is in."""

    org: str | None = None
    org_accounts: int = 0
    org_payments: int = 0  # different payment instruments in the organisation, one per account without any
    created_us: int | None = None
    tier: str | None = None
    roster_accounts: int = 0  # accounts of the same tier, mail domain and payment
    declared_use: str | None = None
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """One account under description: its features and its record."""

    features: Mapping[str, float | None]
    record: Record = Record()

    def __getitem__(self, name: str) -> float:
        """The value of a feature; 0 where the log does not say."""
        value = self.features[name]
        return 0.0 if value is None else float(value)

    def says(self, name: str) -> bool:
        """Whether the log says anything of a feature."""
        return self.features[name] is not None
