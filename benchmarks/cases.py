"""Figures on cases: whom actions affect, undo, repeated folding, and the time for a case of 25,000 accounts.

    python benchmarks/cases.py [--scenes DIR] [--histories N]

scenes: the folder of dev-a and dev-b (exchanges.parquet, accounts.parquet, truth.parquet); without it only
the shipped sample is scanned. Prints one Markdown table.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import select

from stillwatch.cases import CaseError, Verdict, handling, reading
from stillwatch.cases.alert import alert
from stillwatch.cases.evidence import latest
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store
from stillwatch.cases.tables import METADATA, cases, hours, members
from stillwatch.scan import AccountVerdict, Campaign, Harvest, Hour, Link, Reason, ScanResult, ScanTotals
from stillwatch.scan.pipeline import run

ROOT = Path(__file__).parent.parent
START = datetime(2026, 3, 1, tzinfo=UTC)
NOW_US = int(START.timestamp()) * 1_000_000 + 30 * 86_400_000_000
LARGE = 25_000
MOVING = ("updated_us", "revision")


@dataclass(frozen=True)
class Touched:
    """Whom actions on a scene's cases would affect."""

    named: int
    named_honest: int
    touched: int
    touched_honest: int
    again: bool  # folding the same findings again changed a row


def rows(store: Store, tables: tuple[Any, ...], but: tuple[str, ...] = ()) -> list[list[str]]:
    """Return the contents of some tables, sorted."""
    with store.reading() as db:
        return [
            sorted(
                repr({name: value for name, value in row.items() if name not in but})
                for row in db.execute(select(table)).mappings()
            )
            for table in tables
        ]


def scene(folder: Path, at: Path) -> Touched:
    """Scan a scene, fold it, and count whom the recommended actions affect."""
    truth = pq.read_table(folder / "truth.parquet", columns=["account", "campaign"]).to_pylist()
    honest = {row["account"] for row in truth if row["campaign"] is None}
    found = run([folder / "exchanges.parquet"], accounts=folder / "accounts.parquet")
    named: set[str] = set()
    touched: set[str] = set()
    with Store(f"sqlite:///{at}/{folder.name}.db") as store:
        fold(store, found, NOW_US, folder.name)
        before = rows(store, tuple(METADATA.sorted_tables))
        fold(store, found, NOW_US + 1, folder.name)
        again = rows(store, tuple(METADATA.sorted_tables)) != before
        for case in reading.queue(store, reading.Filter(suppressed=False, limit=1_000), NOW_US).cases:
            named.update(store.case(case.id).accounts)
            touched.update(reading.targets(store, case.id).accounts)
    return Touched(len(named), len(named & honest), len(touched), len(touched & honest), again)


def made_up(accounts: int, links: bool = True) -> ScanResult:
    """Build one campaign of so many accounts, with two links each."""
    names = tuple(f"acct_{i:08x}" for i in range(accounts))
    line = tuple(Hour(START + timedelta(hours=h), 700, 350_000) for h in range(300))
    taken = Harvest(210_000, 105_000_000, 9e7, 180_000)
    reasons = (
        Reason("coordinated_harvest", "act alike", 30.0, 0.9, 0.2, None, accounts),
        Reason("shared_wording", "share phrases", 20.0, 1.0, 0.1, None, 600),
    )
    ties = tuple(
        Link(a, "sw-1", clue, 8.0, text, control)
        for a in names
        for clue, text, control in (
            ("shared_wording", "carries 70 of 600 phrases", "client"),
            ("shared_network", "shares a network", "provider"),
        )
    )
    title = f"{accounts:,} accounts took 210,000 answers."
    named_at = dict.fromkeys(names, START + timedelta(hours=2))
    c = Campaign(
        "sw-1",
        START + timedelta(hours=2),
        1e-9,
        50.0,
        names,
        taken,
        replace(taken, exchanges=900),
        reasons,
        (),
        title=title,
        named_at=named_at,
        links=ties if links else (),
        timeline=line,
        firm=names,
    )
    verdicts = tuple(AccountVerdict(a, 1e-9, "sw-1", None, 8) for a in names)
    scanned = ScanTotals(10_000_000, 200_000, START, START + timedelta(hours=300), 0, 60.0)
    return ScanResult("0", scanned, (c,), verdicts)


