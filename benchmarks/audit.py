#!/usr/bin/env python3
"""Is every tampering with the audit trail reported, with the right record and cause? How fast is the trail?

    python benchmarks/audit.py [--tampers 12000] [--records 50000] [--seed 0] [--json]

Half of the tampers are tried on SQLite, half on a real PostgreSQL, on trails of 12 to 150 records;
tests/audit_tampers.py lists them and the expected reports.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from audit_tampers import BEGIN_US, TAMPERS, attempt, is_named, write_trail  # noqa: E402 - the tests' own
from postgres_server import new_database, running  # noqa: E402
from stillwatch.cases.audit import VerifiedTrail  # noqa: E402
from stillwatch.cases.audit.trail import attach  # noqa: E402
from stillwatch.cases.audit.verify import verify  # noqa: E402
from stillwatch.cases.store import Store  # noqa: E402

PER_TRAIL = 500
LENGTHS = (12, 30, 60, 150)


def tampers(url: str, folder: Path, wanted: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try tampers on a new trail; return how many of each were tried, and those that were not reported."""
    rng = random.Random(seed)
    tried: Counter[str] = Counter()
    missed: list[str] = []
    with Store(url) as store:
        audit = attach(store, folder / f"{seed}.key")
        scene = write_trail(store, audit, rng.choice(LENGTHS), rng)
        assert isinstance(
            verify(store, trusted=[scene.keys[1].key], witness=scene.witness or None), VerifiedTrail
        )
        k = 0
        while tried.total() < wanted:
            tamper, k = TAMPERS[k % len(TAMPERS)], k + 1
            found = attempt(store, tamper, rng, scene)
            if found is None:
                continue
            tried[tamper.__name__] += 1
            if not is_named(*found):
                missed.append(f"seed {seed}, {tamper.__name__}: expected {found[0]}, found {found[1]}")
        assert isinstance(
            verify(store, trusted=[scene.keys[1].key], witness=scene.witness or None), VerifiedTrail
        )
    return tried, missed


def speed(url: str, folder: Path, records: int) -> dict[str, float]:
    """Append in large and in single transactions, and verify: records per CPU second.

    Only this process counts, without PostgreSQL's own time and the disk's, and the machine is shared.
    """
    with Store(url) as store:
        attach(store, folder / "speed.key")
        begun = time.process_time()
        for k in range(0, records, 1_000):
            with store.writing(BEGIN_US + k * 1_000) as tx:
                for n in range(1_000):
                    tx.audit("ann", "judge", f"case-{n % 97}", {"k": k, "verdict": "true"})
        many = records / (time.process_time() - begun)
        begun = time.process_time()
        for k in range(300):
            with store.writing(BEGIN_US + (records + k) * 1_000) as tx:
                tx.audit("ann", "judge", "case-1", {"k": k}, {"acct-1": {"text": "why"}})
        single = 300 / (time.process_time() - begun)
        begun = time.process_time()
        found = verify(store)
        took = time.process_time() - begun
        assert isinstance(found, VerifiedTrail), found
        return {
            "appended_per_cpu_s": round(many),
            "single_transactions_per_cpu_s": round(single),
            "verified_per_cpu_s": round(found.records / took),
            "records": found.records,
        }


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--tampers", type=int, default=12_000)
    told.add_argument("--records", type=int, default=50_000)
    told.add_argument("--seed", type=int, default=0)
    told.add_argument("--json", action="store_true")
    asked = told.parse_args()
    figures: dict[str, Any] = {}
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as name, running() as server:
        folder = Path(name)
        for engine in ("sqlite", *(("postgresql",) if server else ())):
            tried: Counter[str] = Counter()
            seed = asked.seed
            share = asked.tampers // (2 if server else 1)
            while tried.total() < share:
                seed += 1
                url = (
                    new_database(server)
                    if engine == "postgresql" and server
                    else f"sqlite:///{folder}/{seed}.db"
                )
                more, bad = tampers(url, folder, min(PER_TRAIL, share - tried.total()), seed)
                tried, missed = tried + more, missed + [f"{engine}, {one}" for one in bad]
            url = (
                new_database(server) if engine == "postgresql" and server else f"sqlite:///{folder}/speed.db"
            )
            figures[engine] = {"tried": tried.total(), "by_kind": dict(tried)} | speed(
                url, folder, asked.records
            )
            (folder / "speed.key").unlink()
    total = sum(one["tried"] for one in figures.values())
    if asked.json:
        print(
            json.dumps({"tried": total, "named": total - len(missed), "engines": figures, "missed": missed})
        )
    else:
        for engine, one in figures.items():
            print(
                f"{engine}: {one['tried']:,} tampers of {len(one['by_kind'])} kinds; in a CPU second: append "
                f"{one['appended_per_cpu_s']:,} records, or {one['single_transactions_per_cpu_s']:,} in "
                f"transactions of their own; verify {one['verified_per_cpu_s']:,} (of {one['records']:,})"
            )
        print(f"{total - len(missed):,} of {total:,} tampers named with the right record and cause")
        for sentence in missed[:20]:
            print(f"  missed: {sentence}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
