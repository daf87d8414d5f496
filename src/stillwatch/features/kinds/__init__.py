"""Kinds of honest heavy use, one file each.

A kind is a description. It excuses an account only where it rests on something the provider knows by itself
(a permission it granted, one organisation with one payment); whatever rests on shape alone can be imitated,
and each file says how.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Excuses = Literal["nothing", "sharing", "case"]
SHAPE_CEILING = 0.8  # a shape that a client can choose is never worth more
PROVIDER_CEILING = 0.99


@dataclass(frozen=True)
class Sign:
    """What one kind's file found: how well it fits (0..1), a sentence with the numbers, what it excuses."""

    confidence: float
    evidence: str
    excuses: Excuses = "nothing"


@dataclass(frozen=True)
class KindOfUse:
    """The kind of use an account shows best.

    `excuses` says what the kind may set aside by itself: "nothing" (it rests on shape), "sharing" (the
    provider knows why these accounts look alike; they are then one party, and its harvest still counts), or
    "case" (the provider has allowed this use; measuring goes on).
    """

    account_code: int
    kind: str
    confidence: float
    evidence: str
    excuses: Excuses = "nothing"


@dataclass(frozen=True)
class AccountRecord:
    """What the provider's accounts table says of one account, with the sizes of the groups it is in."""

    org: str | None = None
    org_accounts: int = 0
    org_payments: int = 0  # different payment instruments in the organisation, one per account without any
    created_us: int | None = None
    tier: str | None = None
    roster_accounts: int = 0  # accounts of the same tier, mail domain and payment
    domain_accounts: int = 0  # accounts with the same mail domain
    domain_education_share: float = 0.0  # how many of those declare education
    declared_use: str | None = None
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """One account under description: its features and its record."""

    features: Mapping[str, float | None]
    record: AccountRecord = AccountRecord()

    def __getitem__(self, name: str) -> float:
        """The value of a feature; 0 where the log does not say."""
        value = self.features[name]
        return 0.0 if value is None else float(value)

    def says(self, name: str) -> bool:
        """Return whether the log says anything of a feature."""
        return self.features[name] is not None


def declares_education(declared_use: str | None) -> bool:
    """Return whether a declared use speaks of education; anybody can declare it."""
    return "educat" in (declared_use or "").lower()
