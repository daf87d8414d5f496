"""The main picture as one SVG: share right against dollars, days and FLOPs."""

from collections.abc import Callable, Sequence
from math import ceil, floor, log10

from stillwatch.distill.economics import SAYS
from stillwatch.distill.economics.escapes import DEFENCES
from stillwatch.distill.economics.figures import ArmFigures, TaskFigures, Trade
from stillwatch.report.chart import GRID, INK, label, on_log, picture_head

COLOURS = {"public": "#5b7a3a", "answers": "#235a78", "traces": "#c4682e"}
DASHES = {"none": "", "stillwatch": "9 4", "allowance": "2 4", "stillwatch+allowance": "9 3 2 3"}
LEFT, TOP, HIGH, GAP = 50, 40, 240, 46
WIDE = {"dollars": 400, "days": 230, "flops": 200}
NAMES = {
    "dollars": "dollars, all told (logarithm)",
    "days": "days (logarithm)",
    "flops": "FLOPs of training (logarithm)",
}
LEGEND_LINE, PADDING, MOST_TICKS = 18, 1.25, 6

Line = list[tuple[float, float]]


class Axis:
    """A logarithmic axis over some values, in pixels. Smaller values are drawn at its left end."""

    def __init__(self, values: Sequence[float], start: float, wide: float) -> None:
        self.low, self.high = min(values) / PADDING, max(values) * PADDING
        self.start, self.wide = start, wide

    def __call__(self, value: float) -> float:
        return self.start + self.wide * on_log(value, self.low, self.high) / 100

    def ticks(self) -> list[float]:
        powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        ticks = [m * 10.0**power for power in powers for m in (1, 2, 5)]
        inside = [value for value in ticks if self.low <= value <= self.high]
        return inside if len(inside) <= MOST_TICKS else inside[:: ceil(len(inside) / MOST_TICKS)]


