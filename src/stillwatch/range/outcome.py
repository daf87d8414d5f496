"""The results of one defence on one composed log: per campaign and kind of honest use.

Exchanges and tokens are those answered with status 200; tokens are output tokens unless stated otherwise.
"""

from dataclasses import dataclass

from stillwatch.range.linkage import Linkage


@dataclass(frozen=True)
class Fate:
    """The result for one campaign."""

    campaign: str
    style: str
    accounts: int
    exchanges: int  # its size without a defence
    tokens: int
    touched: bool  # whether a true case holds one of its accounts
    named: int  # of its accounts, in true cases
    alarm_us: int | None  # of the first true case that holds one
    before_alarm: int
    before_alarm_tokens: int
    out: int  # before containment: each account stops at its own naming; refused requests do not count
    out_tokens: int
    examples: int  # of those: complete answers to different prompts
    examples_undefended: int
    usd: float  # the attacker's cost of its accounts and of what got out
    usd_undefended: float

    @property
    def is_exposed(self) -> bool:
        return 2 * self.named >= self.accounts


@dataclass(frozen=True)
class Collateral:
    """The effect on one kind of honest use."""

    kind: str
    accounts: int
    named: int
    exchanges: int
    tokens: int
    refused: int
    refused_tokens: int
    false_cases: int  # cases whose honest accounts are mostly of this kind


@dataclass(frozen=True)
class ScoredPeople:
    """The people in a log's honest traffic: of `source` those from `low` up to `high` (partition.py)."""

    source: str
    low: float = 0.0
    high: float = 1.0

    def overlaps(self, other: "ScoredPeople") -> bool:
        """Return whether the two have people in common.

        >>> ScoredPeople("sample", 0.0, 0.5).overlaps(ScoredPeople("sample", 0.5, 1.0))
        False
        """
        return self.source == other.source and max(self.low, other.low) + 1e-9 < min(self.high, other.high)


@dataclass(frozen=True)
class SceneOutcome:
    """One scene, composed with one seed, judged by one defence."""

    scene: str
    seed: int
    defence: str
    campaigns: tuple[Fate, ...]
    cases: int
    false_cases: int
    false_cases_permitted: int  # naming accounts with a permission and no other honest ones; counted apart
    false_cases_clean: int  # of the false cases, those in the clean days
    account_days: int  # honest accounts, days with an exchange, after the clean days
    account_days_clean: int
    linked: Linkage  # of cases and campaigns (docs/range.md, "linkage")
    kinds: tuple[Collateral, ...]
    people: ScoredPeople
    cannot_fire: str = ""  # why the defence could do nothing on this log, which is then not counted
