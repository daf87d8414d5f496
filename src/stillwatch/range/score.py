"""Score findings against a scene whose truth is known, by the range's definitions (docs/range.md).

A finding is *true* if at least half of its accounts are campaign accounts. A campaign is *caught* by the
earliest true finding that holds one of its accounts, and *exposed* when at least half of its accounts are
named. Whether a scene is realistic is not known. Figures from scenes used during development are too
optimistic.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.figures import BIG, CampaignRow, FigureSpread, KindCases, Score
from stillwatch.range.linkage import linkage
from stillwatch.units import DAY_US

LIFE_DAYS = 14  # every scene lasts a fortnight
PERMITTED = "synthetic_permitted"


@dataclass(frozen=True)
class _ScoredFinding:
    id: str
    at: int  # µs since 1970
    accounts: tuple[str, ...]
    hit: tuple[str, ...]  # those that are campaign accounts
    score: float

    @property
    def true(self) -> bool:
        return 0 < len(self.accounts) <= 2 * len(self.hit)


def _micros(text: object, what: str) -> int:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InputError(f"{what} is {text!r}, which is no ISO time such as 2026-03-09T14:00:00Z") from error
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _findings(findings: Mapping[str, Any], campaign: Mapping[str, str | None]) -> list[_ScoredFinding]:
    listed = findings.get("campaigns", [])
    if not isinstance(listed, list):
        raise InputError("findings: 'campaigns' is no list")
    read = []
    for i, entry in enumerate(listed):
        what = f"findings: campaigns[{i}]"
        accounts = entry.get("accounts") if isinstance(entry, dict) else None
        if not isinstance(accounts, list) or not all(isinstance(a, str) for a in accounts):
            raise InputError(f"{what} has no list of account names")
        if "alarm_at" not in entry:
            raise InputError(f"{what} has no alarm_at")
        known = tuple(a for a in dict.fromkeys(accounts) if a in campaign)
        if known:
            hit = tuple(a for a in known if campaign[a] is not None)
            at = _micros(entry["alarm_at"], f"{what}.alarm_at")
            best = entry.get("score") or 0.0  # like the reference scorer: without a score, the later one wins
            if not isinstance(best, int | float):
                raise InputError(f"{what}.score is {best!r}, which is no number")
            read.append(_ScoredFinding(str(entry.get("id", i)), at, known, hit, float(best)))
    return read


def _table(path: Path, columns: Sequence[str]) -> pa.Table:
    if not path.exists():
        raise InputError(f"{path} does not exist; a scene has {path.name}")
    try:
        names = pq.read_schema(path).names
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is no Parquet file") from error
    missing = [c for c in columns if c not in names]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: scoring needs {', '.join(columns)}")
    return pq.read_table(path, columns=list(columns))


def _spread(values: Sequence[float]) -> FigureSpread | None:
    if not values:
        return None
    x = np.asarray(values, float)
    return FigureSpread(float(np.median(x)), float(np.quantile(x, 0.9)), float(x.max()))


def _per_10k(cases: int, days: int, digits: int = 2) -> float:
    return round(1e4 * cases / max(1, days), digits)


def _lost(times: np.ndarray, senders: Sequence[str], stop: Mapping[str, int]) -> int:
    never = np.iinfo(np.int64).max
    return int((times < np.array([stop.get(a, never) for a in senders], np.int64)).sum())


def score(
    findings: Mapping[str, Any],
    truth_dir: Path,
    exchanges: Path | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Score:
    """Score `findings` (the content of findings.json) against the scene in `truth_dir`.

    `exchanges` is the scene's log, by default `truth_dir`/exchanges.parquet; `evidence` the content of
    evidence.json, from which each account's own `named_at` is taken (it counts as stopped at the later
    of that and its finding's alarm).

    Raises:
        InputError: a file or a column is missing, or the findings are not in the shape of the contract.
    """
    truth = _table(truth_dir / "truth.parquet", ("account", "kind", "campaign", "style")).to_pylist()
    campaign: dict[str, str | None] = {r["account"]: r["campaign"] for r in truth}
    kind = {r["account"]: r["kind"] for r in truth}
    log = _table(
        exchanges or truth_dir / "exchanges.parquet",
        ("exchange_id", "time", "account", "output_tokens", "status"),
    )
    log = log.set_column(1, "time", log["time"].cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64()))
    found = _findings(findings, campaign)
    named_at = _named_at(evidence)
    marks = _table(truth_dir / "truth_exchanges.parquet", ("exchange_id", "campaign"))
    good = marks.join(log.filter(pc.equal(log["status"], 200)), "exchange_id", join_type="inner")
    style = {r["campaign"]: r["style"] for r in reversed(truth) if r["campaign"] is not None}
    sizes = Counter(c for c in campaign.values() if c is not None)
    rows: list[CampaignRow] = []
    lost_late = 0
    for name in sorted(set(good["campaign"].to_pylist()) - {None}):
        sent = good.filter(pc.equal(good["campaign"], name))
        row, late = _row(name, style[name], sizes[name], sent, found, campaign, named_at)
        rows.append(row)
        lost_late += late
    return _sum_up(tuple(rows), found, campaign, kind, log, lost_late if evidence is not None else None)


def _named_at(evidence: Mapping[str, Any] | None) -> dict[tuple[str, str], int]:
    each = (evidence or {}).get("campaigns", [])
    return {
        (str(c["id"]), account): _micros(when, f"evidence: named_at of {account}")
        for c in each
        for account, when in (c.get("named_at") or {}).items()
    }


def _row(
    name: str,
    style: str,
    accounts: int,
    sent: pa.Table,
    found: list[_ScoredFinding],
    campaign: Mapping[str, str | None],
    named_at: Mapping[tuple[str, str], int],
) -> tuple[CampaignRow, int]:
    """Return one campaign's row, and its losses if each account is stopped only when itself named."""
    times = sent["time"].to_numpy()
    tokens = pc.fill_null(sent["output_tokens"], 0).to_numpy()
    senders = sent["account"].to_pylist()
    stop: dict[str, int] = {}
    late: dict[str, int] = {}
    alarms: list[int] = []
    for f in found:
        own = [a for a in f.hit if campaign[a] == name] if f.true else []
        alarms += [f.at] if own else []
        for a in own:
            stop[a] = min(stop.get(a, f.at), f.at)
            then = max(f.at, named_at.get((f.id, a), f.at))
            late[a] = min(late.get(a, then), then)
    at = min(alarms, default=None)
    before = np.ones(len(times), bool) if at is None else times < at
    harvest, harvest_tokens = int(before.sum()), int(tokens[before].sum())
    iso = None if at is None else (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).isoformat()
    row = CampaignRow(
        name,
        style,
        accounts,
        len(times),
        at is not None,
        iso,
        harvest,
        harvest_tokens,
        round(harvest / len(times), 4),
        round(harvest_tokens / max(1, int(tokens.sum())), 4),
        len(stop),
        round(len(stop) / accounts, 3),
        round(_lost(times, senders, stop) / len(times), 4),
    )
    return row, _lost(times, senders, late)


