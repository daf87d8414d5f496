"""What time it is for a gateway: the machine's, or that of a run of the range, which drives its own.

A range plays a fortnight in minutes. It names a file in `$STILLWATCH_RANGE_CLOCK` when it starts `serve`; the
file has three numbers: UTC microseconds, how often the recorder has been asked to write what it has, and how
often the detector to look, so that a run is the same the next time, whatever else the machine has to do.
Nobody else can set it: not a client, not the terms, not the admin port. Heartbeats stay on the machine's
clock: they say that a process lives. It knows no range.
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
SHORT_S = 0.1  # the longest wait between two looks where a fortnight passes in minutes
_LAYOUT = struct.Struct("<qqq")


class ClockError(StillwatchError):
    """The clock of a range's run cannot be read."""


def write(path: Path, at_us: int) -> memoryview:
    """Make a clock that stands at a time; what is given has the three numbers."""
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
    """Give the time of exchanges, findings and standings. Raises: ClockError."""
    hand = _hand()
    return time.time_ns() // 1000 if hand is None else int(hand[0])


def writes_asked() -> int | None:
    """How often a range has asked the recorder to write; None: it writes when it likes."""
    hand = _hand()
    return None if hand is None else int(hand[1])


def looks_asked() -> int | None:
    """How often a range has asked the detector to look; None: it looks when it likes."""
    hand = _hand()
    return None if hand is None else int(hand[2])


def now() -> datetime:
    """The same as a datetime."""
    return time_of(now_us())


def is_driven() -> bool:
    """Tell whether a range drives the clock."""
    return bool(os.environ.get(VARIABLE))


def pause_s(seconds: float) -> float:
    """How long to wait for so much time to pass: as long, or hardly at all where a range drives the clock."""
    return min(seconds, SHORT_S) if is_driven() else seconds