def picture(task: TaskFigures) -> str:
    """Draw one task: three panels on one scale; traces under each defence, the other arms undefended."""
    price = {trade.defence: trade for trade in task.trades if trade.saves == "dollars"}
    full = LEFT + sum(WIDE.values()) + GAP * (len(WIDE) - 1) + 30
    legend = [
        (SAYS[arm.arm] + (", the same students" if arm.same_students_as else ""), COLOURS[arm.arm], "")
        for arm in task.arms
        if arm.sizes and not (arm.arm == "traces" and price)
    ]
    legend += [(f"traces, {DEFENCES[defence]}", COLOURS["traces"], DASHES[defence]) for defence in price]
    high = TOP + HIGH + 56 + LEGEND_LINE * ceil(len(legend) / 2)
    which = f"{task.name}, a toy" if task.toy else task.name
    parts = [
        picture_head(full, high, _words(task)),
        label(LEFT, TOP - 18, f"share right of {task.questions:,} held-out problems ({which})", INK),
    ]
    start = float(LEFT)
    for axis, wide in WIDE.items():
        parts += _panel(task, axis, start, wide, price)
        start += wide + GAP
    for place, (name, colour, dash) in enumerate(legend):
        x, y = LEFT + (place % 2) * full / 2, TOP + HIGH + 62 + LEGEND_LINE * (place // 2)
        parts.append(f'<path d="M{x:.0f} {y - 4:.0f}h34" {_stroke(colour, dash)}/>')
        parts.append(label(x + 42, y, name))
    return "\n".join([*parts, "</svg>", ""])


def _panel(task: TaskFigures, axis: str, start: float, wide: float, price: dict[str, Trade]) -> list[str]:
    of = {"dollars": _dollars, "days": _days, "flops": _flops}[axis]
    arms = [arm for arm in task.arms if arm.sizes]
    wanted: list[tuple[ArmFigures, Trade | None]] = [(arm, price.get("none")) for arm in arms]
    if axis != "flops":
        wanted += [(a, t) for a in arms if a.arm == "traces" for d, t in price.items() if d != "none"]
    # relative to a harvest, training alone is too cheap for a common axis: it is drawn at the left end
    shown = [pair for pair in wanted if axis == "flops" or pair[0].arm != "public"] or wanted
    values = [of(arm, n.size, trade) for arm, trade in shown for n in arm.sizes]
    across = Axis([value for value in values if value > 0] or [1.0], start, wide)
    parts = []
    for percent in (0, 25, 50, 75, 100):
        parts.append(f'<path d="M{start:.0f} {_up(percent / 100):.1f}h{wide}" stroke="{GRID}"/>')
        if start == LEFT:
            parts.append(label(start - 6, _up(percent / 100) + 4, f"{percent} %", anchor="end"))
    for value in across.ticks():
        parts.append(label(across(value), TOP + HIGH + 18, _tick(axis, value), anchor="middle"))
    parts.append(label(start + wide / 2, TOP + HIGH + 36, NAMES[axis], anchor="middle"))
    for arm, trade in wanted:
        parts += _curve(arm, lambda n, a=arm, t=trade: across(of(a, n, t)), trade)  # type: ignore[misc]
    return parts


def _curve(arm: ArmFigures, at: Callable[[float], float], trade: Trade | None) -> list[str]:
    colour, free = COLOURS[arm.arm], trade is None or trade.defence == "none"
    parts = []
    if arm.curve is not None and arm.curve.sizes:
        line = [(at(n), _up(y)) for n, y in zip(arm.curve.sizes, arm.curve.share, strict=True)]
        if free and arm.curve.low and arm.curve.high:
            upper = [(at(n), _up(y)) for n, y in zip(arm.curve.sizes, arm.curve.high, strict=True)]
            lower = [(at(n), _up(y)) for n, y in zip(arm.curve.sizes, arm.curve.low, strict=True)]
            parts.append(f'<polygon points="{_points(upper + lower[::-1])}" fill="{colour}" opacity="0.13"/>')
        dash = "" if trade is None else DASHES[trade.defence]
        parts.append(f'<polyline points="{_points(line)}" {_stroke(colour, dash)}/>')
    if free:
        parts += [
            f'<circle cx="{at(size.size):.1f}" cy="{_up(share):.1f}" r="2.6" fill="{colour}" opacity="0.6"/>'
            for size in arm.sizes
            for share in size.shares
        ]
    return parts


def _nearest(arm: ArmFigures, n: float) -> tuple[float, float, float]:
    """Return dollars, days and FLOPs of training on n examples, from the nearest trained size."""
    point = min(arm.sizes, key=lambda size: abs(size.size - n))
    return point.train_usd, point.train_days, point.flops


def _dollars(arm: ArmFigures, n: float, trade: Trade | None) -> float:
    harvest = 0.0 if arm.arm == "public" or trade is None else n * trade.usd / trade.examples
    return harvest + _nearest(arm, n)[0]


def _days(arm: ArmFigures, n: float, trade: Trade | None) -> float:
    """Several operations take the days of one, whatever their number; one takes its share."""
    if arm.arm == "public" or trade is None:
        return _nearest(arm, n)[1]
    part = min(1.0, n * trade.copies / trade.examples)
    return part * trade.days + _nearest(arm, n)[1]


def _flops(arm: ArmFigures, n: float, trade: Trade | None) -> float:
    return _nearest(arm, n)[2]


def _up(share: float) -> float:
    return TOP + HIGH * (1 - share)


def _points(line: Line) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in line)


def _stroke(colour: str, dash: str) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{colour}" stroke-width="2"{dashed}'


def _tick(axis: str, value: float) -> str:
    """
    >>> _tick("dollars", 200), _tick("days", 0.005), _tick("flops", 5e11)
    ('$200', '0.005', '5e11')
    """
    if axis == "flops":
        return f"{value:.0e}".replace("+", "")
    return f"{'$' if axis == 'dollars' else ''}{value:,.12g}"


def _words(task: TaskFigures) -> str:
    sentences = [
        f"{SAYS[arm.arm]}: "
        + ", ".join(
            f"{size.size:,} examples {100 * sum(size.shares) / len(size.shares):.0f} %" for size in arm.sizes
        )
        for arm in task.arms
        if arm.sizes
    ]
    return "Share right by what a student cost. " + "; ".join(sentences)
