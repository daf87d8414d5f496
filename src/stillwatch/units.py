"""Time in microseconds, the unit of all time stamps: its units, and the machine's clock."""

import time
from datetime import UTC, datetime, timedelta

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def utc_us() -> int:
    """Return the current time. Only for the edges of processes: all other code takes it as a parameter."""
    return time.time_ns() // 1_000


def us(time: datetime) -> int:
    """Return a time as UTC microseconds."""
    return (time - EPOCH) // MICROSECOND


def time_of(at_us: int) -> datetime:
    """Return UTC microseconds as an aware time.

    >>> time_of(1_772_944_200_000_000)
    datetime.datetime(2026, 3, 8, 4, 30, tzinfo=datetime.timezone.utc)
    """
    return EPOCH + timedelta(microseconds=int(at_us))


def iso(at_us: int, precision: str = "seconds") -> str:
    """Return UTC microseconds as text, cut to the precision.

    >>> iso(1_772_944_200_000_000)
    '2026-03-08T04:30:00Z'
    """
    return time_of(at_us).isoformat(timespec=precision).replace("+00:00", "Z")
