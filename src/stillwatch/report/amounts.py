"""Formats numbers and times for people."""

import math
from datetime import UTC, datetime

from stillwatch.units import time_of

_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def count(number: int) -> str:
    """
    >>> count(1204331)
    '1,204,331'
    """
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """
    >>> plural(1, "account"), plural(2500, "account")
    ('1 account', '2,500 accounts')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short(number: float, gap: str = " ") -> str:
    """Return three significant digits with a unit letter.

    >>> short(812), short(17_000), short(1_234_000), short(5.2e9)
    ('812', '17 k', '1.23 M', '5.2 G')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 0.9995:
            scaled = f"{number / size:.3g}"
            return f"{float(scaled):g}{gap}{letter}"
    return f"{number:.3g}" if number % 1 else f"{number:.0f}"


def number(value: float | None) -> str:
    """Return a measured number of unknown unit; a dash if there is none.

    >>> number(None), number(0.0312), number(41250.0), number(3.0)
    ('-', '0.0312', '41,250', '3')
    """
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def p_value(p: float | None, plain: bool = False) -> str:
    """
    >>> p_value(0.25), p_value(2.5e-6), p_value(2.5e-6, plain=True), p_value(None)
    ('0.25', '2.5 × 10⁻⁶', '2.5e-06', '-')
    """
    if p is None or not math.isfinite(p):
        return "-"
    if p >= 1e-3:
        return f"{p:.2g}"
    if plain or p <= 0:
        return f"{p:.1e}" if p > 0 else "0"
    digits, power = f"{p:.1e}".split("e")
    return f"{digits} × 10{str(int(power)).translate(_POWERS)}"


def moment(time: datetime | None) -> str:
    """
    >>> moment(datetime(2026, 3, 8, 4, 30, tzinfo=UTC))
    '8 Mar 2026, 04:30'
    """
    if time is None:
        return "-"
    time = time.astimezone(UTC)
    return f"{time.day} {time:%b %Y, %H:%M}"


def moment_us(at_us: int) -> str:
    """
    >>> moment_us(1_772_944_200_000_000)
    '8 Mar 2026, 04:30'
    """
    return moment(time_of(at_us))


def iso(time: datetime) -> str:
    """
    >>> iso(datetime(2026, 3, 8, 4, 30, tzinfo=UTC))
    '2026-03-08T04:30:00Z'
    """
    if time.tzinfo is None:
        raise ValueError(f"{time} has no zone; times are aware UTC")
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def share(part: int, total: int) -> str:
    """
    >>> share(1, 4), share(0, 0), share(3, 4000)
    ('25 %', '0 %', '< 1 %')
    """
    if not part or not total:
        return "0 %"
    percent = 100 * part / total
    return "< 1 %" if percent < 1 else f"{percent:.0f} %"
