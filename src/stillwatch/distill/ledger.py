"""The ledger of a run: every request before it is sent, every answer when it has arrived. SQLite, one writer.

A row is durable before its request goes out, and an answer is durable before another request takes its place.
A process killed at any moment therefore leaves at most the requests under way unaccounted. Those count as
fully paid from then on: the teacher may have answered them.
"""

import fcntl
import os
import queue
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from stillwatch.distill import DistillError
from stillwatch.errors import refuse_os_errors

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempt (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,            -- of the sample: teacher, prompt, parameters, number
  purpose TEXT NOT NULL,        -- train, evaluate
  sent_us INTEGER NOT NULL,
  state TEXT NOT NULL,          -- sent, stored, unpaid, in_doubt
  bound_tokens INTEGER NOT NULL,     -- what it may take by its own size
  reserved_tokens INTEGER NOT NULL,  -- what was set aside for it
  reserved_pusd INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  pusd INTEGER NOT NULL DEFAULT 0,
  latency_us INTEGER,
  status INTEGER,
  error TEXT
);
CREATE INDEX IF NOT EXISTS attempt_of_key ON attempt (key);
CREATE TABLE IF NOT EXISTS answer (
  key TEXT PRIMARY KEY,
  attempt INTEGER NOT NULL REFERENCES attempt (id),
  reply BLOB NOT NULL           -- the teacher's JSON as it came, deflated
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failure (
  key TEXT PRIMARY KEY,
  final INTEGER NOT NULL,       -- 1: the teacher refuses this request for good; 0: asked again next time
  error TEXT NOT NULL
) WITHOUT ROWID;
"""
LAYOUT = 1  # SQLite's user_version; 0 is the same layout, from before it was numbered
BALLAST = 4 << 20  # bytes released when the disk is full, so that answers under way can still be stored


@dataclass(frozen=True)
class RunCost:
    """The cost of a run so far. Requests in doubt count as if they had been answered in full."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    pusd: int = 0
    answers: int = 0
    doubtful_requests: int = 0
    doubtful_tokens: int = 0
    doubtful_pusd: int = 0
    waited_us: int = 0  # for answers, summed over concurrent requests

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.doubtful_tokens

    @property
    def all_pusd(self) -> int:
        return self.pusd + self.doubtful_pusd


@dataclass(frozen=True)
class AttemptOutcome:
    """The outcome of an attempt. `reply` is set when the state is "stored"."""

    state: str
    input_tokens: int = 0
    output_tokens: int = 0
    pusd: int = 0
    latency_us: int | None = None
    status: int | None = None
    error: str | None = None
    reply: bytes | None = None


class LedgerFull(DistillError):
    """The disk is full; earlier answers stay stored."""


class RunLedger:
    """One run's ledger, held by one process exclusively."""

    def __init__(self, path: Path) -> None:
        """Open or create it, and settle what an earlier process left under way. Raises: DistillError."""
        self.path = path
        self._lock = _hold(path.with_suffix(".lock"))
        self._ballast = path.with_suffix(".ballast")
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            _of_this_layout(self._db)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
            self._db.execute(f"PRAGMA user_version = {LAYOUT}")
            self.left_in_doubt: int = self._db.execute(
                "UPDATE attempt SET state = 'in_doubt', error = 'the process ended while it was under way' "
                "WHERE state = 'sent'"
            ).rowcount
            self._next = 1 + (self._db.execute("SELECT max(id) FROM attempt").fetchone()[0] or 0)
            _make_ballast(self._ballast)
        except (sqlite3.Error, OSError) as why:
            os.close(self._lock)
            raise LedgerFull(
                f"{path}: cannot be opened for writing: {why}; nothing was asked, what is stored stays"
            ) from why
        self.full: str | None = None  # why a write to the disk failed, once one has
        self._waiting: queue.SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._writer.start()

    def __enter__(self) -> "RunLedger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._writer.join()
        self._db.close()
        self._ballast.unlink(missing_ok=True)
        os.close(self._lock)

    def sent(
        self, key: str, purpose: str, bound: int, tokens: int, pusd: int, now_us: int
    ) -> tuple[int, Future[None]]:
        """Record a request before it goes out; send it only when the future is done."""
        attempt, self._next = self._next, self._next + 1
        row = (attempt, key, purpose, now_us, bound, tokens, pusd)
        text = (
            "INSERT INTO attempt (id, key, purpose, sent_us, state, bound_tokens, reserved_tokens, "
            "reserved_pusd) VALUES (?, ?, ?, ?, 'sent', ?, ?, ?)"
        )
        return attempt, self._put(lambda: _do(self._db, text, row))

    def record_end(self, key: str, attempt: int, outcome: AttemptOutcome) -> Future[None]:
        """Record the outcome of a request, with its answer if there is one."""

        def write() -> None:
            o = outcome
            _do(
                self._db,
                "UPDATE attempt SET state = ?, input_tokens = ?, output_tokens = ?, pusd = ?, "
                "latency_us = ?, status = ?, error = ? WHERE id = ?",
                (
                    o.state, o.input_tokens, o.output_tokens, o.pusd, o.latency_us,
                    o.status, _storable(o.error), attempt,
                ),
            )  # fmt: skip
            if o.reply is not None:
                packed = zlib.compress(o.reply, 6)
                _do(self._db, "INSERT OR IGNORE INTO answer VALUES (?, ?, ?)", (key, attempt, packed))
                _do(self._db, "DELETE FROM failure WHERE key = ?", (key,))

        return self._put(write)

    def record_failure(self, key: str, error: str, final: bool) -> Future[None]:
        """Record that a sample was given up."""
        row = (key, int(final), _storable(error))
        return self._put(lambda: _do(self._db, "INSERT OR REPLACE INTO failure VALUES (?, ?, ?)", row))

    def answered_keys(self) -> set[str]:
        """Return the keys of stored answers, which are never asked again."""
        return {key for (key,) in self._db.execute("SELECT key FROM answer")}

    def given_up(self) -> dict[str, str]:
        """Return the keys that the teacher refused for good, with its words."""
        return dict(self._db.execute("SELECT key, error FROM failure WHERE final = 1"))

    def doubtful(self) -> set[str]:
        """Return the keys that were sent and have no recorded outcome."""
        return {
            key
            for (key,) in self._db.execute(
                "SELECT key FROM attempt WHERE state = 'in_doubt' AND key NOT IN (SELECT key FROM answer)"
            )
        }

    def first_reply(self) -> bytes | None:
        """Return the first stored answer, as it came."""
        row = self._db.execute("SELECT reply FROM answer ORDER BY attempt LIMIT 1").fetchone()
        return None if row is None else zlib.decompress(row[0])

    def failures(self, limit: int) -> list[tuple[int, str]]:
        """Count the samples that were given up, by the teacher's words."""
        rows = self._db.execute(
            "SELECT count(*), error FROM failure GROUP BY error ORDER BY 1 DESC, 2 LIMIT ?", (limit,)
        )
        return [(count, error) for count, error in rows]

    def excess(self) -> int:
        """Return by how many tokens a teacher has billed more than a request's size allowed, at worst."""
        return max(
            0,
            self._db.execute(
                "SELECT max(input_tokens + output_tokens - bound_tokens) FROM attempt WHERE state = 'stored'"
            ).fetchone()[0]
            or 0,
        )

    def recent(self, since_us: int) -> Iterator[tuple[int, int]]:
        """Yield when recent requests were sent, and the tokens that each took or may take."""
        return iter(
            self._db.execute(
                "SELECT sent_us, CASE state WHEN 'stored' THEN input_tokens + output_tokens "
                "ELSE reserved_tokens END FROM attempt WHERE sent_us > ? ORDER BY sent_us",
                (since_us,),
            ).fetchall()
        )

    def spent(self) -> RunCost:
        """Return the cost of this run."""
        return spent(self._db)

    def _put(self, write: Callable[[], None]) -> Future[None]:
        finished: Future[None] = Future()
        self._waiting.put((write, finished))
        return finished

    def _write(self) -> None:
        """The writer thread: one transaction for all waiting work, so that one sync serves many requests."""
        ends = False
        while not ends:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            ends = None in batch
            work = [request for request in batch if request is not None]
            error = self._commit(work)
            if error is not None and self._ballast.exists():
                self.full = error
                self._ballast.unlink()
                error = self._commit(work)
            for _, finished in work:
                with suppress(InvalidStateError):  # the waiting task may have been cancelled
                    if error is None:
                        finished.set_result(None)
                    else:
                        finished.set_exception(LedgerFull(f"{self.path}: cannot be written: {error}"))
            if error is not None:
                self.full = error

    def _commit(self, work: list[tuple[Callable[[], None], Future[None]]]) -> str | None:
        """Write a batch, atomically; return the error, if any."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for write, _ in work:
                write()
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError, OverflowError) as why:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            return str(why)
        return None


@contextmanager
def lock_out_collectors(path: Path) -> Iterator[None]:
    """Keep collectors out while a run is prepared. Raises: DistillError if one is at work."""
    lock = _hold(path.with_suffix(".lock"))
    try:
        yield
    finally:
        os.close(lock)


def read_only(path: Path) -> sqlite3.Connection:
    """Open a ledger for reading, even while another process writes. Raises: DistillError."""
    try:
        db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10)
        db.execute("SELECT count(*) FROM answer")
    except sqlite3.Error as why:
        raise DistillError(f"{path}: cannot be read: {why}") from why
    return db


def reply(db: sqlite3.Connection, key: str) -> tuple[bytes, int, int, int] | None:
    """Return one stored answer: its JSON, input tokens, output tokens, picodollars."""
    row = db.execute(
        "SELECT reply, input_tokens, output_tokens, pusd FROM answer "
        "JOIN attempt ON attempt.id = answer.attempt WHERE answer.key = ?",
        (key,),
    ).fetchone()
    return None if row is None else (zlib.decompress(row[0]), row[1], row[2], row[3])


def replies(db: sqlite3.Connection) -> Iterator[tuple[str, bytes, int, int]]:
    """Yield every stored answer in the order of asking: key, JSON, input tokens, output tokens."""
    rows = db.execute(
        "SELECT answer.key, reply, input_tokens, output_tokens FROM answer "
        "JOIN attempt ON attempt.id = answer.attempt ORDER BY attempt.id"
    )
    return ((key, zlib.decompress(packed), into, out) for key, packed, into, out in rows)


def answered_costs(db: sqlite3.Connection) -> list[tuple[int, int, int, int]]:
    """Return for every stored answer: input tokens, output tokens, latency in µs, bytes in this file."""
    return db.execute(
        "SELECT input_tokens, output_tokens, coalesce(latency_us, 0), length(reply) FROM answer "
        "JOIN attempt ON attempt.id = answer.attempt"
    ).fetchall()


def spent(db: sqlite3.Connection, purpose: str | None = None) -> RunCost:
    """Return the cost of a run, in all or for one purpose."""
    row = db.execute(
        "SELECT count(*), total(input_tokens), total(output_tokens), coalesce(sum(pusd), 0), "
        "coalesce(sum(state = 'stored'), 0), coalesce(sum(state IN ('sent', 'in_doubt')), 0), "
        "coalesce(sum(CASE WHEN state IN ('sent', 'in_doubt') THEN reserved_tokens END), 0), "
        "coalesce(sum(CASE WHEN state IN ('sent', 'in_doubt') THEN reserved_pusd END), 0), "
        "coalesce(sum(latency_us), 0) FROM attempt WHERE purpose = coalesce(?, purpose)",
        (purpose,),
    ).fetchone()
    return RunCost(*(int(value) for value in row))


def _do(db: sqlite3.Connection, text: str, row: tuple[Any, ...]) -> None:
    db.execute(text, row)


def _of_this_layout(db: sqlite3.Connection) -> None:
    (layout,) = db.execute("PRAGMA user_version").fetchone()
    if layout > LAYOUT:
        raise sqlite3.DatabaseError(f"a newer stillwatch wrote it (layout {layout}, this one knows {LAYOUT})")


def _storable(text: str | None) -> str | None:
    return None if text is None else text.encode(errors="replace").decode()[:2000]


def _hold(path: Path) -> int:
    """Lock the run for this process."""
    with refuse_os_errors(DistillError, f"{path}: cannot be written"):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        os.close(handle)
        raise DistillError(f"{path.parent}: is being collected already, by process {holder}") from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


def _make_ballast(path: Path) -> None:
    with path.open("wb") as out:
        for _ in range(BALLAST >> 16):
            out.write(os.urandom(1 << 16))  # not zeros: a file system may store those in no space
        out.flush()
        os.fsync(out.fileno())
