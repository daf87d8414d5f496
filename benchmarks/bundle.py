#!/usr/bin/env python3
"""What an evidence bundle's own checker recomputes by itself, and whether it reports every flipped bit.

    python benchmarks/bundle.py [--scene sample] [--scene /work/shared/range/dev-a] [--flips 300] [--json]

A scene is a folder with exchanges.parquet and accounts.parquet. Each is scanned, every case exported, and
each bundle checked by `python -I -S verify.py`: without Stillwatch, without any package.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from stillwatch.cases.audit.trail import attach
from stillwatch.cases.bundle import verify
from stillwatch.cases.bundle.export import prepare, release
from stillwatch.cases.bundle.gather import ScannedLog
from stillwatch.cases.evidence import inputs_of
from stillwatch.cases.fold import fold
from stillwatch.cases.reading import Filter, queue
from stillwatch.cases.store import Store
from stillwatch.scan.pipeline import run

NOW_US = 1_790_000_000_000_000


def alone(bundle: Path, key: str) -> tuple[dict[str, Any], float]:
    """Run a bundle's checker; return its output and its seconds."""
    begun = time.perf_counter()
    words = [sys.executable, "-I", "-S", str(bundle / "verify.py"), "--key", key, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    return json.loads(done.stdout) | {"exit_code": done.returncode}, time.perf_counter() - begun


def flips(bundle: Path, many: int, rng: random.Random) -> int:
    """Flip single bits in files of a bundle; return how many were reported."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name != verify.DRAFT)
    named = 0
    for _ in range(many):
        path = rng.choice(files)
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        wrong, _ = verify.check_files(verify.Bundle(bundle))
        named += any(one.startswith(f"{path.relative_to(bundle).as_posix()}: ") for one in wrong)
        path.write_bytes(whole)
    return named


def scene(folder: Path, many: int, work: Path) -> list[dict[str, Any]]:
    """Scan a scene and export its cases; return a row for each."""
    log, accounts = folder / "exchanges.parquet", folder / "accounts.parquet"
    result = run([log], accounts=accounts)
    rows = []
    with Store(f"sqlite:///{work}/cases.db") as store:
        attach(store, work / "audit.key")
        fold(store, result, NOW_US, "scan", inputs=inputs_of([log]))
        found = queue(store, Filter(), NOW_US).cases
        for case in found:
            begun = time.perf_counter()
            ready = prepare(store, case.id, who="bench", now_us=NOW_US, log=ScannedLog([log], accounts))
            made = release(store, ready, work / case.id, who="bench", now_us=NOW_US)
            export_s = time.perf_counter() - begun
            told, verify_s = alone(made.path, made.key)
            results = Counter(row["result"] for row in told["claims"])
            by_name = {row["name"]: row["result"] for row in told["claims"]}
            per_case = many // len(found)
            rows.append(
                {
                    "scene": folder.name,
                    "title": case.title,
                    "bytes": made.bytes,
                    "export_s": round(export_s, 2),
                    "verify_s": round(verify_s, 2),
                    "sound": told["sound"] and told["exit_code"] == 0,
                    "same": results["same"],
                    "differs": results["differs"],
                    "not_computed": results["not computed"],
                    "of_the_test": sum(
                        row["name"].startswith("tested.") and row["result"] == "not computed"
                        for row in told["claims"]
                    ),
                    "p_value": by_name["finding.p_value"],
                    "flips": per_case,
                    "flips_named": flips(made.path, per_case, random.Random(len(rows))),
                }
            )
    return rows


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--scene", type=Path, action="append")
    told.add_argument("--flips", type=int, default=300)
    told.add_argument("--json", action="store_true")
    asked = told.parse_args()
    rows = []
    for folder in asked.scene or [Path(__file__).parent.parent / "sample"]:
        with tempfile.TemporaryDirectory() as work:
            rows += scene(folder, asked.flips, Path(work))
    counted = ("same", "differs", "not_computed", "of_the_test")
    total = Counter({name: sum(row[name] for row in rows) for name in counted})
    p_values = Counter(row["p_value"] for row in rows)
    flipped, named = sum(row["flips"] for row in rows), sum(row["flips_named"] for row in rows)
    if asked.json:
        print(json.dumps({"cases": rows, "flips": flipped, "flips_named": named} | total, indent=1))
    else:
        for row in rows:
            print(
                f"{row['scene']}: {row['title']} {row['same']} claims the same, {row['differs']} differ, "
                f"{row['not_computed']} not computed, the alarm's p-value: {row['p_value']}; "
                f"{row['bytes'] / 1e6:.1f} MB, export "
                f"{row['export_s']} s, verify {row['verify_s']} s"
            )
        print(
            f"{len(rows)} bundles: {total['same']:,} claims computed again and the same, {total['differs']} "
            f"differ, {total['not_computed']} not computed, {total['of_the_test']} of these the counts of "
            f"alarms' tests; {p_values['same']} alarms' p-values computed again and the same; {named} of "
            f"{flipped} flipped bits named"
        )
    return 0 if named == flipped and not total["differs"] and all(row["sound"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
