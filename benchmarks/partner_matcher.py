#!/usr/bin/env python3
"""What a partner without Stillwatch finds with the matcher, compared with Stillwatch on the same log.

    python benchmarks/partner_matcher.py /work/shared/range/dev-a /work/shared/range/dev-c

Each world is cut in two by account: one half is the sender's, the other the partner's. The sender scans its
half and exports every case found, as if judged true, without using the truth. The partner runs the matcher on
his half (the program's own functions, each text hashed once for all files). Stillwatch scans the same half
for comparison. Printed: how many of the accounts that Stillwatch names there the matcher also names, in all
and in the shared campaigns (findings whose other half is in a case of the sender, by the truth), and how many
honest accounts the matcher names.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from exports_scenes import cases_of, halves_of, indicators_of, sealed_file  # noqa: E402 - the tests' own
from stillwatch.cases.alert import alert  # noqa: E402
from stillwatch.cases.exchange import matcher  # noqa: E402
from stillwatch.cases.fold import fold  # noqa: E402
from stillwatch.cases.store import Store  # noqa: E402
from stillwatch.scan.pipeline import run  # noqa: E402

RAW = b"the key of two providers, A and B"


def measured(world: Path) -> dict[str, object]:
    """Return the counts of one world."""
    accounts = world / "accounts.parquet"
    known = pq.read_table(world / "truth.parquet").to_pylist()
    truth = {row["account"]: row.get("campaign") for row in known}
    with tempfile.TemporaryDirectory() as work, Store(f"sqlite:///{work}/cases.db") as store:
        from exports_scenes import Figures

        now_us = time.time_ns() // 1000
        mine, theirs = halves_of(world / "exchanges.parquet", Path(work))
        fold(store, run([mine], accounts=accounts), now_us, "scan")
        wanted, shared, keys = [], set(), (0, 0)
        cases = cases_of(store)
        suspected = {account for case in cases for account in case.accounts}
        for case in cases:
            told = indicators_of(mine, case.accounts, Figures(), suspected - set(case.accounts))
            if told:
                file = Path(work) / f"{case.id}.json"
                file.write_bytes(sealed_file(alert(store, case.id, now_us), told, now_us))
                marks, _, keys = matcher.read_bundle(str(file), RAW, False)
                wanted.append(marks)
                shared |= {truth.get(one) for one in case.accounts} - {None, ""}
        begun = time.perf_counter()
        table = pq.read_table(theirs, columns=["account", "prompt", "system"])
        found = named_by_matcher(table.to_pylist(), keys, wanted)
        spent = time.perf_counter() - begun
        named = {a for c in run([theirs], accounts=accounts).campaigns for a in c.accounts}
        if len(wanted):
            _same_as_the_program(Path(work), file, table, keys, wanted[-1])
    of_shared = {a for a in named if truth.get(a) in shared}
    return {
        "world": world.name, "files": len(wanted), "named": len(named), "both": len(named & found),
        "named_of_shared": len(of_shared), "both_of_shared": len(of_shared & found),
        "matched": len(found), "matched_planted": sum(bool(truth.get(a)) for a in found),
        "matched_not_named": len(found - named),
        "matched_honest": sum(not truth.get(a) for a in found),
        "honest_that_stillwatch_names": sum(not truth.get(a) for a in named),
        "honest_accounts": sum(not truth.get(a) for a in set(table["account"].to_pylist())),
        "rows": table.num_rows, "rows_a_second": round(table.num_rows / spent),
    }  # fmt: skip


def named_by_matcher(
    rows: list[dict[str, Any]], keys: tuple[int, int], wanted: list[dict[str, set[str]]]
) -> set[str]:
    """Return the accounts that the matcher names for any of the files, each text hashed once for all."""
    totals = Counter(row["account"] for row in rows)
    carried: list[dict[str, list[Any]]] = [{} for _ in wanted]
    for row in rows:
        made = matcher.marks_of(keys, row["prompt"] or "", row["system"] or "")
        for file, told in zip(carried, wanted, strict=True):
            if marks := matcher.row_marks(made, told):
                file.setdefault(row["account"], []).append(marks)
    return {
        account
        for file in carried
        for account, marks in file.items()
        if matcher.is_named(totals[account], marks)
    }


def _same_as_the_program(work: Path, file: Path, table, keys, wanted) -> None:  # type: ignore[no-untyped-def]
    """Run the program itself on some rows, and compare its output with the functions."""
    some = table.slice(0, 2_000).to_pylist()
    (work / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    (work / "key").write_text(RAW.hex())
    words = [sys.executable, matcher.__file__, str(file), str(work / "log.jsonl"), "--key", str(work / "key")]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    mine = named_by_matcher(some, keys, [wanted])
    assert {line.split(",")[0] for line in out} == mine


def main() -> int:
    rows = [measured(Path(one)) for one in sys.argv[1:]]
    print(json.dumps(rows, indent=1))
    named, both = sum(r["named"] for r in rows), sum(r["both"] for r in rows)  # type: ignore[misc]
    print(f"of {named:,} accounts that Stillwatch names the matcher names {both:,}: {both / named:.1%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
