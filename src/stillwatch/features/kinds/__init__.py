"""Kinds of honest heavy use, one file each.

A kind is a description of traffic. It excuses an account only on facts that the provider knows by itself (a
permission it granted, one organisation with one payment). Anything based on the shape of traffic can be
imitated, and each file says how.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Excuses = Literal["nothing", "sharing", "case"]
SHAPE_CEILING = 0.8  # a client can choose its shape, so it counts no more than this
PROVIDER_CEILING = 0.99


@dataclass(frozen=True)
class Sign:
    """The result for one kind: how well it fits (0..1), a sentence with the numbers, what it excuses."""

    confidence: float
    evidence: str
    excuses: Excuses = "nothing"


@dataclass(frozen=True)
class KindOfUse:
    """The kind of use that fits an account best.

    `excuses` is what the kind may set aside by itself: "nothing" (it rests on shape), "sharing" (the provider
    knows why these accounts look alike; they are then one party, and its harvest still counts), or "case"
    (the provider has allowed this use; measuring continues).
    """

    account_code: int
    kind: str
    confidence: float
    evidence: str
    excuses: Excuses = "nothing"


@dataclass(frozen=True)
class AccountRecord:
    """An account's row in the provider's accounts table, with the sizes of its groups."""

    org: str | None = None
    org_accounts: int = 0
    org_payments: int = 0  # payment instruments of the organisation, one for each account without any
    created_us: int | None = None
    tier: str | None = None
    roster_accounts: int = 0  # accounts of the same tier, mail domain and payment
    domain_accounts: int = 0  # accounts with the same mail domain
    domain_education_share: float = 0.0  # share of those that declare education
    declared_use: str | None = None
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """One account to describe: its features and its record."""

    features: Mapping[str, float | None]
    record: AccountRecord = AccountRecord()

    def __getitem__(self, name: str) -> float:
        """The value of a feature; 0 if the log lacks it."""
        value = self.features[name]
        return 0.0 if value is None else float(value)

    def says(self, name: str) -> bool:
        """Return whether the log has a feature's data."""
        return self.features[name] is not None


def declares_education(declared_use: str | None) -> bool:
    """Return whether a declared use mentions education; any customer can declare it."""
    return "educat" in (declared_use or "").lower()
