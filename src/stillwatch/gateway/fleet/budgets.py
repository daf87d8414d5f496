"""Exchanges what accounts spend between the gateways of a fleet.

The workers' mapped files hold their counts (`path.budgets`). This part adds them up and writes the changed
rows to the database, a few times a second. From it come two files of the same form: what is spent and held
elsewhere, which counts like a further worker's; and what all others have read of this gateway. From the
latter a worker sees what no other gateway counts yet (`terms.limiter`). A row here is followed by its slots;
gateways of an earlier version write none.
"""

import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stillwatch.gateway.fleet.database import LATE_S, SPENT_CHANNEL, read_gateways
from stillwatch.gateway.fleet.part import FleetPart
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.path.budgets import (
    ELSEWHERE,
    FIRST_ROWS,
    HELD,
    HELD_BITS,
    HELD_MINUTES,
    KNOWN,
    MOST_HELD,
    OF_DAY,
    PROMISED,
    ROOM,
    ROW,
    ROWS,
    SETS,
    SLOT,
    SLOTS,
    SLOTS_AT,
    START,
    STARTS,
    map_file,
    put_into_blocks,
    reserve_rows,
)
from stillwatch.units import utc_us

if TYPE_CHECKING:
    import psycopg

    Row = np.ndarray[Any, np.dtype[np.int64]]  # (ROW + SLOTS,), or (rows, ROW + SLOTS)

LOOK_S = 0.1  # between two exchanges of counts; longer if one takes long
SHARE_OF_TIME = 0.1  # of one core, at most
KEPT_HOURS = 25  # rows unchanged for so long are in no running window
TIDY_S = 3_600.0
ALL_HELD = [HELD, *range(SETS + 1, ROW, 2)]
BLOCKS_AT = range(ROW, ROW + SLOTS, SLOT)
# columns of the number of the minute, hour, day, each block of four hours; columns of its counts
WINDOWS = (
    (0, [1, 2]), (3, [4]), (5, list(OF_DAY)), *((at, list(range(at + 1, at + SLOT))) for at in BLOCKS_AT)
)  # fmt: skip


