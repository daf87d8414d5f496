"""What each account has spent in the running minute, hour and day, over all workers. It limits nothing.

Each worker writes a mapped file of its own and reads the others': no locks, no messages. Windows follow the
clock, so a restart in the middle of one forgets nothing.
"""

import mmap
import os
from pathlib import Path

from stillwatch.terms import Spent

ROOM = 65_536  # accounts that are counted over workers; further ones by each worker alone
ROW = 10  # minute, requests, tokens; hour, tokens; day, tokens, tokens that batches may bring; promised; held
SIZE = ROOM * ROW * 8
HELD_BITS, MOST_HELD = 8, 255  # of the last column: minutes of the day below, the last such minute above
MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000


class Budgets:
    """One worker's view: `add` what was spent, `spent` over all workers."""

    def __init__(self, run: Path, worker: int, workers: int) -> None:
        self._mine = _mapped(run / f"worker-{worker}.spent")
        self._all = [self._mine]
        self._all += [_mapped(run / f"worker-{k}.spent") for k in range(workers) if k != worker]
        self._beyond: dict[str, int] = {}
        self._own = memoryview(bytearray(ROOM * ROW)).cast("q")  # rows of accounts beyond the room

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

    def add(self, place: int, now_us: int, requests: int, tokens: int) -> None:
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
            values[at + 5] = day
        values[at + 1] += requests
        values[at + 2] += tokens
        values[at + 4] += tokens
        values[at + 6] += tokens

    def give_back(self, place: int, then_us: int, tokens: int) -> None:
        """Take back what was added then, in the windows that still are the ones of then."""
        values, at = self._row(place)
        for window, counter, span_us in ((0, 2, MINUTE_US), (3, 4, HOUR_US), (5, 6, DAY_US)):
            if values[at + window] == then_us // span_us:
                values[at + counter] -= tokens

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

    def spent(self, place: int, now_us: int) -> Spent:
        minute, hour, day = now_us // MINUTE_US, now_us // HOUR_US, now_us // DAY_US
        requests = in_minute = in_hour = in_day = of_batches = held_minutes = 0
        held_now = False
        rows, at = (self._all, place * ROW) if place >= 0 else ([self._own], (-1 - place) * ROW)
        for values in rows:
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
        return Spent(
            requests,
            max(in_minute, 0),
            max(in_hour, 0),
            max(in_day, 0),
            max(of_batches, 0),
            held_minutes,
            held_now,
        )


def _mapped(path: Path) -> memoryview:
    """The file's values. Its blocks are there before it is mapped: a full disk cannot fault a write later."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(file).st_size < SIZE:
            os.posix_fallocate(file, 0, SIZE)
        return memoryview(mmap.mmap(file, SIZE)).cast("q")
    finally:
        os.close(file)
