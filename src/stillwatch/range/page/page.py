"""The page of a run, in the style of a scan's: no script, no request."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from stillwatch import __version__
from stillwatch.range import words
from stillwatch.range.contests import ContestSummary
from stillwatch.range.live.outcome_json import outcome_of as live_outcome
from stillwatch.range.live.picture import picture as live_picture
from stillwatch.range.page import pictures
from stillwatch.range.run import RangeRun
from stillwatch.range.table import ALL, ResultRow
from stillwatch.report import amounts, sheet
from stillwatch.report.findings import write_atomically
from stillwatch.scan.curve import curve

PAGE = "index.html"
OURS = "stillwatch"


def chief(table: Sequence[ResultRow]) -> tuple[ResultRow, ...]:
    """Return the lines that the pictures show: all scenes together, or the only scene."""
    every = tuple(x for x in table if x.scene == ALL)
    scenes = list(dict.fromkeys(x.scene for x in table))
    return every or tuple(x for x in table if x.scene == scenes[0]) if scenes else ()


def headline(table: Sequence[ResultRow], live: Sequence[dict[str, object]]) -> str:
    """State the result of the run in one sentence."""
    lines = chief(table)
    if not lines:
        return f"{amounts.plural(len(live), 'live play')} of a campaign, a gateway and a student."
    measured = [x for x in lines if x.out_share is not None]
    best = next((x for x in measured if x.defence == OURS), None) or min(
        measured, key=lambda x: x.out_share.mean if x.out_share else 1.0, default=None
    )
    if best is None or best.out is None or best.out_share is None:
        lines = tuple(x for x in lines if not x.silent)
        named = sum(1 for x in lines if x.honest_named is not None and x.honest_named.mean > 0)
        return f"Nobody distils here, and {named} of {len(lines)} defences name honest accounts."
    share = words.cell(best.student, words.percent)[0]
    without = words.cell(best.student_undefended, words.percent)[0]
    if all(x.out_share.mean > 0.995 for x in measured if x.out_share):
        return (
            f"No defence here took anything from a campaign: {words.plain(best.out.mean)} exchanges got out, "
            f"a student right in {share} of questions."
        )
    return (
        f"Under {words.defence_name(best.defence)} {words.plain(best.out.mean)} exchanges a campaign got "
        f"out, {words.percent(best.out_share.mean)} of what leaves undefended: a student right in {share} of "
        f"questions instead of {without}."
    )


def render(
    result: RangeRun, table: Sequence[ResultRow], fights: Sequence[ContestSummary], trained: bool
) -> str:
    """Return the page as text."""
    style = sheet.style_with("stillwatch.range.page", "range.css")
    lines = chief(table)
    return (
        _environment()
        .get_template("range.html.j2")
        .render(
            run=result,
            headline=headline(table, result.live),
            table=table,
            scenes=sorted(dict.fromkeys(x.scene for x in table), key=lambda name: name != ALL),
            lines=lines,
            harvests=pictures.harvests(lines),
            costs=pictures.costs(lines),
            bought=pictures.place_on_curve(lines),
            grid=pictures.collateral(lines),
            tracks=pictures.tracks([c for _, c in result.contests]),
            fights=fights,
            live=words.live_rows(result.live),
            live_pictures=_live_pictures(result),
            aim=pictures.AIM,
            trained=trained,
            curve=curve(),
            words=words,
            row_px=pictures.ROW,
            high_px=pictures.HIGH,
            style=style,
            policy=sheet.policy(style),
            version=__version__,
        )
    )


def _live_pictures(result: RangeRun) -> list[tuple[str, Markup]]:
    """Return each scene's picture of its live plays; text in it is already escaped."""
    scenes = dict.fromkeys(outcome["scene"] for outcome in result.live)
    drawn = {
        name: live_picture([live_outcome(outcome) for outcome in result.live if outcome["scene"] == name])
        for name in scenes
    }
    return [(name, Markup(svg)) for name, svg in drawn.items()]  # drawn here


@cache
def _environment() -> Environment:
    environment = sheet.environment("stillwatch.range.page")
    environment.filters.update(percent=words.percent, row_of=words.row, fought_row_of=words.fought_row)
    return environment


def write_page(
    result: RangeRun,
    table: Sequence[ResultRow],
    fights: Sequence[ContestSummary],
    trained: bool,
    folder: Path,
) -> Path:
    """Write `index.html` into a folder, atomically."""
    path = folder / PAGE
    write_atomically(path, render(result, table, fights, trained))
    return path
