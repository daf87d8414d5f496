"""The clock by which retention lets go: a clock that stands ahead for an hour deletes nothing.

It does not know what is kept, nor for how long.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from stillwatch.new_file import replace_file
from stillwatch.units import DAY_US, time_of, us

STEP_US = DAY_US  # ahead of what the running time explains: more is a step, which may be wrong
WAIT_S = 86_400.0  # of running time under a step, until it counts


class _TrustedTime(msgspec.Struct, forbid_unknown_fields=True):
    """What a restart must know."""

    at_us: int  # the time that was given last
    waited_s: float  # how long it has run under a step that does not count yet


class RetentionClock:
    """Gives a wall clock's time, but where it stepped ahead: then the time before, moved on by running time.

    A step counts once it has stood for a day of running time (`WAIT_S`). So what is due after a long stop is
    let go a day late. A step back counts at once. Not safe to share between threads.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take up what the file at `path` holds; a clock without one trusts the first time it is shown.

        One that cannot be read does not: any time is a step then, and counts a day later.
        """
        self._path, self._monotonic = path, monotonic
        self._seen = _read(path)
        self._last_s = monotonic()

    def at(self, now: datetime) -> datetime:
        """Give the time to let go by.

        A full disk does not stop it, as letting go makes room: a restart then knows an earlier time.
        """
        now_us, read_s = us(now), self._monotonic()
        ran_s, self._last_s = read_s - self._last_s, read_s
        seen = _TrustedTime(now_us, 0.0)
        if self._seen is not None:
            explained_us = self._seen.at_us + int(ran_s * 1e6)
            waited_s = self._seen.waited_s + ran_s
            if now_us > explained_us + STEP_US and waited_s < WAIT_S:
                seen = _TrustedTime(explained_us, max(waited_s, 1e-6))
        self._seen = seen
        with suppress(OSError):
            replace_file(self._path, [msgspec.json.encode(seen)])
        return time_of(seen.at_us)


def _read(path: Path) -> _TrustedTime | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_TrustedTime)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        return _TrustedTime(0, 0.0)
