"""Shared drawing helpers for all pictures: positions on a logarithmic scale, lines, text."""

import math
from collections.abc import Iterable
from html import escape

INK, FAINT, PAPER, GRID = "#2b2822", "#625b51", "#fffefc", "#e3ddd2"


def on_log(value: float, low: float, high: float) -> float:
    """Return a value's position from `low` to `high` on a logarithmic scale, in percent, clipped to the ends.

    >>> on_log(100, 10, 1000), on_log(5, 10, 1000)
    (50.0, 0.0)
    """
    return 100 * math.log(min(max(value, low), high) / low) / math.log(high / low)


def line(points: Iterable[tuple[float, float]]) -> str:
    """Return an SVG path through points.

    >>> line([(0, 100.0), (2.5, 40)])
    'M0 100.0L2.5 40'
    """
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def picture_head(wide: float, high: float, words: str) -> str:
    """Open an SVG element; `words` is its text for people who cannot see it. `</svg>` ends it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" '
        f'font-family="sans-serif" font-size="12" aria-label="{escape(words)}">\n'
        f'<rect width="{wide}" height="{high}" fill="{PAPER}"/>'
    )


def label(x: float, y: float, words: str, colour: str = FAINT, anchor: str = "start") -> str:
    """Return an SVG text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(words)}</text>'
