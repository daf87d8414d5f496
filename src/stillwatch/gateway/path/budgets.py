"""What each account has used in the current minute, hour and day, and what its unfinished answers reserve,
summed over all workers. The limits are in `terms.limiter`.

Each worker writes a mapped file of its own and reads the others': no locks, no messages. Windows follow the
clock, so a restart in the middle of one loses nothing. A file has disk blocks only for accounts in use.

A day is counted twice: from midnight, and in six blocks of four hours, which make up a sliding day
(`terms.window`). So the policy may switch between them. A worker of an earlier version, which has no such
blocks, can use the same files: its count of a day is assigned to the last hour in which it wrote.
"""

import mmap
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stillwatch.gateway.settings import HOOKS_WORKER, MOST_WORKERS
from stillwatch.terms import AccountUsage, FleetUsage
from stillwatch.terms.sections import MOST_SETS
from stillwatch.terms.window import BLOCK_US, BLOCKS
from stillwatch.units import DAY_US, HOUR_US, MINUTE_US

ROOM = 65_536  # accounts that are counted over all workers; further ones by each worker alone
BEYOND = 8_192  # of the latter, at once
# minute, requests, tokens; hour, tokens; day, tokens, tokens of batches; charged in advance; held minutes;
# reserved tokens, the process start that reserved them; of each set of models: tokens of the day, reserved
HOUR, DAY, PROMISED, HELD_MINUTES, HELD, START, SETS = 3, 5, 8, 9, 10, 11, 12
ROW = SETS + 2 * MOST_SETS
OF_DAY = (6, 7, *range(SETS, ROW, 2))  # columns of a day
# for each block of the sliding day: its number, then the same columns; block n is at n % BLOCKS
SLOT = 1 + len(OF_DAY)
SLOTS = BLOCKS * SLOT
# after the rows: starts of the process; rows with disk blocks; the slots of each row
STARTS, ROWS, SLOTS_AT = ROOM * ROW, ROOM * ROW + 1, ROOM * ROW + 2
SIZE = (SLOTS_AT + ROOM * SLOTS) * 8
EARLIER_SIZES = ROWS * 8, SLOTS_AT * 8  # the first has disk blocks for all rows; neither has slots
FIRST_ROWS = 256  # then twice as many, and so on
ELSEWHERE, KNOWN = "elsewhere.budgets", "known.budgets"  # of a fleet: see `fleet.budgets`
SKEW_US = 10_000_000  # how far the clock of another gateway may be ahead
HELD_BITS, MOST_HELD = 8, 255  # of HELD_MINUTES: the day's minutes below, the last such minute above
Counts = memoryview | list[int]


