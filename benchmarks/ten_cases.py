#!/usr/bin/env python3
"""Ten cases to be judged from the console alone, and how often the judgement was right.

    python benchmarks/ten_cases.py make /tmp/ten sample ../shared/range/dev-c ../shared/range/dev-c-quiet
    python benchmarks/ten_cases.py serve /tmp/ten
    python benchmarks/ten_cases.py compare /tmp/ten

`make` scans each world, makes cases of its findings, and opens a case by hand from each lead. Of these it
draws ten: if possible four honest crowds at least, and up to half of either kind with a wrong label (findings
that are honest crowds, leads that are harvests), so that trusting the labels does not help. The truth decides
how many of which kind and is never shown. The folder's name is on each page: give worlds names that reveal
nothing. `serve` opens a console for each world, with its log, and prints the addresses of the ten and a
log-in. The judge writes FOLDER/verdicts.csv: case,verdict,began,ended with `harvest` or `honest`, and times
(UTC) as 09:41:30. `compare` reads the truth: a case is a harvest if most of its accounts are a campaign's.
"""

import csv
import json
import random
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.cases import CaseError
from stillwatch.cases.fold import fold
from stillwatch.cases.leads import leads, open_case
from stillwatch.cases.reading import Filter, members_of, queue
from stillwatch.cases.store import Store
from stillwatch.cli.console import ConsolePlace
from stillwatch.console import UserRole, people
from stillwatch.report.findings import FINDINGS, load

CASES, HONEST, SEED, FIRST_PORT = 10, 4, 15, 8191
ANALYST, PASSWORD = "judge", "nine verdicts of ten"
COMMAND = (sys.executable, "-c", "from stillwatch.cli.main import run; run()")


