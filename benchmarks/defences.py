"""Defences side by side on the scenes with known truth: `python benchmarks/defences.py`.

Each is set on its scene's clean week to one budget (--dial). `--equal` moves every baseline's budget, knowing
the truth, to the highest of a row of budgets at which its measured false cases stay within the same rate:
more than any of them could know. `--ablations` omits Stillwatch's parts one by one, `--papers` repeats the
results of papers and docs/field.md on the MMD window test and PRADA. dev-a and dev-b are searched in
STILLWATCH_RANGE, else in ../shared/range; without them only the sample is judged.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.range.defences import LogJudgement, LogToJudge, mmd_window, prada
from stillwatch.range.defences.embedding import embed
from stillwatch.range.defences.registry import ablations, defence, names
from stillwatch.range.figures import Score
from stillwatch.range.score import score
from stillwatch.units import DAY_US

ROOT = Path(__file__).parent.parent
SCENES = ("dev-a", "dev-b", "sample")
CLEAN_DAYS = 7
DIALS = (
    1e-16, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-8, 1e-6, 1e-4, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
    100.0, 300.0, 1000.0,
)  # fmt: skip
BASELINES = ("volume", "prada", "mmd_window", "isolation_forest", "prefix")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEADS = (
    "defence", "scene", "budget", "exposed", "of >= 1,000", "false cases", "per 10k account-days of week 2",
    "honest / campaign accounts", "lost", "refused, honest", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A log with its truth."""

    folder: Path
    exchanges: pa.Table
    accounts: pa.Table
    campaign: dict[str, str | None]
    marked: frozenset[str]  # exchange ids of campaigns
    clean_until_us: int


@dataclass(frozen=True)
class Row:
    defence: str
    scene: str
    dial: float
    score: Score
    refused_honest: int
    seconds: float


@cache
def scene(folder: Path) -> Scene:
    """Read a scene."""
    exchanges = pq.read_table(folder / "exchanges.parquet")
    first = pc.min(exchanges["time"]).cast(pa.int64()).as_py() // DAY_US
    truth = pq.read_table(folder / "truth.parquet").to_pylist()
    marks = pq.read_table(folder / "truth_exchanges.parquet").to_pylist()
    return Scene(
        folder,
        exchanges,
        pq.read_table(folder / "accounts.parquet"),
        {row["account"]: row["campaign"] for row in truth},
        frozenset(row["exchange_id"] for row in marks if row["campaign"]),
        (first + CLEAN_DAYS) * DAY_US,
    )


def folders() -> list[Path]:
    """Return the available scenes; the shipped sample in any case."""
    shared = Path(os.environ.get("STILLWATCH_RANGE", ROOT.parent / "shared" / "range"))
    found = [shared / name for name in SCENES if (shared / name / "truth.parquet").exists()]
    return found or [ROOT / "sample"]


def findings(judged: LogJudgement) -> tuple[dict, dict]:
    """Return findings.json and evidence.json in the scorer's form."""
    cases = [c for c in judged.cases if c.named_at_us]
    found = [
        {"id": c.case, "accounts": sorted(c.named_at_us), "alarm_at": iso(c.at_us), "score": 1.0}
        for c in cases
    ]
    named = [{"id": c.case, "named_at": {a: iso(t) for a, t in c.named_at_us.items()}} for c in cases]
    return {"campaigns": found}, {"campaigns": named}


def iso(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).isoformat()


def judged(name: str, folder: Path, dial: float, seed: int) -> Row:
    """Judge and score one scene."""
    given = scene(folder)
    begun = time.perf_counter()
    said = defence(name, dial).judge(LogToJudge(given.exchanges, given.accounts, given.clean_until_us, seed))
    seconds = time.perf_counter() - begun
    found, evidence = findings(said)
    honest = len(said.refused - given.marked)
    return Row(name, folder.name, dial, score(found, folder, evidence=evidence), honest, seconds)


def line(row: Row) -> tuple[str, ...]:
    s = row.score
    lost = s.lost_if_stopped_when_named
    return (
        row.defence,
        row.scene,
        f"{row.dial:g}",
        f"{s.half_named}/{s.campaigns}",
        f"{s.exposed_big}/{s.big}",
        str(s.false_cases),
        f"{s.false_per_10k_week2_active_account_days:.1f}",
        f"{s.benign_named} / {s.named_accounts}",
        "-" if lost is None else f"{lost:.0%}",
        str(row.refused_honest),
        f"{row.seconds:.1f}",
    )


def at_equal_rate(name: str, folder: Path, seed: int, most: float) -> Row:
    """Return the row of the highest budget whose measured rate of false cases in week 2 is within `most`.

    Found by halving: more budget, more false cases.
    """
    low, high = 0, len(DIALS)
    best = judged(name, folder, DIALS[0], seed)
    while high - low > 1:
        middle = (low + high) // 2
        row = judged(name, folder, DIALS[middle], seed)
        if row.score.false_per_10k_week2_active_account_days > most:
            high = middle
        else:
            low, best = middle, row
    return best


# --- what the papers say ------------------------------------------------------------------------------------