class BudgetExchange(FleetPart):
    """One gateway's part of the exchange."""

    name = "fleet-budgets"
    channel = SPENT_CHANNEL

    def __init__(self, folder: Folder, url: str, gateway: str, tell: Callable[[str], None]) -> None:
        super().__init__(url, tell)
        self._folder, self._gateway = folder, gateway
        self._elsewhere = _Target(folder.run / ELSEWHERE)
        self._known = _Target(folder.run / KNOWN, held_first=True)  # number of gateways survives a restart
        self._workers: dict[str, Row] = {}  # the workers' mapped files
        self._before: dict[str, Row] = {}  # the workers' rows, as they were last added up
        self._unread: list[tuple[int, dict[int, Row]]] = []  # rows written, until all others have read them
        self._others: dict[str, dict[int, Row]] = {}
        self._read: dict[str, int] = {}  # the newest change read of each other gateway
        self._alive: frozenset[str] = frozenset()
        self._change: int | None = None
        self._tidied_s = 0.0

    def step(self, db: "psycopg.Connection[Any]") -> float:
        """Write what changed here, read what changed elsewhere."""
        began_s = time.monotonic()
        if self._change is None:
            row = db.execute("SELECT max(changed) FROM spent WHERE gateway = %s", (self._gateway,)).fetchone()
            self._change = 0 if row is None or row[0] is None else int(row[0])
        changed = self._add_up()
        if changed:
            self._put(db, changed)
        self._look_at_gateways(db)
        self._take_up(db)
        self._note_read(db)
        if began_s - self._tidied_s > TIDY_S:
            self._tidied_s = began_s
            db.execute("DELETE FROM spent WHERE at < now() - make_interval(hours => %s)", (KEPT_HOURS,))
        return max(LOOK_S, (time.monotonic() - began_s) / SHARE_OF_TIME)

    def miss(self) -> None:
        """Write everything again: the last rows may be lost."""
        self._before.clear()
        self._change = None

    # --- what is spent here ---

    def _add_up(self) -> dict[int, "Row"]:
        """Add up the workers' rows that changed since the last call, by account number."""
        for path in self._folder.run.glob("worker-*.budgets"):
            if path.name not in self._workers:
                self._workers[path.name] = np.frombuffer(map_file(path), np.int64)
        numbers: set[int] = set()
        for name, values in self._workers.items():
            many, start = int(values[ROWS]), values[STARTS]
            now = _copy_rows(values[: many * ROW].reshape(many, ROW), _slots(values, many))
            now[np.ix_(now[:, START] != start, ALL_HELD)] = 0  # held by a start of the process that has ended
            now[:, START] = 0
            before = self._before.get(name, now[:0])
            numbers.update(np.flatnonzero((now[: len(before)] != before).any(1)).tolist())
            numbers.update((len(before) + np.flatnonzero(now[len(before) :].any(1))).tolist())
            self._before[name] = now
        return {
            n: _add([_row_in_blocks(rows[n]) for rows in self._before.values() if len(rows) > n])
            for n in numbers
        }

    def _put(self, db: "psycopg.Connection[Any]", changed: dict[int, "Row"]) -> None:
        assert self._change is not None
        self._change = max(self._change + 1, utc_us())  # from the time: others may know lost numbers
        for number, row in changed.items():  # first: others may read a row before we know that they did
            self._known.write(number, _least(self._known.row(number), row))
        rows = [(n, [int(v) for v in row]) for n, row in changed.items()]
        with db.transaction(), db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO spent VALUES (%s, %s, %s, %s, now(), %s) ON CONFLICT (gateway, number)"
                " DO UPDATE SET counts = excluded.counts, changed = excluded.changed, at = excluded.at,"
                " blocks = excluded.blocks",
                [(self._gateway, n, counts[:ROW], self._change, counts[ROW:]) for n, counts in rows],
            )
            cursor.execute("SELECT pg_notify(%s, '')", (SPENT_CHANNEL,))
        self._unread.append((self._change, changed))

    def _note_read(self, db: "psycopg.Connection[Any]") -> None:
        """Write to the file of known rows what all other gateways that are alive have read."""
        readers = db.execute("SELECT reader, changed FROM spent_read WHERE gateway = %s", (self._gateway,))
        read = {str(reader): int(changed) for reader, changed in readers}
        least = min((read.get(name, -1) for name in self._alive), default=self._change or 0)
        known: dict[int, Row] = {}
        while self._unread and self._unread[0][0] <= least:
            known |= self._unread.pop(0)[1]
        for number, row in known.items():  # they have read this row or a later one
            later = [rows[number] for _, rows in self._unread if number in rows]
            self._known.write(number, reduce(_least, later, row))

    # --- what is spent elsewhere ---

    def _look_at_gateways(self, db: "psycopg.Connection[Any]") -> None:
        gateways = read_gateways(db)
        self._known.values[STARTS] = max(1, len(gateways))
        alive = frozenset(g.name for g in gateways if g.silent_s <= LATE_S and g.name != self._gateway)
        if alive != self._alive:  # what answers of a gateway that is gone held is void
            self._alive = alive
            self._add_others({n for rows in self._others.values() for n in rows})

    def _take_up(self, db: "psycopg.Connection[Any]") -> None:
        names = sorted(self._read)
        rows = db.execute(
            "SELECT s.gateway, number, counts, blocks, changed FROM spent s"
            " LEFT JOIN unnest(%s::text[], %s::bigint[]) AS r (gateway, read) ON r.gateway = s.gateway"
            " WHERE s.gateway <> %s AND changed > coalesce(read, -1)",
            (names, [self._read[name] for name in names], self._gateway),
        ).fetchall()
        for gateway, number, counts, blocks, changed in rows:
            self._others.setdefault(gateway, {})[number] = _row_in_blocks([*counts, *(blocks or [0] * SLOTS)])
            self._read[gateway] = max(self._read.get(gateway, -1), changed)
        self._add_others({number for _, number, *_ in rows})  # first: rows reported as read must count
        read = [(self._gateway, name, at) for name, at in self._read.items()]
        if rows:
            with db.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO spent_read VALUES (%s, %s, %s) ON CONFLICT (reader, gateway) DO UPDATE SET"
                    " changed = excluded.changed",
                    read,
                )
            db.execute("SELECT pg_notify(%s, '')", (SPENT_CHANNEL,))

    def _add_others(self, numbers: set[int]) -> None:
        for number in numbers:
            rows = []
            for name, known in self._others.items():
                if (row := known.get(number)) is not None:
                    if name not in self._alive:
                        row = row.copy()
                        row[ALL_HELD] = 0
                    rows.append(row)
            self._elsewhere.write(number, _add(rows))


