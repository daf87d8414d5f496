"""Cases under faults: a process killed in the middle, a full disk, many processes that open the database."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import event, select

import cases_world as world
from cases_world import NOW_US, campaign, everything, names, only, result
from stillwatch.cases import CaseError, Verdict, handling, reading, tables
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_many_may_open_a_new_database_at_once(tmp_path: Path, kind: str) -> None:
    for number in range(40 if kind == "sqlite" else 1):  # SQLite once refused 1 in 25
        folder = tmp_path / str(number)
        folder.mkdir()
        assert _opened_at_once(world.url_of(kind, folder)) == [0] * 6


def _opened_at_once(url: str) -> list[object]:
    start = threading.Barrier(6)
    revisions: list[object] = []

    def open_it() -> None:
        start.wait()
        try:
            with Store(url) as store:
                revisions.append(store.revision())
        except CaseError as why:
            revisions.append(why)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return revisions


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    with Store(world.url_of("sqlite", tmp_path)) as store:
        fold(store, result(campaign("sw-1", names(0, 5))), NOW_US, "x")
        before = everything(store)
        store.engine.dispose()

        @event.listens_for(store.engine, "connect")
        def small(connection: object, _: object) -> None:
            connection.execute("PRAGMA max_page_count = 60")  # type: ignore[attr-defined]

        with pytest.raises(CaseError, match="make room"):
            fold(store, result(campaign("sw-2", names(100, 9_000))), NOW_US, "x")
        assert everything(store) == before
        # what needs no more room goes on
        assert handling.judge(store, only(store), Verdict.TRUE, who="ann", why="x", now_us=NOW_US).verdict


def test_who_cannot_write_is_told_so(tmp_path: Path) -> None:
    with Store(world.url_of("sqlite", tmp_path)) as store:
        fold(store, result(campaign("sw-1", names(0, 5))), NOW_US, "x")
        with store.reading() as db:
            db.exec_driver_sql("PRAGMA query_only = ON")  # stays with the pooled connection
        with pytest.raises(CaseError, match="cannot be written"):
            handling.judge(store, only(store), Verdict.TRUE, who="ann", why="x", now_us=NOW_US)


FOLD = """
import sys
sys.path.insert(0, sys.argv[2])
from cases_world import NOW_US, campaign, names, result
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store
found = result(campaign("sw-1", names(0, 4_000)), campaign("sw-2", names(5_000, 5_300)))
with Store(sys.argv[1]) as store:
    print("ready", flush=True)
    fold(store, found, NOW_US, "x")
    print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_moment_a_scan_is_folded_whole_or_not_at_all(tmp_path: Path, seed: int) -> None:
    url = world.url_of("sqlite", tmp_path)
    here = str(Path(__file__).parent)
    child = subprocess.Popen([sys.executable, "-c", FOLD, url, here], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0, 0.6))
    os.kill(child.pid, signal.SIGKILL)
    done = "done" in child.stdout.read()
    child.stdout.close()
    child.wait()
    with Store(url) as store:
        with store.reading() as db:
            folded = len(db.execute(select(tables.findings.c.finding)).all())
        assert folded in ((2,) if done else (0, 2))
        found = result(campaign("sw-1", names(0, 4_000)), campaign("sw-2", names(5_000, 5_300)))
        fold(store, found, NOW_US, "x")
        shown = reading.queue(store, reading.Filter(), NOW_US).cases
        assert sorted(c.members for c in shown) == [300, 4_000]


THREADS = """
import dataclasses, sys, threading
sys.setswitchinterval(1e-6)
from stillwatch.conversion import convert
for _ in range(60):
    inner = [dataclasses.make_dataclass(f"Inner{k}", [("a", int)], frozen=True) for k in range(12)]
    fields = [(f"f{k}", kind) for k, kind in enumerate(inner)]
    outer = dataclasses.make_dataclass("Outer", fields, frozen=True)
    row, begin = {f"f{k}": {"a": 1} for k in range(12)}, threading.Barrier(4)
    threads = [
        threading.Thread(target=lambda: (begin.wait(), convert(row, outer))) for _ in range(4)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


@pytest.mark.slow
def test_threads_that_meet_a_kind_of_record_together_crash_nobody() -> None:
    """msgspec publishes a type before it has stored its fields, which ended a process without a message."""
    assert subprocess.run([sys.executable, "-c", THREADS], timeout=240).returncode == 0
