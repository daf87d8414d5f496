"""The clock that retention uses: an hour with a clock set ahead deletes nothing."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from stillwatch.new_file import replace_file
from stillwatch.units import DAY_US, time_of, us

STEP_US = DAY_US  # ahead of the expected time: a larger jump is a step, which may be wrong
WAIT_S = 86_400.0  # of running time after a step, until it counts


class _TrustedTime(msgspec.Struct, forbid_unknown_fields=True):
    """The state that survives a restart."""

    at_us: int  # the last time returned
    waited_s: float  # how long a pending step has lasted


class RetentionClock:
    """Returns the wall clock's time; after a step ahead, the time before it plus the running time.

    A step counts once it has lasted a day of running time (`WAIT_S`), so after a long stop, deletions are a
    day late. A step back counts at once. Not thread-safe.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Load the state at `path`; without a file the first time is trusted.

        An unreadable file is different: any time is then a step, and counts a day later.
        """
        self._path, self._monotonic = path, monotonic
        self._seen = _read(path)
        self._last_s = monotonic()

    def at(self, now: datetime) -> datetime:
        """Return the time to use for deletions.

        A full disk does not stop it, as deletions free space: a restart then continues from an earlier time.
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
