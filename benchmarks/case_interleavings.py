"""Can a record, act or verdict of the cases be lost, doubled or come back? See `state_interleavings`.

Several processes look at and judge the same few cases at once. Some are killed, some find the disk full. This
process has the database open meanwhile: it writes, opens and closes it a second time, copies it, or finds a
copy in its place. PostgreSQL is killed instead.
"""

import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from sqlalchemy import select

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import postgres_server  # noqa: E402 - the tests' own world
from cases_world import NOW_US, campaign, names, result  # noqa: E402
from forked_commands import ForkedCommands  # noqa: E402
from interleaving_outcome import Outcome  # noqa: E402
from stillwatch.cases import CaseError, Verdict, handling, tables  # noqa: E402
from stillwatch.cases.acts import acts_of  # noqa: E402
from stillwatch.cases.audit import Broken  # noqa: E402
from stillwatch.cases.audit.tables import records  # noqa: E402
from stillwatch.cases.audit.trail import attach  # noqa: E402
from stillwatch.cases.audit.verify import verify  # noqa: E402
from stillwatch.cases.fold import fold  # noqa: E402
from stillwatch.cases.store import Store  # noqa: E402
from stillwatch.units import utc_us  # noqa: E402

CASES = 3
VERIFIED_EACH = 20  # interleavings between two verifications, which take longer as the trail grows
NO_ROOM_BYTES = (4_096, 400_000)  # from nothing to some pages of the log; output still fits
WRITER = f"""
sys.path[:0] = [{str(ROOT / "benchmarks")!r}]
from case_interleavings import write
def act(words):
    write(*words)
"""


def write(url: str, key: str, name: str, count: str, *case_ids: str) -> None:
    """Look and judge alternately, as another process; print each success."""
    with Store(url) as store:
        attach(store, Path(key))
        for k in range(int(count)):
            do_one(store, f"{name}-{k}", case_ids[k % len(case_ids)] if k % 2 else None)
            print(f"{name}-{k}", flush=True)


def do_one(store: Store, mark: str, case_id: str | None) -> None:
    """Leave a mark in the database: as the subject of a view, or as the reason of a verdict."""
    if case_id is None:
        store.look("ann", "looked", mark, {}, utc_us())
    else:
        verdict = Verdict.TRUE if len(mark) % 2 else Verdict.SUSPICIOUS
        handling.judge(store, case_id, verdict, who="ann", why=mark, now_us=utc_us())


