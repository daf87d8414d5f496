"""Score a scan of scenes with known truth: `make range`, or `python benchmarks/range.py --worlds`.

Without --worlds the development scenes and the sample are scanned; with it also the composed worlds of
worlds.py, two of which have no campaign. No figure comes from a random split: nothing in a scan is trained.
But its constants were set while looking at dev-a, dev-b and some of the worlds: those rows are development
figures. The rows by pipeline and by honest kind show how even the results are, nothing about unseen worlds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stillwatch.range.figures import BIG, Score
from stillwatch.range.score import score
from stillwatch.report.findings import evidence_json, findings_json
from stillwatch.scan import ScanResult
from stillwatch.scan.pipeline import run

ROOT = Path(__file__).parent.parent
SCENES = ("dev-a", "dev-b", "sample")
WORLDS = ("w0-none-a", "w0-none-b", "w1", "w2", "w3", "w4", "w5", "w6")
HEADS = (
    "scene", "exposed", "of >= 1,000", "false cases", "per 10k account-days", "honest / campaign accounts",
    "harvest before alarm, median / worst", "lost", "B-cubed F1", "suppressed", "seconds",
)  # fmt: skip
# The first author's reference scorer, run once; thresholds at 1e-3 on each scene's first week.
BASELINES = (
    ("volume against own history, dev-a", "2/10", "2/6", "", "13.2", "41 / 4", "", "79%", "", "", ""),
    ("volume against own history, dev-b", "1/11", "1/6", "", "7.8", "24 / 1", "", "86%", "", "", ""),
    ("isolation forest, dev-a", "0/10", "0/6", "", "2.9", "9 / 0", "", "100%", "", "", ""),
    ("isolation forest, dev-b", "0/11", "0/6", "", "0.6", "2 / 0", "", "100%", "", "", ""),
    ("PRADA-like, dev-a", "0/10", "0/6", "", "2.6", "8 / 0", "", "100%", "", "", ""),
    ("PRADA-like, dev-b", "0/11", "0/6", "", "3.2", "10 / 0", "", "100%", "", "", ""),
    ("shared prefix or system text, dev-a", "5/10", "3/6", "", "8.4", "506 / 275", "", "58%", "", "", ""),
    ("shared prefix or system text, dev-b", "3/11", "1/6", "", "6.8", "455 / 162", "", "79%", "", "", ""),
)  # fmt: skip
CITED = "Baselines: figures of the first author's reference scorer, not run again here."
LEFT_OUT = (
    "By pipeline and by honest kind, over all scenes. A scan learns from nothing but the log before it:"
    "\nno training set to leave a pipeline or a corpus out of. These are development figures by group."
    "\nThe constants were set by hand while looking at dev-a and dev-b."
)
PIPELINE_HEADS = ("pipeline", "exposed", "of >= 1,000", "harvest before alarm, median", "lost")
KIND_HEADS = ("honest kind", "accounts", "false cases", "accounts named")


@dataclass(frozen=True)
class Outcome:
    """A scanned and scored scene."""

    scene: str
    score: Score
    suppressed: int
    seconds: float
    pipelines: dict[str, tuple[str, ...]]  # campaign -> the pipelines of its prompts
    honest: dict[str, int]  # accounts by honest kind


def scanned(folder: Path) -> Outcome:
    """Scan and score one scene; suppressed cases are counted separately."""
    accounts = folder / "accounts.parquet"
    begun = time.perf_counter()
    result = run([folder / "exchanges.parquet"], accounts=accounts if accounts.exists() else None)
    seconds = time.perf_counter() - begun
    truth = pq.read_table(folder / "truth.parquet").to_pylist()
    honest = Counter(row["kind"] for row in truth if row["campaign"] is None)
    suppressed = sum(c.suppressed_by is not None for c in result.campaigns)
    scored = score(_open_cases(result), folder, evidence=evidence_json(result))
    return Outcome(folder.name, scored, suppressed, seconds, _pipelines(folder), dict(honest))


def _open_cases(result: ScanResult) -> dict:
    """Return findings.json for the reference scorer: unsuppressed cases, `score` for overlaps."""
    findings = findings_json(result)
    cases = [c for c in findings["campaigns"] if c["suppressed_by"] is None]
    return {**findings, "campaigns": [{**c, "score": c["score_bits"]} for c in cases]}


def _pipelines(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the pipelines of each campaign, as the scene's description names them."""
    described = tomllib.loads((folder / "scene.toml").read_text(encoding="utf-8"))
    return {c["name"]: tuple(c["pipelines"]) for c in described.get("campaign", ())}


def row(outcome: Outcome) -> tuple[str, ...]:
    """Format one line of the table."""
    s, before = outcome.score, outcome.score.harvest_exchanges_all
    return (
        outcome.scene,
        f"{s.half_named}/{s.campaigns}",
        f"{s.exposed_big}/{s.big}",
        str(s.false_cases),
        f"{s.false_per_10k_active_account_days:.2f}",
        f"{s.benign_named} / {s.named_accounts}",
        "-" if before is None else f"{before.median:,.0f} / {before.worst:,.0f}",
        _percent(s.lost_if_named_accounts_are_stopped),
        "-" if s.bcubed_f1 is None else f"{s.bcubed_f1:.3f}",
        str(outcome.suppressed),
        f"{outcome.seconds:.1f}",
    )