def mmd_rates(folder: Path, seed: int, window: int, draws: int = 100) -> dict[str, float]:
    """Return the share of windows that the MMD test flags, as in the paper: random rows, threshold at 1 %."""
    given, rng = scene(folder), np.random.default_rng(seed)
    ids = given.exchanges["exchange_id"].to_pylist()
    attack = np.array([key in given.marked for key in ids])
    honest = np.flatnonzero(~attack & np.array([given.campaign[a] is None for a in _accounts(given)]))
    attackers = np.flatnonzero(attack)
    vectors = embed(given.exchanges["prompt"])
    honest = rng.permutation(honest)
    pool, held = honest[: len(honest) // 2], honest[len(honest) // 2 :]
    reference, pool = vectors[pool[: mmd_window.REFERENCE]], pool[mmd_window.REFERENCE :]
    gamma = mmd_window.gamma_of(reference)
    within = mmd_window.mean_within(reference, gamma)

    def statistic(rows: np.ndarray) -> float:
        return mmd_window.mmd2(vectors[rows], reference, gamma, within)[0]

    null = np.sort([statistic(rng.choice(pool, window, replace=False)) for _ in range(draws)])
    threshold = null[int(0.99 * draws)]
    out = {
        "benign": float(
            np.mean([statistic(rng.choice(held, window, False)) > threshold for _ in range(draws)])
        )
    }
    for share in (0.05, 0.10, 0.25, 0.50, 1.0):
        bad = round(share * window)
        flagged = [
            statistic(
                np.r_[rng.choice(attackers, bad, len(attackers) < bad), rng.choice(held, window - bad, False)]
            )
            > threshold
            for _ in range(draws // 4)
        ]
        out[f"{share:.0%} attackers"] = float(np.mean(flagged))
    return out


def _accounts(given: Scene) -> list[str]:
    return given.exchanges["account"].to_pylist()


def prada_rates(folder: Path, deltas: tuple[float, ...] = (0.90, 0.95, 0.96)) -> dict[str, str]:
    """Count accounts with 100 distances whose W was ever below the paper's thresholds."""
    given = scene(folder)
    table = given.exchanges.sort_by("time")
    vectors, accounts = embed(table["prompt"]), table["account"].to_pylist()
    streams: dict[str, prada.ClientStream] = {}
    least: dict[str, float] = {}
    for k, account in enumerate(accounts):
        stream = streams.setdefault(account, prada.ClientStream())
        stream.add(vectors[k])
        if len(stream.distances) >= prada.LEAST and len(stream.distances) % 25 == 0:
            w = stream.w()
            least[account] = min(least.get(account, 1.0), 1.0 if w is None else w)
    honest = [w for a, w in least.items() if given.campaign[a] is None]
    bad = [w for a, w in least.items() if given.campaign[a] is not None]
    everybody = sum(c is not None for c in given.campaign.values())
    out = {"long enough": f"{len(honest)} honest, {len(bad)} of {everybody} campaign accounts"}
    for delta in deltas:
        flagged = [sum(w < delta for w in group) for group in (honest, bad)]
        out[f"W < {delta}"] = f"{flagged[0]} of {len(honest)} honest, {flagged[1]} of {len(bad)} campaign"
    return out


def drawn(rows: list[tuple[str, ...]], markdown: bool) -> str:
    if markdown:
        return "\n".join("| " + " | ".join(r) + " |" for r in [HEADS, tuple("---" for _ in HEADS), *rows])
    widths = [max(len(r[k]) for r in [HEADS, *rows]) for k in range(len(HEADS))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in [HEADS, *rows]
    )


def main() -> None:
    """Judge, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--defences", help="names with commas between; by default all that judge a log but stillwatch/firm"
    )
    parser.add_argument("--scenes", help="of dev-a, dev-b, sample")
    parser.add_argument("--dial", type=float, default=1.0, help="false cases per 10,000 account-days")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--equal", action="store_true", help="baselines at the same measured rate, in hindsight"
    )
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--papers", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    places = [f for f in folders() if not options.scenes or f.name in options.scenes.split(",")]
    if options.papers:
        for folder in places:
            for window in (1500, 100):
                rates = mmd_rates(folder, options.seed, window)
                print(f"{folder.name}, MMD, window {window}:", json.dumps(rates))
            print(f"{folder.name}, PRADA:", json.dumps(prada_rates(folder)), flush=True)
        return
    chosen = [n for n in names() if n not in ("stillwatch/firm", "stillwatch/holds")]
    if options.ablations:
        chosen = ["stillwatch", *ablations()]
    if options.equal:
        chosen = list(BASELINES)
    if options.defences:
        chosen = options.defences.split(",")
    rows = []
    for folder in places:
        for name in chosen:
            if options.equal:
                rows.append(at_equal_rate(name, folder, options.seed, options.dial))
            else:
                rows.append(judged(name, folder, options.dial, options.seed))
            print("  ".join(line(rows[-1])), file=sys.stderr, flush=True)
    if options.json:
        print(
            json.dumps(
                [{**dict(zip(HEADS, line(r), strict=True)), **r.score.as_dict()} for r in rows], indent=1
            )
        )
        return
    rows.sort(key=lambda r: chosen.index(r.defence))
    print(drawn([line(r) for r in rows], options.markdown))


if __name__ == "__main__":
    main()
