"""Coordinates for the pictures of a run, in percent of the width and pixels of the height."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stillwatch.range.contest import Contest
from stillwatch.range.table import ResultRow
from stillwatch.range.words import cell, defence_name, percent, times
from stillwatch.report.chart import line, on_log
from stillwatch.scan.curve import curve

ROW = 30  # pixels per bar
HIGH = 210.0  # pixels of a picture with two axes
LEFT, RIGHT = 7.0, 97.0  # percent of the width that points span
FROM = 10  # examples at the left end of the curve
NEAR_X, NEAR_Y = 4.0, 14.0  # points closer than that share a label
AIM = 10  # the target for an attacker's cost multiple


@dataclass(frozen=True)
class Bar:
    """One defence: a bar's width with its bounds; `tick` is a second value. All in percent."""

    name: str
    width: float
    low: float | None
    high: float | None
    tick: float | None
    text: str


@dataclass(frozen=True)
class Bars:
    """Bars below each other, and lines across them with their labels."""

    bars: tuple[Bar, ...]
    marks: tuple[tuple[float, str], ...]
    aim: float | None = None

    @property
    def high(self) -> int:
        return ROW * len(self.bars) + 26


@dataclass(frozen=True)
class PlotPoint:
    """A point with the defences at it."""

    x: float
    y: float
    low: float
    high: float
    label: str
    anchor: str