def main() -> None:
    """Make, serve or compare."""
    parser = parser_of(__doc__)
    parser.add_argument("do", choices=("make", "serve", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("worlds", type=Path, nargs="*")
    asked = parser.parse_args()
    if asked.do == "make":
        make(asked.folder, asked.worlds)
    elif asked.do == "serve":
        serve(asked.folder)
    else:
        compare(asked.folder)


def make(folder: Path, worlds: list[Path]) -> None:
    """Scan the worlds, make their cases, draw ten."""
    found: list[dict[str, str]] = []
    for world in worlds:
        report = folder / world.name
        if not (report / FINDINGS).exists():
            log = (str(world / "exchanges.parquet"), "--accounts", str(world / "accounts.parquet"))
            subprocess.run([*COMMAND, "scan", *log, "--out", str(report)], check=True)
        found += [{"world": str(world.absolute()), **case} for case in cases_of(report, world)]
    ten = draw(found, random.Random(SEED))
    kept = [{name: case[name] for name in ("world", "case")} for case in ten]
    (folder / "ten.json").write_text(json.dumps(kept, indent=1))
    print(f"{len(found)} cases, of which {len(ten)} were drawn; serve {folder} shows where")


def draw(found: list[dict[str, str]], chosen: random.Random) -> list[dict[str, str]]:
    """Draw ten cases whose labels reveal as little as possible."""
    shuffled = chosen.sample(found, len(found))
    honest = [case for case in shuffled if case["truth"] == "honest"]
    others = [case for case in shuffled if case["truth"] != "honest"]
    least = min(len(honest), max(HONEST, CASES - len(others)))
    ten = misled_half(honest, least, "lead") + misled_half(others, CASES - least, "finding")
    return chosen.sample(ten, len(ten))


def misled_half(cases: list[dict[str, str]], wanted: int, label: str) -> list[dict[str, str]]:
    """Return so many cases, up to half of them with a label other than the fitting one, `label`."""
    wrong = [case for case in cases if case["label"] != label]
    few = wrong[: wanted // 2]
    right = [case for case in cases if case["label"] == label][: wanted - len(few)]
    return few + right + wrong[len(few) :][: wanted - len(few) - len(right)]


def cases_of(report: Path, world: Path) -> list[dict[str, str]]:
    """Make a report's cases, and return each with its truth."""
    now_us = time.time_ns() // 1000
    with ConsolePlace(report).open(make=True) as store:
        fold(store, load(report), now_us, f"report {report.name}")
        for one in leads(store, limit=1_000)[0]:
            try:
                open_case(store, one.lead.id, who=ANALYST, why="to be judged", now_us=now_us)
            except CaseError:
                continue  # already a case, or all its accounts are in some
        people.add(store, ANALYST, UserRole.ANALYST, PASSWORD, who="ten_cases", now_us=now_us)
        every = queue(store, Filter(limit=1_000), now_us).cases
        return [
            {
                "case": one.id,
                "label": "lead" if one.rests_on_lead else "finding",
                "truth": truth_of(world, accounts)[0],
            }
            for one in every
            if (accounts := accounts_of(store, one.id))  # others hold all of some cases' accounts
        ]


def accounts_of(store: Store, case: str) -> tuple[str, ...]:
    """Return the accounts that a case names, including those whose home is another case."""
    found = members_of(store, case, limit=100_000)[0]
    return tuple(one.account for one in found if one.moved_to is None)


def truth_of(world: Path, accounts: tuple[str, ...]) -> tuple[str, str]:
    """Return whether a case is a harvest or honest in truth, and its accounts."""
    rows = pq.read_table(world / "truth.parquet", columns=["account", "kind", "campaign"]).to_pylist()
    told = {row["account"]: row["campaign"] or row["kind"] for row in rows}
    hostile = {row["account"] for row in rows if row["campaign"]}
    share = len(hostile & set(accounts)) / len(accounts)
    kinds = Counter(told[account] for account in accounts).most_common(3)
    return ("harvest" if share > 0.5 else "honest"), ", ".join(f"{n} {name}" for name, n in kinds)


def serve(folder: Path) -> None:
    """Open a console for each world until it is interrupted."""
    ten = json.loads((folder / "ten.json").read_text())
    worlds = list(dict.fromkeys(case["world"] for case in ten))
    running = []
    for port, world in enumerate(worlds, FIRST_PORT):
        log = ("--log", f"{world}/exchanges.parquet", "--accounts", f"{world}/accounts.parquet")
        where = (str(folder / Path(world).name), "--port", str(port))
        running.append(subprocess.Popen([*COMMAND, "console", *where, *log], stdout=subprocess.DEVNULL))
    for case in ten:
        print(f"http://127.0.0.1:{FIRST_PORT + worlds.index(case['world'])}/case/{case['case']}")
    print(f"log in as {ANALYST}, {PASSWORD!r}", flush=True)
    for one in running:
        one.wait()


def compare(folder: Path) -> None:
    """Print each verdict beside the truth, and the time taken."""
    ten = {case["case"]: Path(case["world"]) for case in json.loads((folder / "ten.json").read_text())}
    with (folder / "verdicts.csv").open() as file:
        given = list(csv.DictReader(file))
    right, seconds = 0, 0.0
    for row in given:
        world = ten[row["case"]]
        with ConsolePlace(folder / world.name).open() as store:
            case, accounts = store.case(row["case"]), accounts_of(store, row["case"])
        truth, kinds = truth_of(world, accounts)
        took = (clock(row["ended"]) - clock(row["began"])).total_seconds()
        right, seconds = right + (truth == row["verdict"]), seconds + took
        source = "lead" if case.rests_on_lead else "finding"
        print(
            f"{world.name:12} {case.id} {source:8} {len(accounts):4} accounts  judged {row['verdict']:8}"
            f"truth {truth:8}{'' if truth == row['verdict'] else 'WRONG '} ({kinds}) {took:.0f} s"
        )
    print(f"{right} of {len(given)} right in {seconds / 60:.1f} minutes")


def clock(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-01-01T{text}+00:00")


if __name__ == "__main__":
    main()
