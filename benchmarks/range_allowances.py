#!/usr/bin/env python3
"""What an allowance costs the honest, and allows newcomers: `python benchmarks/range_allowances.py sample`.

Rules of three forms, all set on the first week and applied to the second: one allowance for everybody
(accounts that used more have twice their own busiest day); the same for reasoning models alone; a ramp: a
newcomer starts with what newcomers of the first week used on their first day, and may each day use twice its
busiest day so far, up to the allowance. Scenes other than the sample need STILLWATCH_RANGE. A newcomer's
first three days are what the cheapest attackers live on (white_box_midnights).

    python benchmarks/range_allowances.py --refuse .0003 dev-a dev-c tenth --worlds FOLDER

evaluates `stillwatch terms allowance --refuse` in the same way, with sliding days, also on worlds by other
authors, and the price of a thousand answers of `TRACE` tokens for an attacker who takes them at once.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.range.costs import AttackPrices
from stillwatch.terms.allowance import GROWTH, Use, least_limit
from stillwatch.terms.window import BLOCK_US, BLOCKS

DAY_US = 86_400_000_000
CLEAN = 7  # days
WANTED, TRACE = 1_000, 7_400  # answers, and output tokens of each: the goal of the range's attackers
Day = tuple[str, int]


@dataclass(frozen=True)
class Rule:
    share: float  # of the accounts that have no busier clean day
    reasoning: bool = False  # count and refuse requests to reasoning models alone
    first: float | None = None  # ramp: share of newcomers that have no busier first day

    def __str__(self) -> str:
        of = "of reasoning models" if self.reasoning else "of all models"
        return f"{'ramp' if self.first else 'flat'}, {self.share:.1%}" + (
            f" from {self.first:.0%} of first days" if self.first else f" {of}"
        )


RULES = (
    *(Rule(share) for share in (0.99, 0.98, 0.95)),
    *(Rule(share, reasoning=True) for share in (0.99, 0.98, 0.95)),
    *(Rule(0.99, first=first) for first in (0.99, 0.95, 0.9)),
    Rule(0.997, first=0.95),
)


@dataclass(frozen=True)
class Told:
    day: int
    block: int  # of the sliding day
    account: str
    tokens: int
    reasons: bool


def quantile(values: list[int], share: float) -> int:
    return round(float(np.quantile(np.array(sorted(values), float), share, method="higher")))


def rows(folder: Path) -> tuple[list[Told], dict[str, str]]:
    """Return the honest requests of a scene or world, in order, and each account's kind of use."""
    truth = pq.read_table(folder / "truth.parquet")
    truth = truth.filter(pc.equal(pc.fill_null(truth["campaign"], ""), ""))
    log = pq.read_table(folder / "exchanges.parquet")
    log = log.filter(pc.is_in(log["account"], value_set=truth["account"].combine_chunks()))
    log = log.sort_by([("time", "ascending"), ("exchange_id", "ascending")])
    time_us = log["time"].cast(pa.int64()).to_numpy()
    block = (time_us - time_us[0] // DAY_US * DAY_US) // BLOCK_US
    columns = [log[c].to_pylist() for c in ("account", "output_tokens", "reasoning_tokens", "model")]
    told = list(zip((block // BLOCKS).tolist(), block.tolist(), *columns, strict=True))
    clean = [row for row in told if row[0] < CLEAN]
    known, reasons = {row[5] for row in clean}, {row[5] for row in clean if row[4]}
    kinds = dict(zip(truth["account"].to_pylist(), truth["kind"].to_pylist(), strict=True))
    return [Told(d, b, a, t or 0, m in reasons or m not in known) for d, b, a, t, _, m in told], kinds


def find(name: str, worlds: Path) -> Path:
    """Return the folder of the sample, or of a scene or world."""
    shared = Path(os.environ.get("STILLWATCH_RANGE", Path(__file__).parents[2] / "shared" / "range"))
    tried = [Path("sample")] if name == "sample" else [worlds / name, shared / name]
    return next((folder for folder in tried if folder.is_dir()), tried[-1])


def judge(told: list[Told], refuse: float) -> tuple[float, ...]:
    """(limit, share refused on tried clean days, refused in week 2, its requests, accounts refused)."""
    clean: dict[str, dict[int, Use]] = defaultdict(lambda: defaultdict(lambda: Use(0, 0)))
    for t in told:
        if t.day < CLEAN:
            use = clean[t.account][t.block]
            clean[t.account][t.block] = Use(use.requests + 1, use.tokens + t.tokens)
    plan, tried = least_limit(clean, refuse)
    taken: Counter[Day] = Counter()  # by account and block
    refused: Counter[str] = Counter()
    later = [t for t in told if t.day >= CLEAN]
    for t in later:
        used = sum(taken[t.account, t.block - k] for k in range(BLOCKS))
        if used >= plan.of_account(t.account):
            refused[t.account] += 1
        else:
            taken[t.account, t.block] += t.tokens
    return plan.usual, tried, sum(refused.values()), len(later), len(refused)


def price(limit: float) -> tuple[int, float]:
    """Return (accounts, times one unlimited account's dollars) for a thousand answers within twenty hours."""
    accounts = math.ceil(WANTED / math.ceil(limit / TRACE))  # the last one may exceed the limit
    prices = AttackPrices()
    answers_usd = WANTED * TRACE * prices.output_usd_per_mtok / 1e6
    return accounts, (accounts * prices.account_usd + answers_usd) / (prices.account_usd + answers_usd)


def counted(told: list[Told], rule: Rule) -> Iterator[Told]:
    return (t for t in told if t.reasons or not rule.reasoning)


def play(told: list[Told], rule: Rule) -> tuple[list[int], Counter]:
    """Return a newcomer's allowance on its first three days, and requests refused by account."""
    spent: dict[Day, int] = defaultdict(int)
    for t in counted(told, rule):
        if t.day < CLEAN:
            spent[t.account, t.day] += t.tokens
    busiest = {t.account: 0 for t in told if t.day < CLEAN}
    for (account, _), tokens in spent.items():
        busiest[account] = max(busiest[account], tokens)
    usual = quantile(list(busiest.values()), rule.share)
    least = usual
    if rule.first is not None:
        begun: dict[str, int] = {}
        for account, day in sorted(spent):
            begun.setdefault(account, day)
        least = min(usual, quantile([spent[a, d] for a, d in begun.items() if d >= 1], rule.first))
    clean, so_far, refused = dict(busiest), dict(busiest), Counter()
    today: dict[str, int] = defaultdict(int)
    now = CLEAN
    for t in counted(told, rule):
        if t.day < CLEAN:
            continue
        if t.day > now:
            for account, tokens in today.items():
                so_far[account] = max(so_far.get(account, 0), tokens)
            today.clear()
            now = t.day
        most = max(least, min(usual, round(GROWTH * so_far.get(t.account, 0))))
        own = round(GROWTH * clean.get(t.account, 0))
        most = max(most, own) if own > usual else most
        if today[t.account] >= most:
            refused[t.account] += 1
        else:
            today[t.account] += t.tokens
    return [min(usual, round(least * GROWTH**n)) for n in range(3)], refused


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("scenes", nargs="*", default=["sample"], help="sample, dev-a, dev-b")
    parser.add_argument("--refuse", type=float, metavar="SHARE", help="judge the limit of this share")
    parser.add_argument("--worlds", type=Path, default=Path("worlds"), help="where other authors' worlds lie")
    options = parser.parse_args()
    if options.refuse is not None:
        print(
            "| log | tokens a day | refused on clean days | requests refused | accounts | a thousand cost |"
        )
        print("|---|--:|--:|--:|--:|--:|")
        for name in options.scenes:
            limit, tried, refused, requests, touched = judge(
                rows(find(name, options.worlds))[0], options.refuse
            )
            accounts, times = price(limit)
            share = f"{refused:,} of {requests:,} ({refused / requests:.3%})"
            cost = f"{accounts:,} accounts, {times:.1f} ×"
            print(f"| {name} | {limit:,} | {tried:.3%} | {share} | {touched} | {cost} |")
        return
    print(
        "| scene | rule | tokens a day | a newcomer in three days | accounts touched | requests refused | |"
    )
    print("|---|---|--:|--:|--:|--:|---|")
    for name in options.scenes:
        told, kinds = rows(find(name, options.worlds))
        accounts, after = len({t.account for t in told}), sum(t.day >= CLEAN for t in told)
        for rule in RULES:
            days, refused = play(told, rule)
            of: Counter = Counter()
            for account, many in refused.items():
                of[kinds[account]] += many
            all_refused = sum(refused.values())
            cells = (
                name,
                rule,
                f"{days[0]:,}",
                f"{sum(days):,}",
                f"{len(refused)} ({len(refused) / accounts:.1%})",
                f"{all_refused:,} ({all_refused / after:.1%})",
                ", ".join(f"{n:,} {kind}" for kind, n in of.most_common(3)),
            )
            print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