def total(outcomes: list[Outcome]) -> tuple[str, ...]:
    """Combine all scenes: sums, and the harvest over every campaign."""
    scores = [o.score for o in outcomes]
    rows = [r for s in scores for r in s.rows]
    harvests = [r.harvest for r in rows]
    days = sum(s.benign_active_account_days for s in scores)
    answered = sum(r.n for r in rows)
    lost = sum(r.lost_share * r.n for r in rows) / answered if answered else None
    return (
        "all",
        f"{sum(s.half_named for s in scores)}/{sum(s.campaigns for s in scores)}",
        f"{sum(s.exposed_big for s in scores)}/{sum(s.big for s in scores)}",
        str(sum(s.false_cases for s in scores)),
        f"{1e4 * sum(s.false_cases for s in scores) / max(days, 1):.2f}",
        f"{sum(s.benign_named for s in scores)} / {sum(s.named_accounts for s in scores)}",
        f"{np.median(harvests):,.0f} / {max(harvests):,.0f}" if harvests else "-",
        _percent(lost),
        "-",
        str(sum(o.suppressed for o in outcomes)),
        f"{sum(o.seconds for o in outcomes):.1f}",
    )


def by_pipeline(outcomes: list[Outcome]) -> list[tuple[str, ...]]:
    """Return results for the campaigns of each published pipeline, over all scenes."""
    found: dict[str, list] = defaultdict(list)
    for outcome in outcomes:
        for r in outcome.score.rows:
            for pipeline in outcome.pipelines.get(r.campaign, ()):
                found[pipeline].append(r)
    return [
        (
            pipeline,
            f"{sum(r.is_exposed for r in rows)}/{len(rows)}",
            f"{sum(r.is_exposed for r in rows if r.n >= BIG)}/{sum(r.n >= BIG for r in rows)}",
            f"{np.median([r.harvest for r in rows]):,.0f}",
            _percent(sum(r.lost_share * r.n for r in rows) / sum(r.n for r in rows)),
        )
        for pipeline, rows in sorted(found.items())
    ]


def by_kind(outcomes: list[Outcome]) -> list[tuple[str, ...]]:
    """Return the effects on honest use of each kind, over all scenes."""
    accounts: Counter[str] = Counter()
    cases: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for outcome in outcomes:
        accounts.update(outcome.honest)
        cases.update({kind: v.cases for kind, v in outcome.score.false_by_kind.items()})
        named.update(outcome.score.benign_named_by_kind)
    return [(k, f"{n:,}", str(cases[k]), str(named[k])) for k, n in sorted(accounts.items())]


def drawn(heads: tuple[str, ...], rows: list[tuple[str, ...]], markdown: bool) -> str:
    """Format a table for a terminal or for the README."""
    if markdown:
        lines = [heads, tuple("---" for _ in heads), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(len(line[k]) for line in [heads, *rows]) for k in range(len(heads))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in [heads, *rows]
    )


def folders(shared: Path, worlds: Path | None) -> list[Path]:
    """Return the available scenes, else the shipped sample; missing composed worlds are created."""
    found = [shared / name for name in SCENES if (shared / name / "truth.parquet").exists()]
    found = found or [ROOT / "sample"]
    if worlds is not None:
        missing = [name for name in WORLDS if not (worlds / name / "truth_exchanges.parquet").exists()]
        if missing:
            settings = {"STILLWATCH_RANGE": str(shared.resolve()), "STILLWATCH_WORLDS": str(worlds)}
            command = [sys.executable, str(ROOT / "benchmarks" / "worlds.py"), *missing]
            subprocess.run(command, check=True, env={**os.environ, **settings}, stdout=subprocess.DEVNULL)
        found += [worlds / name for name in WORLDS]
    return found


def main() -> None:
    """Scan, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "range")
    parser.add_argument("--worlds", action="store_true", help="scan the composed worlds as well")
    parser.add_argument("--worlds-dir", type=Path, default=Path(tempfile.gettempdir()) / "worlds")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    outcomes = []
    for folder in folders(options.shared, options.worlds_dir if options.worlds else None):
        outcomes.append(scanned(folder))
        print(f"{folder.name}: {outcomes[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({o.scene: _as_json(o) for o in outcomes}, indent=1))
        return
    rows = [row(o) for o in outcomes]
    if len(rows) > 1:
        rows.append(total(outcomes))
    baselines = [] if options.worlds else list(BASELINES)
    print(drawn(HEADS, rows + baselines, options.markdown))
    if baselines:
        print(f"\n{CITED}")
    if options.worlds:
        print(f"\n{LEFT_OUT}\n")
        print(drawn(PIPELINE_HEADS, by_pipeline(outcomes), options.markdown))
        print()
        print(drawn(KIND_HEADS, by_kind(outcomes), options.markdown))


def _as_json(outcome: Outcome) -> dict:
    rows = [asdict(r) for r in outcome.score.rows]
    apart = {"suppressed": outcome.suppressed, "seconds": round(outcome.seconds, 3)}
    return {**outcome.score.as_dict(), "beyond": outcome.score.beyond(), **apart, "rows": rows}


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


if __name__ == "__main__":
    main()
