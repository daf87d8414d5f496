"""What each account has spent in the running minute, hour and day, and what its answers on their way may
bring, over all workers. It limits nothing: that is `terms.limiter`'s.

Each worker writes a mapped file of its own and reads the others': no locks, no messages. Windows follow the
clock, so a restart in the middle of one forgets nothing.
"""

import mmap
import os
from pathlib import Path

from stillwatch.terms import AccountUsage
from stillwatch.terms.sections import MOST_SETS
from stillwatch.units import DAY_US, HOUR_US, MINUTE_US

ROOM = 65_536  # accounts that are counted over workers; further ones by each worker alone
BEYOND = 8_192  # of those, at once
# minute, requests, tokens; hour, tokens; day, tokens, tokens that batches may bring; promised; held minutes;
# tokens on their way, by which start of the process; of each set of models: tokens of the day, on their way
HELD, START, SETS = 10, 11, 12
ROW = SETS + 2 * MOST_SETS
SIZE = (ROOM * ROW + 1) * 8  # the last one counts the starts of the process
HELD_BITS, MOST_HELD = 8, 255  # of the last column: minutes of the day below, the last such minute above


class Budgets:
    """One worker's view: `hold` what an answer may bring, `add` what it brought, `spent` over all workers.

    Two workers that let in the last answer at once: each holds first and looks then, so that one of them sees
    the other. `run` None: counted in memory, for one process.
    """

    def __init__(self, run: Path | None, worker: int = 0, workers: int = 1) -> None:
        self._beyond: dict[str, int] = {}
        rows = ROOM if run is None else BEYOND  # of accounts beyond the room
        self._own = memoryview(bytearray(8 * ROW * rows)).cast("q")
        self._mine = self._own if run is None else _mapped(run / f"worker-{worker}.budgets")
        self._all = [self._mine]
        if run is not None:
            self._all += [_mapped(run / f"worker-{k}.budgets") for k in range(workers) if k != worker]
            self._mine[ROOM * ROW] += 1  # what answers held that another start let in is void

    def place(self, account: str, number: int | None) -> int:
        """The row of an account; negative where only this worker counts it."""
        if number is not None and number < ROOM:
            return number
        rows = len(self._own) // ROW
        if account not in self._beyond and len(self._beyond) >= rows - 1:
            self._beyond.clear()  # an account that nobody issued: forgotten together, at worst a window early
            self._own[:] = memoryview(bytearray(8 * len(self._own))).cast("q")
        return -1 - self._beyond.setdefault(account, len(self._beyond))

    def _row(self, place: int) -> tuple[memoryview, int]:
        return (self._mine, place * ROW) if place >= 0 else (self._own, (-1 - place) * ROW)

    def hold(self, place: int, tokens: int, sets: tuple[int, ...] = ()) -> None:
        """Hold what an answer may bring; less than 0 lets go of it."""
        values, at = self._row(place)
        start = values[ROOM * ROW] if place >= 0 else 0
        if values[at + START] != start:
            for column in (HELD, *range(SETS + 1, ROW, 2)):
                values[at + column] = 0
            values[at + START] = start
        values[at + HELD] += tokens
        for one in sets:
            values[at + SETS + 2 * one + 1] += tokens

    def add(self, place: int, now_us: int, requests: int, tokens: int, model_set: int | None = None) -> None:
        values, at = self._row(place)
        minute, hour, day = now_us // MINUTE_US, now_us // HOUR_US, now_us // DAY_US
        if values[at] != minute:
            values[at + 1] = values[at + 2] = 0
            values[at] = minute
        if values[at + 3] != hour:
            values[at + 4] = 0
            values[at + 3] = hour
        if values[at + 5] != day:
            values[at + 6] = values[at + 7] = values[at + 9] = 0
            for one in range(MOST_SETS):
                values[at + SETS + 2 * one] = 0
            values[at + 5] = day
        values[at + 1] += requests
        values[at + 2] += tokens
        values[at + 4] += tokens
        values[at + 6] += tokens
        if model_set is not None:
            values[at + SETS + 2 * model_set] += tokens

    def add_held(self, place: int, now_us: int) -> bool:
        """Note that a hold refuses a request, and say whether it is this minute's first for this worker."""
        self.add(place, now_us, 0, 0)  # to the day that it is
        values, at = self._row(place)
        minute, many = now_us // MINUTE_US, values[at + 9] & MOST_HELD
        if values[at + 9] >> HELD_BITS == minute:
            return False
        values[at + 9] = minute << HELD_BITS | min(many + 1, MOST_HELD)
        return True

    def promise(self, place: int, tokens: int) -> None:
        """Remember tokens that were charged before they came: as many may be fetched without a bill."""
        values, at = self._row(place)
        values[at + 8] += tokens

    def add_batch(self, place: int, now_us: int, tokens: int) -> None:
        """Charge what a batch may bring, on the day that it is begun."""
        self.add(place, now_us, 0, 0)  # to the day that it is
        values, at = self._row(place)
        values[at + 7] += tokens
        values[at + 8] += tokens

    def give_back_batch(self, place: int, then_us: int, tokens: int) -> None:
        """Take back what was charged then for a batch that did not begin."""
        values, at = self._row(place)
        values[at + 8] -= tokens
        if values[at + 5] == then_us // DAY_US:
            values[at + 7] -= tokens

    def fetched(self, place: int, now_us: int, tokens: int) -> None:
        """Charge what was generated at another time, as far as it was not promised."""
        rows, place_at = (self._all, place * ROW) if place >= 0 else ([self._own], (-1 - place) * ROW)
        covered = min(max(0, sum(values[place_at + 8] for values in rows)), tokens)
        self.promise(place, -covered)
        self.add(place, now_us, 0, tokens - covered)

    def spent(self, place: int, now_us: int) -> AccountUsage:
        minute, hour, day = now_us // MINUTE_US, now_us // HOUR_US, now_us // DAY_US
        requests = in_minute = in_hour = in_day = of_batches = held_minutes = 0
        held_now = False
        on_way = 0
        rows, at = (self._all, place * ROW) if place >= 0 else ([self._own], (-1 - place) * ROW)
        for values in rows:
            if place < 0 or values[at + START] == values[ROOM * ROW]:
                on_way += values[at + HELD]
            if values[at] == minute:
                requests += values[at + 1]
                in_minute += values[at + 2]
            if values[at + 3] == hour:
                in_hour += values[at + 4]
            if values[at + 5] == day:
                in_day += values[at + 6]
                of_batches += values[at + 7]
                held_minutes += values[at + 9] & MOST_HELD  # one minute over two workers counts twice
                held_now = held_now or values[at + 9] >> HELD_BITS == minute
        return AccountUsage(
            requests,
            max(in_minute, 0),
            max(in_hour, 0),
            max(in_day, 0),
            max(of_batches, 0),
            held_minutes,
            held_now,
            max(on_way, 0),
        )

    def of_set(self, place: int, now_us: int, model_set: int) -> tuple[int, int]:
        """(tokens of the day, tokens on their way) of a set of models."""
        rows, at = (self._all, place * ROW) if place >= 0 else ([self._own], (-1 - place) * ROW)
        used = sum(v[at + SETS + 2 * model_set] for v in rows if v[at + 5] == now_us // DAY_US)
        live = (v for v in rows if place < 0 or v[at + START] == v[ROOM * ROW])
        on_way = sum(v[at + SETS + 2 * model_set + 1] for v in live)
        return max(used, 0), max(on_way, 0)


def _mapped(path: Path) -> memoryview:
    """The file's values. Its blocks are there before it is mapped: a full disk cannot fault a write later."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(file).st_size < SIZE:
            os.posix_fallocate(file, 0, SIZE)
        return memoryview(mmap.mmap(file, SIZE)).cast("q")
    finally:
        os.close(file)
