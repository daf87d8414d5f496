"""Draws what was taken in each arm over event time, and its student's score, as one SVG."""

from collections.abc import Callable, Sequence

from stillwatch.range.live import ARMS, Arm, LiveOutcome, StudentScore
from stillwatch.report.chart import FAINT, GRID, INK, label, picture_head

Scale = Callable[[float], float]

COLOURS = {"off": "#c4682e", "block": "#235a78", "strip": "#5b7a3a", "replace": "#7b4a86"}
SAYS = {"off": "no defence", "block": "blocks", "strip": "strips", "replace": "blocks, replaced"}
LEFT, TOP, WIDE, HIGH = 52, 34, 400, 220
APART, BARS = 120, 250  # distance from the curves to the scores, and their width


def picture(outcomes: Sequence[LiveOutcome]) -> str:
    """Draw the outcomes of one scene, one line per seed."""
    full = LEFT + WIDE + APART + BARS + 20
    high = TOP + HIGH + 62
    parts = [picture_head(full, high, _words(outcomes)), *_curves(outcomes), *_scores(outcomes), "</svg>", ""]
    return "\n".join(parts)


def _words(outcomes: Sequence[LiveOutcome]) -> str:
    sentences = [
        f"seed {o.seed}, {SAYS[a.name]}: {a.out} examples out"
        + (f", student {s.share.rate:.0%}" if s else "")
        for o in outcomes
        for a in o.arms
        for s in [o.student(a.name)]
    ]
    return "Examples that got out over time, and students. " + "; ".join(sentences)


def _span(outcomes: Sequence[LiveOutcome]) -> tuple[float, float, int]:
    days = [m.day for o in outcomes for a in o.arms for m in a.marks] or [0.0, 1.0]
    most = max((a.out for o in outcomes for a in o.arms), default=1)
    return min(days), max(max(days), min(days) + 0.1), max(most, 10)


def _curves(outcomes: Sequence[LiveOutcome]) -> list[str]:
    first, last, most = _span(outcomes)
    step = next(s for s in (10, 50, 100, 250, 500, 1000, 2500, 5000, 10**9) if most / s <= 5)

    def across(day: float) -> float:
        return LEFT + WIDE * (day - first) / (last - first)

    def up(count: float) -> float:
        return TOP + HIGH * (1 - count / most)

    parts = [label(LEFT, TOP - 16, "examples that got out", INK)]
    for count in range(0, most + 1, step):
        parts.append(f'<path d="M{LEFT} {up(count):.1f}h{WIDE}" stroke="{GRID}"/>')
        parts.append(label(LEFT - 6, up(count) + 4, f"{count:,}", anchor="end"))
    whole = int(last - first)
    for day in range(whole + 1):
        parts.append(label(across(first + day), TOP + HIGH + 18, f"{day}", anchor="middle"))
    parts.append(label(LEFT + WIDE / 2, TOP + HIGH + 36, "days since the campaign began", anchor="middle"))
    for outcome in outcomes:
        for arm in outcome.arms:
            parts += _curve(arm, across, up, last)
    legend = list(dict.fromkeys(a.name for o in outcomes for a in o.arms))
    x = LEFT
    for name in legend:
        parts.append(f'<path d="M{x} {TOP + HIGH + 52}h16" stroke="{COLOURS[name]}" stroke-width="2.5"/>')
        parts.append(label(x + 21, TOP + HIGH + 56, SAYS[name]))
        x += 40 + 7 * len(SAYS[name])
    parts.append(label(x, TOP + HIGH + 56, "dashed: alarm; dot: the last account stopped"))
    return parts


def _curve(arm: Arm, across: Scale, up: Scale, last: float) -> list[str]:
    colour, parts = COLOURS[arm.name], []
    if arm.marks:
        points = [f"{across(m.day):.1f},{up(m.out):.1f}" for m in arm.marks]
        points.append(f"{across(last):.1f},{up(arm.out):.1f}")
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        )
    if arm.alarm_day is not None:
        x = across(arm.alarm_day)
        parts.append(f'<path d="M{x:.1f} {TOP}v{HIGH}" stroke="{colour}" stroke-dasharray="3 4"/>')
    if arm.contained_day is not None and arm.contained_day <= last:
        parts.append(
            f'<circle cx="{across(arm.contained_day):.1f}" cy="{up(arm.out):.1f}" r="4" fill="{colour}"/>'
        )
    return parts


def _scores(outcomes: Sequence[LiveOutcome]) -> list[str]:
    left = LEFT + WIDE + APART
    rows: list[tuple[str, str, list[StudentScore]]] = []
    for name, says in (("teacher", "teacher"), *((arm, SAYS[arm]) for arm in ARMS),
                       ("drilled", "form alone"), ("untrained", "untrained")):  # fmt: skip
        if name in ARMS:
            found = [s.share for o in outcomes for s in [o.student(name)] if s]
        else:
            found = [s for o in outcomes for s in [getattr(o, name)] if s]
        if found:
            rows.append((says, COLOURS.get(name, FAINT), found))
    if not rows:
        return []
    parts = [label(left, TOP - 16, "held-out problems solved, with 95 % bounds", INK)]
    for percent in (0, 25, 50, 75, 100):
        x = left + BARS * percent / 100
        parts.append(f'<path d="M{x:.1f} {TOP}v{HIGH}" stroke="{GRID}"/>')
        parts.append(label(x, TOP + HIGH + 18, f"{percent} %", anchor="middle"))
    chance = left + BARS * 0.1
    parts.append(f'<path d="M{chance:.1f} {TOP}v{HIGH}" stroke="{FAINT}" stroke-dasharray="2 4"/>')
    parts.append(label(chance, TOP + HIGH + 36, "guessing", anchor="middle"))
    each = HIGH / len(rows)
    for n, (says, colour, shares) in enumerate(rows):
        middle = TOP + each * (n + 0.5)
        parts.append(label(left - 8, middle + 4, says, INK, anchor="end"))
        for k, share in enumerate(shares):
            y = middle + (k - (len(shares) - 1) / 2) * min(9.0, each / (len(shares) + 1))
            low, high = left + BARS * share.low, left + BARS * share.high
            parts.append(f'<path d="M{low:.1f} {y:.1f}H{high:.1f}" stroke="{colour}" stroke-width="2"/>')
            parts.append(
                f'<circle cx="{left + BARS * share.rate:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>'
            )
    return parts
