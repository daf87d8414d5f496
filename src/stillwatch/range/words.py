"""A run's figures as text, for a terminal, for Markdown and for the page: one format for an interval."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stillwatch.range.contests import ContestSummary
from stillwatch.range.interval import Interval
from stillwatch.range.table import KindLine, ResultRow
from stillwatch.report.amounts import plural, short

DASH = "-"
CANNOT_FIRE = "cannot fire"
HEADS = (
    "defence", "campaigns caught", "false cases per 10k account-days", "harvest before alarm",
    "before containment", "its tokens", "student", "linkage, B-cubed F1", "honest accounts named",
    "of all honest accounts", "honest tokens refused per token denied", "cost multiple",
)  # fmt: skip
KEY = (
    "Means over campaigns, then over seeds; in brackets 95 % bounds: Student's t over populations, for "
    "counts the hull with exact bounds (Clopper and Pearson; Garwood). Seeds with honest people in common "
    "are one population."
)
Cell = tuple[str, str]  # the figure, and its bounds


def percent(share: float) -> str:
    """
    >>> percent(0.984), percent(0.0004), percent(0)
    ('98 %', '0.04 %', '0 %')
    """
    x = 100 * share
    return f"{x:.0f} %" if x == 0 or x >= 9.95 else f"{x:.2g} %"


def plain(value: float) -> str:
    """
    >>> plain(0.0), plain(0.126), plain(12.3), plain(1234.5)
    ('0', '0.13', '12', '1,234')
    """
    if value == 0:
        return "0"
    return f"{value:.2g}" if abs(value) < 9.95 else f"{value:,.0f}"


def times(value: float) -> str:
    """
    >>> times(5.24), times(31.2)
    ('5.2 x', '31 x')
    """
    return f"{value:.1f} x" if value < 9.95 else f"{value:,.0f} x"


def cell(interval: Interval | None, write: Callable[[float], str] = plain) -> Cell:
    """Format a figure and its bounds.

    >>> cell(Interval(0.5, 0.25, 0.75, 3), percent)
    ('50 %', '25 % to 75 %')
    """
    if interval is None:
        return DASH, ""
    figure = f">= {write(interval.mean)}" if interval.at_least else write(interval.mean)
    if interval.low is None or interval.high is None:
        return figure, ""
    low, high = write(interval.low), write(interval.high)
    return figure, low if low == high else f"{low} to {high}"


def defence_name(defence: str) -> str:
    """Return a defence's name; for one in a file the file's.

    >>> defence_name("/home/me/mine.py"), defence_name("stillwatch/without:wording")
    ('mine.py', 'stillwatch/without:wording')
    """
    return Path(defence).name if defence.endswith(".py") else defence


def over(rows: Sequence[ResultRow]) -> str:
    """State the numbers of campaigns, seeds and populations behind a scene's lines."""
    seeds, people = max(x.seeds for x in rows), max(x.populations for x in rows)
    base = f"{plural(max(x.campaigns for x in rows), 'campaign')} over {plural(seeds, 'seed')}"
    return base if people == seeds else f"{base} ({plural(people, 'population')})"


def row(x: ResultRow) -> tuple[Cell, ...]:
    """Format one line of the table."""
    if x.silent:
        return ((defence_name(x.defence), ""), *((CANNOT_FIRE, ""),) * 2, *((DASH, ""),) * (len(HEADS) - 3))
    caught = cell(x.caught, percent)
    student = cell(x.student, percent)
    return (
        (defence_name(x.defence), ""),
        (f"{x.exposed}/{x.campaigns}", caught[1]) if x.campaigns else (DASH, ""),
        cell(x.false_cases),
        cell(x.before_alarm),
        cell(x.out),
        cell(x.out_tokens, short),
        student,
        cell(x.bcubed_f1, lambda v: f"{v:.2f}"),
        cell(x.honest_named),
        cell(x.honest_share, percent),
        cell(x.honest_per_denied, lambda v: plain(round(v, 4))),
        cell(x.cost_multiple, times),
    )