def play(store: Store, case_id: str, rng: random.Random) -> int | None:
    """Do something random to a case; return the act, or None if nothing was done."""
    last = reading.acts(store, case_id)[-1].id
    who, now_us = rng.choice(("ann", "bo", "cy")), NOW_US + rng.randint(0, 1_000)
    by: dict[str, Any] = {"who": who, "why": "because", "now_us": now_us}
    some = [f"acct_{i:08x}" for i in rng.sample(range(20), rng.randint(1, 5))]
    verdict = rng.choice([v for v in Verdict if v != Verdict.VICTIM])
    until_us = now_us + 86_400_000_000
    deeds: list[Callable[[], object]] = [
        lambda: handling.assign(store, case_id, rng.choice(("ann", None)), due_us=now_us, **by),
        lambda: handling.judge(store, case_id, verdict, **by),
        lambda: handling.judge_accounts(store, case_id, some, rng.choice([*Verdict, None]), **by),
        lambda: handling.close(store, case_id, verdict, **by),
        lambda: handling.reopen(store, case_id, **by),
        lambda: handling.suppress(store, case_id, owner=who, until_us=until_us, **by),
        lambda: handling.unsuppress(store, case_id, **by),
        lambda: handling.appeal(store, case_id, "no", who=who, now_us=now_us),
        lambda: handling.decide(store, case_id, rng.random() < 0.5, accounts=some, **by),
    ]
    try:
        rng.choice(deeds)()
    except CaseError:
        return None
    act = reading.acts(store, case_id)[-1].id
    return act if act > last else None  # closing a closed case does nothing


def undone(histories: int, at: Path) -> tuple[int, int, float]:
    """Play random histories, undo each act. Return how many, how many exactly, and median seconds each."""
    rng, tried, exact, spent = random.Random(4), 0, 0, []
    tables = (cases, members, hours)
    for k in range(histories):
        with Store(f"sqlite:///{at}/undo{k}.db") as store:
            (case_id,) = fold(store, made_up(20), NOW_US, "x").opened
            for _ in range(6):
                before = rows(store, tables, MOVING)
                act = play(store, case_id, rng)
                if act is None:
                    continue
                begun = time.perf_counter()
                handling.undo(store, case_id, act, who="dee", why="x", now_us=NOW_US)
                spent.append(time.perf_counter() - begun)
                tried += 1
                exact += rows(store, tables, MOVING) == before
                if rng.random() < 0.7:  # most acts are kept
                    last = reading.acts(store, case_id)[-1].id
                    handling.undo(store, case_id, last, who="dee", why="x", now_us=NOW_US)
    return tried, exact, sorted(spent)[len(spent) // 2]


def timed(what: Callable[[], object], tries: int = 3) -> tuple[float, float]:
    """Return the least wall and CPU seconds of some tries."""
    walls, cpus = [], []
    for _ in range(tries):
        wall, cpu = time.perf_counter(), time.process_time()
        what()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def large(at: Path) -> list[tuple[str, float, float]]:
    """Return the times with one case of 25,000 accounts: step, wall and CPU seconds."""
    result = made_up(LARGE)
    fresh = iter(range(100))

    def first() -> None:
        with Store(f"sqlite:///{at}/large{next(fresh)}.db") as new:
            fold(new, result, NOW_US, "x")

    told = [("fold it in", *timed(first))]
    with Store(f"sqlite:///{at}/large0.db") as store:
        (case,) = reading.queue(store, reading.Filter(), NOW_US).cases
        told += [
            ("fold the same again", *timed(lambda: fold(store, result, NOW_US, "x"))),
            ("load it with all accounts", *timed(lambda: store.case(case.id))),
            ("its alert", *timed(lambda: alert(store, case.id, NOW_US))),
            ("a page of its accounts", *timed(lambda: reading.members_of(store, case.id, offset=20_000))),
            ("its evidence with 50,000 links", *timed(lambda: latest(store, case.id))),
            ("whom an action may touch", *timed(lambda: reading.targets(store, case.id))),
        ]
    return told


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--scenes", type=Path, default=ROOT.parent / "shared" / "range")
    words.add_argument("--histories", type=int, default=50)
    given = words.parse_args()
    wrong = False
    lines = ["| what | figure |", "|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        for folder in (given.scenes / "dev-a", given.scenes / "dev-b", ROOT / "sample"):
            if not (folder / "truth.parquet").exists():
                lines.append(f"| {folder.name} | not here |")
                continue
            t = scene(folder, at)
            wrong |= t.again
            lines.append(
                f"| {folder.name}: innocents touched by the actions that cases recommend | "
                f"**{t.touched_honest}** of {t.touched:,} accounts touched; {t.named:,} named, "
                f"{t.named_honest} of them innocent |"
            )
            lines.append(
                f"| {folder.name}: rows changed by folding the same again | {'some' if t.again else 0} |"
            )
        tried, exact, seconds = undone(given.histories, at)
        wrong |= tried != exact
        lines.append(
            f"| acts undone exactly, in {given.histories} random histories | **{exact} of {tried}** |"
        )
        lines.append(f"| seconds to undo one, median | {seconds:.3f} |")
        for what, wall, cpu in large(at):
            lines.append(f"| a case of {LARGE:,} accounts: {what} | {wall:.2f} s ({cpu:.2f} s CPU) |")
    lines.append(f"| machine | {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} |")
    print("\n".join(lines))
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
