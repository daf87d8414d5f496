"""Slows down guessing: how many log-ins may fail, by name, by address and in all.

Failures of others never lock out a browser in which the owner has logged in before: it is counted separately
(OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). A new browser keeps a few tries, however
many others fail from its address. State is in the memory of one process: a restart forgets it, and `scrypt`
still makes each guess slow.
"""

import threading
import time
from collections import OrderedDict, deque

from stillwatch.units import SECOND_US

WINDOW_S = 900.0
OF_PAIR, OF_ADDRESS, OF_NAME, OF_ALL = 5, 20, 50, 500  # failures within the window
LEFT = {"address": 2, "name": 0, "all": 1}  # tries that a name keeps from an address at that limit
MOST_KEYS = 10_000
RECORDED = 100  # refusals of one kind recorded within the window
Key = tuple[str, ...]


class RecordLimit:
    """Limits the refusals recorded within the window, so that they cannot fill the trail. Thread-safe."""

    def __init__(self, most: int = RECORDED) -> None:
        self._lock = threading.Lock()
        self._recorded_us: deque[int] = deque(maxlen=most)

    def allows(self, now_us: int) -> bool:
        """Count a refusal, and return whether to record it."""
        times = self._recorded_us
        with self._lock:
            if len(times) == times.maxlen and abs(now_us - times[0]) < WINDOW_S * SECOND_US:
                return False
            times.append(now_us)
            return True


class Throttle:
    """Failures in a sliding window. Thread-safe.

    browser: identifies a browser that has logged in under that name before; empty: unknown.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: OrderedDict[Key, deque[float]] = OrderedDict()
        self._entered: OrderedDict[Key, None] = OrderedDict()  # names and where they logged in from

    def wait_s(self, name: str, address: str, browser: str = "", now_s: float | None = None) -> int:
        """Return seconds to wait before the next try; 0: now."""
        now = time.monotonic() if now_s is None else now_s
        own_key, shared = _throttle_keys(name, address, browser)
        with self._lock:
            waits = [self._wait(own_key, OF_PAIR, now)]
            for key, limit in shared:
                if key[0] == "name" and own_key in self._entered:
                    continue  # the owner logs in from here: guesses from elsewhere do not matter
                wait = self._wait(key, limit, now)
                tries_left = LEFT[key[0]]
                waits.append(min(wait, self._wait(own_key, tries_left, now)) if tries_left else wait)
        return max(waits)

    def _wait(self, key: Key, most: int, now: float) -> int:
        times = self._failed.get(key)
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        if times is None or len(times) < most:
            return 0
        return int(times[-most] + WINDOW_S - now) + 1

    def begun(self, name: str, address: str, browser: str = "", now_s: float | None = None) -> None:
        """Count a try before it is checked, so that simultaneous ones count, too."""
        now = time.monotonic() if now_s is None else now_s
        own_key, shared = _throttle_keys(name, address, browser)
        with self._lock:
            for key, limit in ((own_key, OF_PAIR), *shared):
                self._failed.setdefault(key, deque(maxlen=limit)).append(now)
                self._failed.move_to_end(key)
            while len(self._failed) > MOST_KEYS:
                self._failed.popitem(last=False)

    def record_success(self, name: str, address: str, browser: str = "") -> None:
        """Remove the last try, which was not a guess, and earlier failures from there under that name."""
        own_key, shared = _throttle_keys(name, address, browser)
        with self._lock:
            self._failed.pop(own_key, None)
            for key, _ in shared:
                if self._failed.get(key):
                    self._failed[key].pop()
            if not browser:
                self._entered[own_key] = None
                self._entered.move_to_end(own_key)
                while len(self._entered) > MOST_KEYS:
                    self._entered.popitem(last=False)


def _throttle_keys(name: str, address: str, browser: str) -> tuple[Key, tuple[tuple[Key, int], ...]]:
    """Return the key for this try alone, and those that it shares with others, with their limits."""
    if browser:
        return ("browser", name, browser), ()
    shared = ((("address", address), OF_ADDRESS), (("name", name), OF_NAME), (("all",), OF_ALL))
    return ("pair", name, address), shared
