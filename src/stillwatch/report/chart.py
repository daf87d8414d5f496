"""What the pictures of all pages are drawn with: places on a logarithm, and lines. It knows no picture."""

import math
from collections.abc import Iterable


def on_log(value: float, low: float, high: float) -> float:
    """How far a value lies from `low` to `high` on a logarithm, in percent; outside it is at an end.

    >>> on_log(100, 10, 1000), on_log(5, 10, 1000)
    (50.0, 0.0)
    """
    return 100 * math.log(min(max(value, low), high) / low) / math.log(high / low)


def line(points: Iterable[tuple[float, float]]) -> str:
    """Give an SVG path through points.

    >>> line([(0, 100.0), (2.5, 40)])
    'M0 100.0L2.5 40'
    """
    return "M" + "L".join(f"{x} {y}" for x, y in points)