class Budgets:
    """One worker's view: `hold` reserves what an answer may bring, `add` counts it, `spent` sums all workers.

    Two workers that admit the last answer at once: each reserves first and reads then, so that one of them
    sees the other's. An answer is counted first, then its reservation is released. So a reader takes
    reservations before usage, and others' files last: it may count an answer twice but never misses it. `run`
    None: counted in memory, for one process.
    """

    def __init__(
        self, run: Path | None, worker: int = 0, workers: int = 1, *, in_fleet: bool = False
    ) -> None:
        self._beyond: dict[str, int] = {}
        rows = ROOM if run is None else BEYOND  # for accounts without a shared row
        self._own = memoryview(mmap.mmap(-1, 8 * (ROW + SLOTS) * rows)).cast("q")
        self._own_rows = rows
        self._mine, self._rows = self._own, rows  # the number of rows that may be written
        self._others: list[memoryview] = []
        self._known: memoryview | None = None  # what all gateways of a fleet know of this one
        if run is not None:
            self._path = _path(run, worker)
            self._mine = map_file(self._path)
            numbers = {k for k in range(2 * MOST_WORKERS) if _path(run, k).exists()}
            after = {MOST_WORKERS + k for k in range(workers)}  # of the next gateway, or the previous one
            others = (numbers | after | {*range(workers), HOOKS_WORKER}) - {worker}
            self._others = [map_file(_path(run, k)) for k in sorted(others)]
            if in_fleet:
                self._known = map_file(run / KNOWN)
                self._others.append(map_file(run / ELSEWHERE))  # must be the last
            self._mine[STARTS] += 1  # voids reservations of answers that another start admitted
            self._rows = self._mine[ROWS]
            with suppress(OSError):  # a file that an earlier version extended has no disk blocks for slots
                reserve_rows(self._path, self._rows)

    def place(self, account: str, number: int | None) -> int:
        """Return the row of an account; negative if only this worker counts it."""
        if number is not None and number < self._rows:
            return number
        if number is not None and number < ROOM and account not in self._beyond and self._grow(number):
            return number  # otherwise the disk is full: only this worker counts it
        if account not in self._beyond and len(self._beyond) >= self._own_rows - 1:
            self._beyond.clear()  # not issued here: all are forgotten together, at worst a window early
            self._own[:] = memoryview(bytearray(8 * len(self._own))).cast("q")
        return -1 - self._beyond.setdefault(account, len(self._beyond))

    def reserve(self, numbers: Iterable[int | None]) -> None:
        """Allocate disk blocks for the rows of accounts, so that a full disk cannot fault a write later."""
        number = max((n for n in numbers if n is not None and n < ROOM), default=-1)
        if number >= self._rows:
            self._grow(number)

    def _grow(self, number: int) -> bool:
        for rows in (min(ROOM, max(FIRST_ROWS, 1 << number.bit_length())), number + 1):
            with suppress(OSError):
                reserve_rows(self._path, rows)
                self._rows = self._mine[ROWS] = rows
                return True
        return False

    def _files(self, place: int) -> tuple[list[memoryview], int]:
        """Return the files of all workers, and the offset of an account's row in each."""
        if place < 0:
            return [self._own], (-1 - place) * ROW
        return [self._mine, *(v for v in self._others if v[ROWS] > place)], place * ROW

    def _slots(self, place: int) -> int:
        """Return the offset of an account's slots, in each of these files."""
        if place >= 0:
            return SLOTS_AT + place * SLOTS
        return self._own_rows * ROW + (-1 - place) * SLOTS

    def _row(self, place: int) -> tuple[memoryview, int]:
        if place < 0:
            return self._own, (-1 - place) * ROW
        if place >= self._rows:
            self._grow(place)
        return self._mine, place * ROW

    def _fleet_us(self, place: int, now_us: int) -> int:
        """Return the time, or the start of the next minute if a gateway with a faster clock is in it already.

        Otherwise what others spent in that minute would not count, and could be spent again.
        """
        if self._known is None or place < 0 or self._others[-1][ROWS] <= place:
            return now_us
        minute = self._others[-1][place * ROW]
        return max(now_us, minute * MINUTE_US) if minute == (now_us + SKEW_US) // MINUTE_US else now_us

    def hold(self, place: int, tokens: int, sets: tuple[int, ...] = ()) -> None:
        """Reserve what an answer may bring; a negative number releases it."""
        values, at = self._row(place)
        start = values[STARTS] if place >= 0 else 0
        if values[at + START] != start:
            for column in (HELD, *range(SETS + 1, ROW, 2)):
                values[at + column] = 0
            values[at + START] = start
        for column in (HELD, *(SETS + 2 * budget_set + 1 for budget_set in sets)):
            held = values[at + column] + tokens
            values[at + column] = held if place >= 0 else max(held, 0)  # its row may have been reassigned

    def take_over(self) -> dict[int, list[int]]:
        """Keep the previous process's reservations, whose answers continue; return their rows' columns."""
        taken = {}
        for place in range(self._rows):
            at = place * ROW
            if self._mine[at + HELD] > 0:
                self._mine[at + START] = self._mine[STARTS]
                taken[place] = self._mine[at : at + ROW].tolist()
        return taken

    def add(
        self, place: int, now_us: int, requests: int, tokens: int, model_set: int | None = None,
        since_us: int | None = None,
    ) -> None:  # fmt: skip
        """Count usage now. Negative `tokens` correct an overcharge at `since_us`."""
        values, at = self._row(place)
        if self._known is not None:
            now_us = self._fleet_us(place, now_us)
        minute, hour, day = now_us // MINUTE_US, now_us // HOUR_US, now_us // DAY_US
        if values[at + DAY] != day:
            put_into_blocks(values, at, self._slots(place))
            for column in (*OF_DAY, HELD_MINUTES):
                values[at + column] = 0
            values[at + DAY] = day
        if values[at] != minute:
            values[at + 1] = values[at + 2] = 0
            values[at] = minute
        if values[at + HOUR] != hour:
            values[at + 4] = 0
            values[at + HOUR] = hour
        if requests:
            values[at + 1] += requests
        if tokens:
            for column in (2, 4, 6) if model_set is None else (2, 4, 6, SETS + 2 * model_set):
                values[at + column] += tokens
            then_us = now_us if since_us is None or tokens > 0 else since_us
            kinds = (0,) if model_set is None else (0, 2 + model_set)
            _count_in_block(values, self._slots(place), then_us // BLOCK_US, tokens, kinds)

    def add_held(self, place: int, now_us: int) -> bool:
        """Note that a hold refuses a request; return whether it is this worker's first in this minute."""
        self.add(place, now_us, 0, 0)  # starts a new day if it is due
        values, at = self._row(place)
        minute, many = self._fleet_us(place, now_us) // MINUTE_US, values[at + 9] & MOST_HELD
        if values[at + 9] >> HELD_BITS == minute:
            return False
        values[at + 9] = minute << HELD_BITS | min(many + 1, MOST_HELD)
        return True

    def promise(self, place: int, tokens: int) -> None:
        """Note tokens that were charged in advance: as many may be fetched without a charge."""
        values, at = self._row(place)
        values[at + 8] += tokens

    def add_batch(self, place: int, now_us: int, tokens: int, sets: tuple[int, ...] = ()) -> None:
        """Charge what a batch may produce, on the day it starts, to each set of models that it may use."""
        self.add(place, now_us, 0, 0)  # starts a new day if it is due
        values, at = self._row(place)
        values[at + 7] += tokens
        values[at + 8] += tokens
        for model_set in sets:
            values[at + SETS + 2 * model_set] += tokens
        block = self._fleet_us(place, now_us) // BLOCK_US
        _count_in_block(values, self._slots(place), block, tokens, _kinds(1, *sets))

    def give_back_batch(self, place: int, then_us: int, tokens: int, sets: tuple[int, ...] = ()) -> None:
        """Take back what was charged at `then_us` for a batch that did not start."""
        values, at = self._row(place)
        values[at + 8] -= tokens
        if values[at + 5] == then_us // DAY_US:
            values[at + 7] -= tokens
            for model_set in sets:
                values[at + SETS + 2 * model_set] -= tokens
        _count_in_block(values, self._slots(place), then_us // BLOCK_US, -tokens, _kinds(1, *sets))

    def fetched(self, place: int, now_us: int, tokens: int) -> None:
        """Charge what was generated at another time, except what was charged in advance."""
        rows, place_at = self._files(place)
        covered = min(max(0, sum(values[place_at + 8] for values in rows)), tokens)
        self.promise(place, -covered)
        self.add(place, now_us, 0, tokens - covered)

    def settle(
        self, place: int, now_us: int, then_us: int, promised: int, tokens: int, model_set: int | None
    ) -> None:
        """Charge an answer that has come, for which `promised` tokens were charged at `then_us`.

        The surplus is given back to the windows of that charge, if they are still current.
        """
        self.promise(place, -promised)
        self.add(place, now_us, 0, max(0, tokens - promised), model_set)
        less = max(0, promised - tokens)
        values, at = self._row(place)
        for window, column, length in ((0, 2, MINUTE_US), (3, 4, HOUR_US), (5, 6, DAY_US)):
            if values[at + window] == then_us // length:
                values[at + column] -= less
        if model_set is not None and values[at + 5] == then_us // DAY_US:
            values[at + SETS + 2 * model_set] -= less
        _count_in_block(values, self._slots(place), then_us // BLOCK_US, -less, _kinds(0, model_set))

    def day_tokens(self, place: int, now_us: int, *, sliding: bool) -> int:
        """Return the tokens of an account's answers in the current day."""
        now_us, (rows, at) = self._fleet_us(place, now_us), self._files(place)
        if sliding:
            return max(0, sum(self._by_block(rows, place, 0, now_us)))
        return max(0, sum(v[at + OF_DAY[0]] for v in rows if v[at + DAY] == now_us // DAY_US))

    def spent(self, place: int, now_us: int, *, sliding: bool = False) -> AccountUsage:
        """Return what an account has used and reserved; `sliding`: in a sliding day, else since midnight."""
        now_us = self._fleet_us(place, now_us)
        minute, hour, day = now_us // MINUTE_US, now_us // HOUR_US, now_us // DAY_US
        requests = in_minute = in_hour = in_day = of_batches = held_minutes = 0
        held_now = False
        on_way = 0
        rows, at = self._files(place)
        for values in rows:
            if place < 0 or values[at + START] == values[STARTS]:
                on_way += values[at + HELD]
            if values[at] == minute:
                requests += values[at + 1]
                in_minute += values[at + 2]
            if values[at + 3] == hour:
                in_hour += values[at + 4]
            if values[at + 5] == day:
                in_day += values[at + 6]
                of_batches += values[at + 7]
                held_minutes += values[at + 9] & MOST_HELD  # a minute counts twice if held at two workers
                held_now = held_now or values[at + 9] >> HELD_BITS == minute
        by_block: tuple[int, ...] = ()
        batches: tuple[int, ...] = ()
        if sliding:
            by_block, batches = (self._by_block(rows, place, of, now_us) for of in (0, 1))
            in_day, of_batches = sum(by_block), sum(batches)
        return AccountUsage(
            requests,
            max(in_minute, 0),
            max(in_hour, 0),
            max(in_day, 0),
            max(of_batches, 0),
            held_minutes,
            held_now,
            max(on_way, 0),
            day_blocks=by_block,
            batch_blocks=batches,
        )

    def _by_block(self, rows: list[memoryview], place: int, of: int, now_us: int) -> tuple[int, ...]:
        at, slots = (place if place >= 0 else -1 - place) * ROW, self._slots(place)
        found = (_by_block(row, at, slots, of, now_us // BLOCK_US) for row in rows)
        return tuple(map(sum, zip(*found, strict=True)))

    def known_counts(self, place: int) -> list[int] | None:
        """Copy what all other gateways count already of an account's use here; None without other gateways.

        Read it before anything else of the account. A later copy may include what they admitted since, and
        then this gateway takes its part of what they have spent.
        """
        known = self._known
        if known is None or place < 0 or known[STARTS] < 2:
            return None
        if known[ROWS] <= place:
            return [0] * (ROW + SLOTS)
        at = self._slots(place)
        slots = known[at : at + SLOTS].tolist()  # first: usage and reservations are written in reverse
        return [*known[place * ROW : (place + 1) * ROW].tolist(), *slots]

    def unknown_elsewhere(
        self, place: int, now_us: int, known: list[int] | None, model_set: int | None = None,
        *, sliding: bool = False,
    ) -> FleetUsage | None:  # fmt: skip
        """Return what an account used and reserved here that some gateway of the fleet does not count yet."""
        if known is None or self._known is None:
            return None
        at, now_us = place * ROW, self._fleet_us(place, now_us)
        rows = [self._mine, *(v for v in self._others[:-1] if v[ROWS] > place)]

        def new(window: int, number: int, column: int) -> int:
            spent_here = sum(v[at + column] for v in rows if v[at + window] == number)
            return int(spent_here - (known[column] if known[window] == number else 0))

        def new_of_day(of: int) -> int:
            if not sliding:
                return new(DAY, day, OF_DAY[of])
            spent_here = sum(self._by_block(rows, place, of, now_us))
            return spent_here - sum(_by_block(known, 0, ROW, of, now_us // BLOCK_US))

        def on_way(column: int) -> int:
            return int(sum(v[at + column] for v in rows if v[at + START] == v[STARTS]) - known[column])

        day = now_us // DAY_US
        held, held_of_set = on_way(HELD), 0 if model_set is None else on_way(SETS + 2 * model_set + 1)
        of_set = 0 if model_set is None else new_of_day(2 + model_set)
        minute, hour = now_us // MINUTE_US, now_us // HOUR_US
        tokens = new(0, minute, 2), new(3, hour, 4), new_of_day(0)
        gateways = int(self._known[STARTS])
        return FleetUsage(gateways, new(0, minute, 1), *tokens, held, of_set, held_of_set)

    def of_set(self, place: int, now_us: int, model_set: int, *, sliding: bool = False) -> tuple[int, int]:
        """Return (tokens of the day, reserved tokens) of a set of models."""
        rows, at = self._files(place)
        day = self._fleet_us(place, now_us) // DAY_US
        live = (v for v in rows if place < 0 or v[at + START] == v[STARTS])
        on_way = sum(v[at + SETS + 2 * model_set + 1] for v in live)
        if sliding:
            used = sum(self.set_blocks(place, now_us, model_set))
        else:
            used = sum(v[at + SETS + 2 * model_set] for v in rows if v[at + 5] == day)
        return max(used, 0), max(on_way, 0)

    def set_blocks(self, place: int, now_us: int, model_set: int) -> tuple[int, ...]:
        """Return the tokens of a set of models by the blocks of the sliding day."""
        rows, now_us = self._files(place)[0], self._fleet_us(place, now_us)
        return self._by_block(rows, place, 2 + model_set, now_us)


def _by_block(values: Counts, at: int, slots: int, of: int, block: int) -> list[int]:
    """Return a row's counts for each block of the sliding day that ends with `block`, oldest first.

    of: index in OF_DAY. Counts without a block come from an earlier version: see the module. A block that a
    faster clock has begun counts with the last one.
    """
    found, day = [0] * BLOCKS, values[at + DAY]
    unplaced = values[at + OF_DAY[of]]  # read first: a worker adds to the day, then to its block
    row = values[slots : slots + SLOTS]
    for number, tokens in zip(row[::SLOT], row[1 + of :: SLOT], strict=True):
        if tokens and -1 <= block - number < BLOCKS:
            found[-1 - max(block - number, 0)] += tokens
        if tokens and number // BLOCKS == day:
            unplaced -= tokens
    if unplaced > 0:
        back = block - _last_block(values, at)
        if -1 <= back < BLOCKS:
            found[-1 - max(back, 0)] += unplaced
    return found


def _last_block(values: Counts, at: int) -> int:
    """Return the block of a row's day in which it was written last."""
    first = values[at + DAY] * BLOCKS
    return max(first, min(first + BLOCKS - 1, values[at + HOUR] * HOUR_US // BLOCK_US))


def _kinds(of: int, *sets: int | None) -> tuple[int, ...]:
    """Return the indices in OF_DAY that tokens count towards: answers or batches, and sets of models."""
    return (of, *(2 + model_set for model_set in sets if model_set is not None))


def _count_in_block(values: Counts, slots: int, block: int, tokens: int, kinds: tuple[int, ...]) -> None:
    """Count tokens in a block. A correction is dropped if a later block has taken its slot."""
    slot = slots + block % BLOCKS * SLOT
    if values[slot] < block or (tokens > 0 and values[slot] != block):
        for column in range(slot + 1, slot + SLOT):
            values[column] = 0
        values[slot] = block
    if values[slot] == block:
        for of in kinds:
            values[slot + 1 + of] += tokens


def put_into_blocks(values: Counts, at: int, slots: int) -> None:
    """Assign what an earlier version counted of a row's day to the block in which it wrote last."""
    for of, column in enumerate(OF_DAY):
        if (unplaced := values[at + column]) > 0:
            for slot in range(slots, slots + SLOTS, SLOT):
                if values[slot] // BLOCKS == values[at + DAY]:
                    unplaced -= values[slot + 1 + of]
            if unplaced > 0:
                _count_in_block(values, slots, _last_block(values, at), unplaced, (of,))


def void(path: Path) -> None:
    """Void the reservations of an ended worker's answers."""
    map_file(path)[STARTS] += 1


def _path(run: Path, worker: int) -> Path:
    return run / f"worker-{worker}.budgets"


def reserve_rows(path: Path, rows: int) -> None:
    """Allocate disk blocks for so many rows of a file. Raises: OSError."""
    file = os.open(path, os.O_RDWR)
    try:
        if rows:
            os.posix_fallocate(file, 0, rows * ROW * 8)
            os.posix_fallocate(file, SLOTS_AT * 8, rows * SLOTS * 8)
    finally:
        os.close(file)


def map_file(path: Path) -> memoryview:
    """Map a file's values. It is sparse, except for the rows of `reserve_rows` and what follows the rows."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        size = os.fstat(file).st_size
        if size == EARLIER_SIZES[0]:
            os.pwrite(file, ROOM.to_bytes(8, sys.byteorder), ROWS * 8)
        elif size < EARLIER_SIZES[1]:
            os.posix_fallocate(file, STARTS * 8, (SLOTS_AT - STARTS) * 8)
        if size < SIZE:
            os.truncate(file, SIZE)
        return memoryview(mmap.mmap(file, SIZE)).cast("q")
    finally:
        os.close(file)