FOUGHT_HEADS = (
    "attacker", "against", "goal reached", "examples out", "accounts", "days", "dollars",
    "dollars, times its own undefended", "accounts, times its own", "days, times its own",
    "dollars, times one loud account",
)  # fmt: skip


def fought_row(x: ContestSummary) -> tuple[Cell, ...]:
    """Format one line of the contests' table."""
    if x.silent:
        padding = ((DASH, ""),) * (len(FOUGHT_HEADS) - 3)
        return ((x.attacker, ""), (defence_name(x.defence), ""), (CANNOT_FIRE, ""), *padding)
    return (
        (x.attacker, ""),
        (defence_name(x.defence), ""),
        (f"{x.reached}/{x.seeds}", ""),
        cell(x.out),
        cell(x.accounts),
        cell(x.days),
        cell(x.usd),
        cell(x.times_itself["usd"], times),
        cell(x.times_itself["accounts"], times),
        cell(x.times_itself["days"], times),
        cell(x.times_loud["usd"], times),
    )


def silent(x: ResultRow | ContestSummary) -> str:
    """State on how many logs a defence could not fire, and why; empty if it could on all."""
    if not x.cannot_fire:
        return ""
    count = f"{x.cannot_fire} of {x.logs}" if x.logs > 1 else "its one"
    what = "logs, which count" if x.logs > 1 else "log, which counts"
    return f"{defence_name(x.defence)} cannot fire on {count} {what} for nothing: {x.why}."


def undefended_sentence(x: ResultRow) -> str:
    """Return the reference of a line in words."""
    student, bounds = cell(x.student_undefended, percent)
    return f"Undefended the student gets {student} right ({bounds})." if bounds else ""


def hurt(x: ResultRow) -> str:
    """Return which kinds of honest use a defence named, the worst hit first; empty if it named none."""
    named = sorted(
        (k for k in x.kinds if k.named.mean > 0), key=lambda k: (-k.false_cases, -k.named.mean, k.kind)
    )
    if not named:
        return ""
    kinds = ", ".join(_hurt(k) for k in named)
    return f"Honest accounts that {defence_name(x.defence)} names, of each kind: {kinds}."


def _hurt(k: KindLine) -> str:
    """Format one kind: the share of its accounts that are named, and the false cases that are mostly its."""
    cases = f" ({plural(k.false_cases, 'false case')})" if k.false_cases else ""
    return f"{k.kind.replace('_', ' ')} {percent(k.named.mean)}{cases}"


LIVE_HEADS = (
    "scene", "seed", "arm", "answers out", "tokens", "before alarm", "accounts", "named", "blocked",
    "honest touched", "student",
)  # fmt: skip


def live_rows(live: Sequence[dict[str, Any]]) -> list[tuple[Cell, ...]]:
    """Format the arms of live plays, each with its student, then the teacher and the untrained student."""
    rows: list[tuple[Cell, ...]] = []
    for outcome in live:
        play = outcome["scene"], str(outcome["seed"])
        learnt = {x["arm"]: x["share"] for x in outcome["learnt"]}
        for arm in outcome["arms"]:
            early = f"{arm['out_before_alarm']:,}" if arm["alarm_day"] is not None else "no alarm"
            counts = (f"{arm[name]:,}" for name in ("accounts", "named", "blocked", "honest_touched"))
            figures = (*play, arm["name"], f"{arm['out']:,}", short(arm["out_tokens"]), early, *counts)
            rows.append((*((figure, "") for figure in figures), share(learnt.get(arm["name"]))))
        for who in ("untrained", "drilled", "teacher"):
            if outcome.get(who):
                rows.append((*((figure, "") for figure in (*play, who, *[DASH] * 7)), share(outcome[who])))
    return rows


def share(score: dict[str, Any] | None) -> Cell:
    """Format a share right with its Wilson bounds."""
    if score is None:
        return DASH, ""
    return percent(score["right"] / score["n"]), f"{percent(score['low'])} to {percent(score['high'])}"