@dataclass(frozen=True)
class CurvePicture:
    """The measured curve with the spread of its seeds, and the point of each defence on it."""

    line: tuple[tuple[float, float], ...]
    band: str  # an SVG path in a box of 100 by 100
    path: str
    dots: tuple[PlotPoint, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Grid:
    """Kinds of honest use by defences: radius and words of each cell."""

    kinds: tuple[str, ...]
    defences: tuple[str, ...]
    cells: tuple[tuple[tuple[float, str], ...], ...]


@dataclass(frozen=True)
class Track:
    """How much one attacker had taken over time, against one defence."""

    name: str
    path: str  # in a box of 100 by 100
    reached: bool


@dataclass(frozen=True)
class Tracks:
    tracks: tuple[Track, ...]
    days: float
    goal: int


def _share(value: float | None, whole: float) -> float | None:
    return None if value is None else round(100 * min(max(value / whole, 0.0), 1.0), 2)


def harvests(lines: Sequence[ResultRow]) -> Bars | None:
    """Return what got out before containment, as a share of what campaigns take without a defence."""
    found = [(x, share) for x in lines if (share := x.out_share) is not None]
    if not found:
        return None
    bars = []
    for x, share in found:
        early = _early(x)
        text = f"{cell(x.out)[0]} exchanges, {percent(share.mean)}"
        bars.append(
            Bar(
                defence_name(x.defence),
                100 * share.mean,
                _share(share.low, 1),
                _share(share.high, 1),
                early,
                text,
            )
        )
    return Bars(tuple(bars), ((0.0, "0"), (50.0, "50 %"), (100.0, "all")))


def _early(x: ResultRow) -> float | None:
    """Return what had left before the alarm, on the same scale."""
    if x.before_alarm is None or x.out is None or x.out_share is None or x.out_share.mean <= 0:
        return None
    return _share(x.before_alarm.mean * x.out_share.mean / x.out.mean, 1) if x.out.mean else None


def costs(lines: Sequence[ResultRow]) -> Bars | None:
    """Return cost multiples on a log scale from 1; smaller ones are not drawn."""
    found = [(x, multiple) for x in lines if (multiple := x.cost_multiple) is not None]
    if not found:
        return None
    end = max(AIM * 2, *(multiple.high or multiple.mean for _, multiple in found))
    end = min(end, 1e6)

    def at(value: float | None) -> float | None:
        return None if value is None else round(on_log(value, 1.0, end), 2)

    bars = [
        Bar(defence_name(x.defence), at(t.mean) or 0.0, at(t.low), at(t.high), None, cell(t, times)[0])
        for x, t in found
    ]
    powers = [10.0**k for k in range(7) if 10.0**k <= end]
    return Bars(tuple(bars), tuple((at(p) or 0.0, times(p)) for p in powers), at(AIM))


def place_on_curve(lines: Sequence[ResultRow]) -> CurvePicture | None:
    """Place each defence on the measured curve, at the examples that a student got from it."""
    found = [(x, x.student) for x in lines if x.student is not None]
    if not found:
        return None
    learned = curve()
    last = learned.points[-1].samples
    end = 2.0 * last
    steps = [FROM * (end / FROM) ** (k / 60) for k in range(61)]

    def box(n: float) -> float:
        return round(on_log(n, FROM, end), 2)

    def across(n: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * box(n) / 100, 2)

    def y_of(share: float) -> float:
        return round(HIGH * (1 - share), 1)

    low = [(box(n), round(100 * (1 - min(learned.each(n))), 2)) for n in steps]
    top = [(box(n), round(100 * (1 - max(learned.each(n))), 2)) for n in steps]
    mean = [(box(n), round(100 * (1 - learned.mean(n)), 2)) for n in steps]
    band = line([*top, *reversed(low)]) + "Z"
    spots: list[tuple[float, float, float, float, list[str]]] = []
    for row, student in found:
        x, y = across(_samples(student.mean, end)), y_of(student.mean)
        near = next((s for s in spots if abs(s[0] - x) < NEAR_X and abs(s[1] - y) < NEAR_Y), None)
        if near is not None:
            near[4].append(defence_name(row.defence))
        else:
            low_y, high_y = (y if b is None else y_of(b) for b in (student.low, student.high))
            spots.append((x, y, low_y, high_y, [defence_name(row.defence)]))
    dots = tuple(
        PlotPoint(x, y, least, most, _join_names(names), "end" if x > 55 else "start")
        for x, y, least, most, names in spots
    )
    ticks = tuple((across(n), f"{n:,}") for n in (FROM, *(p.samples for p in learned.points)))
    return CurvePicture(tuple(mean), band, line(mean), dots, ticks)


def _samples(share: float, end: float) -> float:
    """Invert the curve: return where its mean reaches a share."""
    low, high = 0.0, math.log(end)
    for _ in range(40):
        middle = (low + high) / 2
        if curve().mean(math.exp(middle)) < share - 1e-6:
            low = middle
        else:
            high = middle
    return math.exp(high)


def _join_names(names: Sequence[str]) -> str:
    ours_first = sorted(names, key=lambda name: name != "stillwatch")
    if len(names) <= 3:
        return ", ".join(ours_first)
    return f"{', '.join(ours_first[:2])} and {len(names) - 2} more"


def collateral(lines: Sequence[ResultRow]) -> Grid | None:
    """Return honest accounts named, by kind of use and defence, without kinds of which none was named."""
    lines = [x for x in lines if not x.silent]
    hurt = sorted({k.kind for x in lines for k in x.kinds if k.named.mean > 0})
    if not hurt:
        return None
    cells = []
    for kind in hurt:
        row = []
        for x in lines:
            kind_row = next((k for k in x.kinds if k.kind == kind), None)
            share = kind_row.named.mean if kind_row else 0.0
            cases = f", {kind_row.false_cases:,}" if kind_row and kind_row.false_cases else ""
            row.append((round(12 * math.sqrt(share), 2), percent(share) + cases if share else ""))
        cells.append(tuple(row))
    return Grid(tuple(hurt), tuple(defence_name(x.defence) for x in lines), tuple(cells))


def tracks(contests: Sequence[Contest]) -> Tracks | None:
    """Return examples taken over days, one line per attacker and defence: the first seed of each."""
    first: dict[tuple[str, str], Contest] = {}
    for c in contests:
        if c.history:
            first.setdefault((c.attacker, c.defence), c)
    if not first:
        return None
    days = max(c.history[-1].hours for c in first.values()) / 24
    goal = max(c.goal for c in first.values())
    tracks_drawn = []
    for (attacker, defence), c in first.items():
        points = [(0.0, 100.0)] + [
            (round(100 * h.hours / 24 / days, 2), round(100 * (1 - min(h.out / goal, 1.0)), 2))
            for h in c.history
        ]
        name = f"{attacker} against {defence_name(defence)}"
        tracks_drawn.append(Track(name, line(points), c.reached))
    return Tracks(tuple(tracks_drawn), days, goal)
