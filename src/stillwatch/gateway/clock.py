"""The time of a gateway: the machine's, or that of a range run, which drives its own clock.

A range plays a fortnight in minutes. It names a file in `$STILLWATCH_RANGE_CLOCK` when it starts `serve`. The
file holds three numbers: UTC microseconds, how many writes were requested of the recorder, and how many
evaluations of the detector. This makes a run reproducible, whatever else the machine has to do. Clients, the
policy and the admin port cannot set it. Heartbeats use the machine's clock: they show that a process lives.
"""

import mmap
import os
import struct
import time
from datetime import datetime
from functools import cache
from pathlib import Path

from stillwatch.errors import StillwatchError
from stillwatch.units import time_of

VARIABLE = "STILLWATCH_RANGE_CLOCK"
SHORT_S = 0.1  # the longest wait between two checks when a fortnight passes in minutes
_LAYOUT = struct.Struct("<qqq")


class ClockError(StillwatchError):
    """The clock of a range run cannot be read."""


def write(path: Path, at_us: int) -> memoryview:
    """Create a clock that shows `at_us`; return its three numbers, writable."""
    path.write_bytes(_LAYOUT.pack(at_us, 0, 0))
    return _map_file(path)


def _map_file(path: Path) -> memoryview:
    try:
        with open(path, "r+b") as file:
            return memoryview(mmap.mmap(file.fileno(), _LAYOUT.size)).cast("q")
    except (OSError, ValueError) as why:
        raise ClockError(
            f"{VARIABLE}={path}: no clock can be read there ({why}); it is for runs of the range; unset it"
        ) from why


@cache
def _hand() -> memoryview | None:
    named = os.environ.get(VARIABLE)
    return _map_file(Path(named)) if named else None


def now_us() -> int:
    """Return the time of exchanges, findings and enforcement statuses. Raises: ClockError."""
    hand = _hand()
    return time.time_ns() // 1000 if hand is None else int(hand[0])


def running_us() -> int:
    """Return a time from which durations are measured: no change of the machine's clock affects it."""
    hand = _hand()
    return time.monotonic_ns() // 1000 if hand is None else int(hand[0])


def writes_asked() -> int | None:
    """Return how many writes a range has requested of the recorder; None: it keeps its own schedule."""
    hand = _hand()
    return None if hand is None else int(hand[1])


def looks_asked() -> int | None:
    """Return how many evaluations a range has requested of the detector; None: it keeps its own schedule."""
    hand = _hand()
    return None if hand is None else int(hand[2])


def now() -> datetime:
    """Return the same as a datetime."""
    return time_of(now_us())


def is_driven() -> bool:
    """Return whether a range drives the clock."""
    return bool(os.environ.get(VARIABLE))


def pause_s(seconds: float) -> float:
    """Return how long to wait: `seconds`, or hardly at all if a range drives the clock."""
    return min(seconds, SHORT_S) if is_driven() else seconds
