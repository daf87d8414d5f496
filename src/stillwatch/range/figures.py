"""The content of a score: figures over campaigns, a row per campaign, and both as text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from stillwatch.scan.milestones import S1K

BIG = S1K.exchanges  # answered exchanges, from which a campaign must be exposed


@dataclass(frozen=True)
class FigureSpread:
    """Median, ninth decile and worst of one figure over campaigns."""

    median: float
    p90: float
    worst: float


@dataclass(frozen=True)
class CampaignRow:
    """The result for one campaign. `n`, `harvest` and tokens count exchanges answered with status 200."""

    campaign: str
    style: str
    accounts: int
    n: int
    caught: bool
    alarm_at: str | None
    harvest: int  # what had left before the first true finding; everything, if there was none
    harvest_tokens: int
    harvest_share: float
    tokens_share: float
    named: int
    named_share: float
    lost_share: float  # lost even if every named account is stopped at its alarm

    @property
    def is_exposed(self) -> bool:
        return self.named_share >= 0.5


@dataclass(frozen=True)
class KindCases:
    cases: int
    per_10k: float


@dataclass(frozen=True)
class Score:
    """The reference scorer's figures under its own names, then ours (from `exposed_big` on)."""

    campaigns: int
    caught: int
    by_style: dict[str, str]
    harvest_exchanges_all: FigureSpread | None
    harvest_exchanges_caught: FigureSpread | None
    harvest_share_all: FigureSpread | None
    harvest_share_caught: FigureSpread | None
    harvest_tokens_all: FigureSpread | None
    harvest_tokens_caught: FigureSpread | None
    total_share_lost: float | None
    lost_if_named_accounts_are_stopped: float | None
    half_named: int
    named_share_mean: float | None
    named_accounts: int
    campaign_accounts: int
    findings: int
    false_cases: int
    false_cases_permitted_synthetic: int
    benign_active_account_days: int
    account_days_of_existence: int
    false_per_10k_active_account_days: float
    false_per_10k_week2_active_account_days: float
    false_per_10k_account_days_of_existence: float
    false_by_kind: dict[str, KindCases]
    benign_named: int
    benign_named_by_kind: dict[str, int]
    permitted_named: int
    pair_precision: float | None
    pair_recall: float | None
    bcubed_precision: float | None
    bcubed_recall: float | None
    bcubed_f1: float | None
    exposed_big: int  # of the campaigns with at least BIG answered exchanges
    big: int
    honest_in_true_findings: int
    lost_if_stopped_when_named: float | None  # as lost_if_named..., but each account from its own named_at on
    rows: tuple[CampaignRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the reference scorer's keys, without rows: what `score.py --json` prints, without NaN."""
        row = asdict(self)
        return {f.name: row[f.name] for f in fields(self)[:_OURS]}

    def table(self) -> str:
        """Format the score: a table of campaigns, then the target figures, one per line."""
        return "\n".join([*_columns(self.rows), "", *_sentences(self)]) + "\n"

    def beyond(self) -> dict[str, Any]:
        """Return the figures that the reference scorer lacks."""
        row = asdict(self)
        return {f.name: row[f.name] for f in fields(self)[_OURS:-1]}


_OURS = [f.name for f in fields(Score)].index("exposed_big")


HEADS = ("campaign", "style", "accounts", "named", "answered", "alarm (UTC)", "harvest", "lost", "")


def _columns(rows: Sequence[CampaignRow]) -> list[str]:
    if not rows:
        return ["no campaign in this scene"]
    cells = [HEADS]
    for r in rows:
        alarm = "never" if r.alarm_at is None else r.alarm_at[5:16].replace("T", " ")
        verdict = "exposed" if r.is_exposed else ("touched" if r.caught else "missed")
        accounts, named, answered, harvest = (f"{n:,}" for n in (r.accounts, r.named, r.n, r.harvest))
        lost = f"{r.lost_share:.0%}"
        cells.append((r.campaign, r.style, accounts, named, answered, alarm, harvest, lost, verdict))
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADS))]
    left = (0, 1, 5, 8)
    return [
        "  ".join(
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _sentences(s: Score) -> list[str]:
    harvest = s.harvest_exchanges_all
    before = "-" if harvest is None else f"median {harvest.median:,.0f}, worst {harvest.worst:,.0f}"
    f1 = "-" if s.bcubed_f1 is None else f"{s.bcubed_f1:.3f}"
    kinds = ", ".join(f"{k} {v.cases}" for k, v in s.false_by_kind.items()) or "none"
    honest = ", ".join(f"{k} {v}" for k, v in s.benign_named_by_kind.items()) or "none"
    lines = [
        (
            "campaigns exposed",
            f"{s.half_named} of {s.campaigns}; {s.exposed_big} of {s.big} with >= {BIG:,} answered",
        ),
        ("harvest before the alarm", f"{before} exchanges (a campaign without alarm counts in full)"),
        ("lost, named accounts stopped", _share(s.lost_if_named_accounts_are_stopped)),
        ("  each from its own naming on", _share(s.lost_if_stopped_when_named)),
        (
            "false cases",
            f"{s.false_cases}, {s.false_per_10k_active_account_days} per 10,000 account-days ({kinds})",
        ),
        ("permitted data, cases", f"{s.false_cases_permitted_synthetic}"),
        ("honest accounts named", f"{s.benign_named} beside {s.named_accounts} of campaigns ({honest})"),
        ("  inside true findings", f"{s.honest_in_true_findings}"),
        ("linkage, B-cubed F1", f1),
    ]
    return [f"{name:<30} {text}" for name, text in lines]