def _sum_up(
    rows: tuple[CampaignRow, ...],
    found: list[_ScoredFinding],
    campaign: Mapping[str, str | None],
    kind: Mapping[str, str],
    log: pa.Table,
    lost_late: int | None,
) -> Score:
    caught = [r for r in rows if r.caught]
    total = sum(r.n for r in rows)
    styles = sorted({r.style for r in rows})
    by_style = {s: [r.caught for r in rows if r.style == s] for s in styles}
    # honest account-days
    day = pc.divide(log["time"], DAY_US)
    seen = pa.table({"account": log["account"], "day": day}).group_by(["account", "day"]).aggregate([])
    days = [(a, d) for a, d in zip(*(seen[c].to_pylist() for c in ("account", "day")), strict=True)]
    first_day = min((d for _, d in days), default=0)
    honest_days = [(a, d) for a, d in days if campaign.get(a) is None]
    kind_days = Counter(kind.get(a) for a, _ in honest_days)
    second_week = first_day + 7
    # false cases; those that name only permitted synthetic data are counted apart
    untrue = [f for f in found if not f.true]
    permitted = [f for f in untrue if all(kind[a] in (PERMITTED, "campaign") for a in f.accounts)]
    false = [f for f in untrue if f not in permitted]
    leads = Counter(_lead(f, campaign, kind) for f in false)
    named = dict.fromkeys(a for f in found for a in f.accounts)
    honest = [a for a in named if campaign[a] is None]
    named_permitted = sum(kind[a] == PERMITTED for a in honest)
    # linkage: an account in several findings belongs to the one with the best score
    put = {a: i for i, f in sorted(enumerate(found), key=lambda x: x[1].score) for a in f.accounts}
    everyone = sorted({a for a, c in campaign.items() if c is not None} | named.keys())
    groups = linkage(
        [put.get(a, -1 - i) for i, a in enumerate(everyone)], [campaign[a] or a for a in everyone]
    )
    big = [r for r in rows if r.n >= BIG]
    return Score(
        campaigns=len(rows),
        caught=len(caught),
        by_style={s: f"{sum(hits)}/{len(hits)}" for s, hits in by_style.items()},
        harvest_exchanges_all=_spread([r.harvest for r in rows]),
        harvest_exchanges_caught=_spread([r.harvest for r in caught]),
        harvest_share_all=_spread([r.harvest_share for r in rows]),
        harvest_share_caught=_spread([r.harvest_share for r in caught]),
        harvest_tokens_all=_spread([r.harvest_tokens for r in rows]),
        harvest_tokens_caught=_spread([r.harvest_tokens for r in caught]),
        total_share_lost=sum(r.harvest for r in rows) / total if rows else None,
        lost_if_named_accounts_are_stopped=sum(r.lost_share * r.n for r in rows) / total if rows else None,
        half_named=sum(r.is_exposed for r in rows),
        named_share_mean=sum(r.named_share for r in rows) / len(rows) if rows else None,
        named_accounts=sum(r.named for r in rows),
        campaign_accounts=sum(r.accounts for r in rows),
        findings=len(found),
        false_cases=len(false),
        false_cases_permitted_synthetic=len(permitted),
        benign_active_account_days=len(honest_days),
        account_days_of_existence=LIFE_DAYS * sum(c is None for c in campaign.values()),
        false_per_10k_active_account_days=_per_10k(len(false), len(honest_days)),
        false_per_10k_week2_active_account_days=_per_10k(
            sum(f.at >= second_week * DAY_US for f in false), sum(d >= second_week for _, d in honest_days)
        ),
        false_per_10k_account_days_of_existence=_per_10k(
            len(false), LIFE_DAYS * sum(c is None for c in campaign.values())
        ),
        false_by_kind={k: KindCases(v, _per_10k(v, kind_days[k], 1)) for k, v in leads.most_common()},
        benign_named=len(honest) - named_permitted,
        benign_named_by_kind=dict(Counter(kind[a] for a in honest).most_common()),
        permitted_named=named_permitted,
        **asdict(groups),
        exposed_big=sum(r.is_exposed for r in big),
        big=len(big),
        honest_in_true_findings=sum(len(f.accounts) - len(f.hit) for f in found if f.true),
        lost_if_stopped_when_named=None if lost_late is None or not rows else lost_late / total,
        rows=rows,
    )


def _lead(f: _ScoredFinding, campaign: Mapping[str, str | None], kind: Mapping[str, str]) -> str:
    return Counter(kind[a] for a in f.accounts if campaign[a] is None).most_common(1)[0][0]