class _Target:
    """A mapped file of rows that only this part writes.

    held_first: a concurrent reader sees an answer's held tokens or its used ones, never both; else it may see
    both, but never neither.
    """

    def __init__(self, path: Path, *, held_first: bool = False) -> None:
        self._path, self._held_first = path, held_first
        self.values: Row = np.frombuffer(map_file(path), np.int64)

    def row(self, number: int) -> "Row":
        """Return one account's row."""
        if not 0 <= number < self.values[ROWS]:
            return np.zeros(ROW + SLOTS, np.int64)
        row = self.values[number * ROW : (number + 1) * ROW]
        return np.concatenate([row, _slots(self.values, number + 1)[number]])

    def write(self, number: int, row: "Row") -> None:
        """Write one account's row. Raises: OSError if the disk has no room for it."""
        if not 0 <= number < ROOM:
            return
        if number >= self.values[ROWS]:
            many = min(ROOM, max(FIRST_ROWS, 1 << number.bit_length()))
            reserve_rows(self._path, many)
            self.values[ROWS] = many
        at, slots = self.values[number * ROW : (number + 1) * ROW], _slots(self.values, number + 1)[number]
        for part, counts in ((at, row[:ROW]), (slots, row[ROW:]))[:: 1 if self._held_first else -1]:
            part[:] = counts


def _slots(values: "Row", rows: int) -> "Row":
    """Return the slots of a file's first rows."""
    return values[SLOTS_AT : SLOTS_AT + rows * SLOTS].reshape(rows, SLOTS)


def _row_in_blocks(counts: "Row | list[int]") -> "Row":
    """Return a row with its day entirely in blocks, also if an earlier version counted it."""
    row = [int(count) for count in counts]
    put_into_blocks(row, 0, ROW)
    return np.array(row, np.int64)


def _copy_rows(rows: "Row", slots: "Row") -> "Row":
    """Copy rows that a worker keeps changing, held tokens first: it counts an answer, then releases them."""
    held = rows[:, ALL_HELD].copy()
    copied = np.concatenate([rows, slots], axis=1)
    copied[:, ALL_HELD] = held
    return copied


def _least(earlier: "Row", later: "Row") -> "Row":
    """Return the least that a reader of one of two rows counts, in the later row's windows."""
    least = np.minimum(earlier, later)
    for at, columns in WINDOWS:
        if earlier[at] != later[at]:
            least[at], least[columns] = later[at], 0
    return least


def _add(rows: "list[Row]") -> "Row":
    """Add rows of one account: the newest minute, hour, day and blocks, and counts without a window."""
    total: Row = np.zeros(ROW + SLOTS, np.int64)
    for at, columns in WINDOWS if rows else ():
        total[at] = max(row[at] for row in rows)
        for row in rows:
            if row[at] == total[at]:
                total[columns] += row[columns]
    for row in rows:
        total[[PROMISED, *ALL_HELD]] += row[[PROMISED, *ALL_HELD]]
    minutes = [int(row[HELD_MINUTES]) for row in rows if row[5] == total[5]]
    many = min(sum(minute & MOST_HELD for minute in minutes), MOST_HELD)
    total[HELD_MINUTES] = max((minute >> HELD_BITS for minute in minutes), default=0) << HELD_BITS | many
    return total
