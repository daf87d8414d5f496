"""Compose a scene of any size, scan it, score it: time and memory of each step, in a process of its own.

    python benchmarks/scale.py                    # three-labs-16m: 16 million exchanges, 24,000 accounts
    python benchmarks/scale.py --share 0.0625     # the same at a sixteenth
    python benchmarks/scale.py --keep /tmp/big --out scale.json

Peak memory is the kernel's high-water mark of the step's process. Nothing is reused from an earlier run.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from stillwatch.range.compose import compose_scene
from stillwatch.range.scenes import Scene, read_scene

STILLWATCH = str(Path(sys.executable).with_name("stillwatch"))


def smaller(scene: Scene, share: float) -> Scene:
    """Return the same scene with a share of the accounts and exchanges."""
    people = replace(
        scene.people,
        accounts=max(10, round(scene.people.accounts * share)),
        exchanges=round((scene.people.exchanges or 0) * share) or None,
    )
    campaigns = tuple(
        replace(
            c,
            plan=replace(
                c.plan,
                accounts=max(1, round(c.plan.accounts * share)),
                exchanges=max(1, round(c.plan.exchanges * share)),
            ),
        )
        for c in scene.campaigns
    )
    return replace(scene, people=people, campaigns=campaigns)


def measured(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory in GB."""
    start = time.perf_counter()
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = _wait(done)
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, int, resource.struct_rusage]:
    return os.wait4(process.pid, 0)


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scene", default="three-labs-16m", help="a scene that ships, or a file")
    parser.add_argument("--share", type=float, default=1.0, help="of accounts and exchanges")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where to leave log and report; by default they go")
    parser.add_argument("--out", type=Path, help="also write the figures there")
    parser.add_argument("--compose-only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    scene = smaller(read_scene(given.scene), given.share)
    if given.compose_only:
        compose_scene(scene, given.seed, given.keep)
        return
    work = given.keep or Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        again = ["--scene", given.scene, "--share", str(given.share), "--seed", str(given.seed)]
        compose_s, compose_gb = measured(
            [sys.executable, __file__, *again, "--keep", str(work), "--compose-only"]
        )
        folder = work / f"{scene.name}-{given.seed}"
        log = folder / "exchanges.parquet"
        report = work / "report"
        scan_s, scan_gb = measured(
            [STILLWATCH, "scan", str(log), "--accounts", str(folder / "accounts.parquet"),
             "--out", str(report)]
        )  # fmt: skip
        scored = subprocess.run(
            [STILLWATCH, "range", "score", str(report), str(folder), "--json"],
            capture_output=True, check=True,
        )  # fmt: skip
        score = json.loads(scored.stdout)
        keys = ("half_named", "campaigns", "false_cases", "false_per_10k_active_account_days", "benign_named",
                "bcubed_f1", "lost_if_named_accounts_are_stopped")  # fmt: skip
        figures = {
            "scene": scene.name,
            "share": given.share,
            "seed": given.seed,
            "exchanges": pq.read_metadata(log).num_rows,
            "accounts": pq.read_metadata(folder / "accounts.parquet").num_rows,
            "log_mb": round(log.stat().st_size / 1e6, 1),
            "compose_s": round(compose_s, 1),
            "compose_peak_gb": round(compose_gb, 2),
            "scan_s": round(scan_s, 1),
            "scan_peak_gb": round(scan_gb, 2),
            "score": {key: score[key] for key in keys if key in score},
            "rows": [
                {k: row[k] for k in ("campaign", "style", "accounts", "named", "n", "harvest") if k in row}
                for row in score["rows"]
            ],
        }
        print(json.dumps(figures, indent=1))
        if given.out:
            given.out.write_text(json.dumps(figures, indent=1) + "\n")
    finally:
        if not given.keep:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
