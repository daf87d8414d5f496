"""Slows down guessing: how often a log-in may fail, by name, by address and in all.

It is in memory, of one process: a restart forgets, and `scrypt` still costs a guess its time.
"""

import threading
import time
from collections import OrderedDict, deque

WINDOW_S = 900.0
OF_PAIR, OF_ADDRESS, OF_NAME, OF_ALL = 5, 20, 50, 500  # failures within the window
MOST_KEYS = 10_000


class Throttle:
    """Failures in a sliding window. Safe to share between threads.

    A name alone is locked late, so that nobody can lock a colleague out from one address.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def wait_s(self, name: str, address: str, now_s: float | None = None) -> int:
        """Seconds to wait before the next try; 0: now."""
        now = time.monotonic() if now_s is None else now_s
        with self._lock:
            waits = [self._wait(key, most, now) for key, most in _keys(name, address)]
        return max(waits)

    def _wait(self, key: tuple[str, ...], most: int, now: float) -> int:
        times = self._failed.get(key)
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        if times is None or len(times) < most:
            return 0
        return int(times[-most] + WINDOW_S - now) + 1

    def begun(self, name: str, address: str, now_s: float | None = None) -> None:
        """Count a try before it is judged: many at once are counted too."""
        now = time.monotonic() if now_s is None else now_s
        with self._lock:
            for key, most in _keys(name, address):
                self._failed.setdefault(key, deque(maxlen=most)).append(now)
                self._failed.move_to_end(key)
            while len(self._failed) > MOST_KEYS:
                self._failed.popitem(last=False)

    def record_success(self, name: str, address: str) -> None:
        """Take back the last try, which was no guess, and what failed from there under that name."""
        with self._lock:
            self._failed.pop(("pair", name, address), None)
            for key, _ in _keys(name, address)[1:]:
                if self._failed.get(key):
                    self._failed[key].pop()


def _keys(name: str, address: str) -> tuple[tuple[tuple[str, ...], int], ...]:
    return (
        (("pair", name, address), OF_PAIR),
        (("address", address), OF_ADDRESS),
        (("name", name), OF_NAME),
        (("all",), OF_ALL),
    )
