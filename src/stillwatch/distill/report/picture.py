"""Coordinates for the two pictures of a report, in percent and pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from stillwatch.distill.report import Spot
from stillwatch.report.chart import line, on_log

HIGH = 190.0  # pixels from 0 to 100 %
LEFT, RIGHT = 9.0, 92.0  # percent of the width that the spots span


@dataclass(frozen=True)
class CurveDot:
    """A spot: x in percent of the width, y in pixels from the top; `low` and `high` are its bounds."""

    x: float
    y: float
    low: float
    high: float
    label: str
    note: str


@dataclass(frozen=True)
class CapabilityCurve:
    """The curve of capability; `teacher` is the height of the teacher's own score."""

    dots: tuple[CurveDot, ...]
    teacher: float | None


def curve(spots: Sequence[Spot], teacher: Spot | None, label: str = "tokens") -> CapabilityCurve:
    """Place the spots: tokens (or samples, if no tokens were counted) on a log axis, the untrained student at
    the left edge."""

    def amount(spot: Spot) -> float:
        return spot.tokens if label == "tokens" else float(spot.samples)

    sizes = [amount(s) for s in spots if amount(s) > 0]
    least, most = (min(sizes), max(sizes)) if sizes else (1.0, 10.0)
    inner = LEFT + 16 if any(amount(s) <= 0 for s in spots) else LEFT
    dots = []
    for spot in spots:
        if amount(spot) <= 0:
            x = LEFT
        elif most == least:
            x = RIGHT
        else:
            x = inner + (RIGHT - inner) * on_log(amount(spot), least, most) / 100
        dots.append(
            CurveDot(
                round(x, 2),
                _high(spot.share),
                _high(spot.low),
                _high(spot.high),
                f"{100 * spot.share:.1f} %",
                "before" if not spot.samples else f"{spot.samples:,}",
            )
        )
    return CapabilityCurve(tuple(dots), None if teacher is None else _high(teacher.share))


def _high(share: float) -> float:
    return round(HIGH * (1 - share), 1)


def loss(points: Sequence[dict[str, float]]) -> str:
    """Return the loss curve as an SVG path in a box of 100 by 100, on a log scale."""
    good = [(float(p["step"]), log10(max(float(p["loss"]), 1e-6))) for p in points]
    if len(good) < 2:
        return ""
    first, last = good[0][0], good[-1][0]
    low, high = min(y for _, y in good), max(y for _, y in good)
    wide, tall = (last - first) or 1.0, (high - low) or 1.0
    return line((round(100 * (x - first) / wide, 2), round(100 * (high - y) / tall, 2)) for x, y in good)
