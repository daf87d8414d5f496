"""Time in microseconds, in which all time stamps are kept: its units, and the machine's clock."""

import time

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def utc_us() -> int:
    """Give the time. For the edges of processes: everything inside takes it as a parameter."""
    return time.time_ns() // 1_000
