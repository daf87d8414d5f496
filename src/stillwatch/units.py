"""Time in microseconds, in which all time stamps are kept: its units, and the machine's clock."""

import time
from datetime import UTC, datetime, timedelta

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def utc_us() -> int:
    """Give the time. For the edges of processes: everything inside takes it as a parameter."""
    return time.time_ns() // 1_000


def us(time: datetime) -> int:
    """Give a time as UTC microseconds."""
    return (time - EPOCH) // MICROSECOND