class CaseWorld:
    """One database of cases, its writers, and its expected contents."""

    def __init__(self, place: Path, seed: int, server: postgres_server.PostgresServer | None) -> None:
        self.random, self.outcome = random.Random(seed), Outcome()
        self.place, self.path, self.key = place, place / "cases.db", place / "audit.key"
        self._server = server
        self.url = (
            f"sqlite:///{self.path}" if server is None else postgres_server.new_database(str(server.folder))
        )
        self.store = self._attached()
        fold(
            self.store,
            result(*(campaign(f"sw-{k}", names(k * 9, k * 9 + 5)) for k in range(CASES))),
            NOW_US,
            "x",
        )
        with self.store.reading() as db:
            self.case_ids = list(db.execute(select(tables.cases.c.id)).scalars())
        self.must: set[str] = set()  # marks that were acknowledged
        self.may: set[str] = set()  # marks whose writing was started
        self.copies: list[tuple[Path, set[str]]] = []
        self._writers = ForkedCommands(place, WRITER)

    def _attached(self) -> Store:
        store = Store(self.url)
        attach(store, self.key)
        return store

    def close(self) -> None:
        self._writers.close()
        self.store.close()

    # --- what happens ---

    def other_process(self) -> None:
        """Let another process write; it may be killed, or find the disk full."""
        name, count = f"p{self.random.randrange(1 << 40)}", self.random.randint(1, 8)
        self.may |= {f"{name}-{k}" for k in range(count)}
        killed = self.random.uniform(0, 0.4) if self.random.random() < 0.4 else None
        full = self.random.random() < 0.15 and self._server is None
        most = self.random.randint(*NO_ROOM_BYTES) if full else None
        words = (self.url, str(self.key), name, str(count), *self.case_ids)
        _, text = self._writers(*words, kill_after_s=killed, most_bytes=most)
        self.must |= {line for line in text.split("\n")[:-1] if line in self.may}
        self.outcome.did["writers"] += 1
        self.outcome.did["writers killed"] += killed is not None
        self.outcome.did["full disks"] += full

    def this_process(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            mark = f"here{self.random.randrange(1 << 40)}"
            self.may.add(mark)
            with suppress(CaseError):  # PostgreSQL is away
                do_one(self.store, mark, self.random.choice((None, *self.case_ids)))
                self.must.add(mark)

    def second_handle(self) -> None:
        """Open and close the database once more in this process, which once dropped its locks."""
        with suppress(CaseError):
            self._attached().close()
            self.outcome.did["second handles"] += 1

    def restart(self) -> None:
        self.store.close()
        self.store = self._attached()
        self.outcome.did["restarts"] += 1

    def copy(self) -> None:
        """Copy while others write: everything acknowledged before is in the copy."""
        must, to = set(self.must), self.place / f"copy-{len(self.copies)}.db"
        with closing(sqlite3.connect(self.path)) as db, closing(sqlite3.connect(to)) as backup:
            db.backup(backup)
        self.copies.append((to, must))
        self.outcome.did["copies made"] += 1

    def put_back(self) -> None:
        """Replace the database by a copy while this process has it open: it must not continue."""
        copied, must = self.random.choice(self.copies)
        for path in self.place.glob("cases.db-*"):
            path.unlink()
        shutil.copy(copied, self.place / "beside.db")
        (self.place / "beside.db").rename(self.path)
        self.must = set(must)
        try:
            do_one(self.store, "lost", None)
            self.outcome.wrong.append("written to a file that is gone: and answered with success")
        except CaseError:
            pass
        self.restart()
        self.outcome.did["copies put back"] += 1

    def lose_database(self) -> None:
        """Stop or kill PostgreSQL, which restarts after a moment."""
        assert self._server is not None
        self._server.stop(self.random.choice((signal.SIGINT, signal.SIGKILL)))
        time.sleep(self.random.uniform(0.0, 0.3))
        self._server.start()
        self.outcome.did["ends of PostgreSQL"] += 1

    # --- one interleaving ---

    def step(self) -> None:
        alone = [self.restart, *([self.put_back] if self.copies and self._server is None else [])]
        if self.random.random() < 0.08:
            self.random.choice(alone)()
        work: list[Callable[[], None]] = [self.other_process, self.this_process]
        for what, share in (
            (self.other_process, 0.6),
            (self.other_process, 0.3),
            (self.second_handle, 0.5),
            (self.copy, 0.05 if self._server is None else 0.0),
            (self.lose_database, 0.1 if self._server is not None else 0.0),
        ):
            work += [what] if self.random.random() < share else []
        self.random.shuffle(work)
        with ThreadPoolExecutor(len(work)) as pool:
            list(pool.map(lambda do: do(), work))
        self.outcome.interleavings += 1
        self.compare()

    def compare(self) -> None:
        """Compare the expected contents with what another handle reads."""
        with self._attached() as fresh:
            found: Counter[str] = Counter()
            with fresh.reading() as db:
                looked = select(records.c.subject).where(records.c.what == "looked")
                found.update(db.execute(looked).scalars())
                for case_id in self.case_ids:
                    acts = [act for act in acts_of(db, case_id) if act.verb == "judge"]
                    found.update(act.text for act in acts)
                    stands = db.execute(
                        select(tables.cases.c.verdict).where(tables.cases.c.id == case_id)
                    ).scalar()
                    if acts and stands != acts[-1].sets["verdict"]:
                        self.outcome.wrong.append(f"verdict: {stands} of {case_id}, not that of its last act")
            self.outcome.wrong += [f"lost: {one}" for one in self.must - found.keys()]
            self.outcome.wrong += [f"out of nowhere: {one}" for one in found.keys() - self.may]
            self.outcome.wrong += [f"doubled: {one}" for one, count in found.items() if count > 1]
            self.must = set(found)  # from now on, unacknowledged writes count too
            if self.outcome.interleavings % VERIFIED_EACH == 0 and isinstance(
                broken := verify(fresh), Broken
            ):
                self.outcome.wrong.append(f"audit trail broken: {broken}")


def interleave_cases(n: int, seed: int, seconds: float = 86_400, in_postgres: bool = False) -> Outcome:
    """Run `n` interleavings on a database of cases, or as many as fit in the time."""
    end = time.monotonic() + seconds
    with ExitStack() as ends:
        place = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="stillwatch-cases-")))
        server = ends.enter_context(postgres_server.startable()) if in_postgres else None
        world = CaseWorld(place, seed, server)
        ends.callback(world.close)
        while world.outcome.interleavings < n and time.monotonic() < end:
            world.step()
        return world.outcome
