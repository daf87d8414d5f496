"""The page about an experiment, and its figures as JSON."""

import json
import tomllib
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from stillwatch import __version__
from stillwatch.distill.economics import SAYS, Experiment
from stillwatch.distill.economics.figures import Bounded, EconomicsFigures, days, figures, percent
from stillwatch.distill.economics.grid import finished_cells
from stillwatch.distill.economics.picture import picture
from stillwatch.distill.report.page import dollars
from stillwatch.distill.rows import replace_file, write_json
from stillwatch.report import sheet

PACKAGE = "stillwatch.distill.economics"


def write_page(experiment: Experiment) -> EconomicsFigures:
    """Write `economics.html`, `economics.json` and a picture for each task from the finished cells."""
    shown = figures(experiment, finished_cells(experiment))
    folder = Path(experiment.folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {task.name: picture(task) for task in shown.tasks}
    for name, svg in pictures.items():
        replace_file(folder / f"economics-{name}.svg", [svg.encode()])
    write_json(
        folder / "economics.json",
        {"stillwatch": __version__} | json.loads(json.dumps(asdict(shown))) | {"published": published_rows()},
    )
    replace_file(folder / "economics.html", [render(shown, pictures).encode("utf-8", "backslashreplace")])
    return shown


def published_rows() -> list[dict[str, str]]:
    """Return the reference rows: results that others published."""
    text = files(PACKAGE).joinpath("published.toml").read_text(encoding="utf-8")
    rows: list[dict[str, str]] = tomllib.loads(text)["row"]
    return rows


def render(shown: EconomicsFigures, pictures: dict[str, str]) -> str:
    """Return the page as text."""
    style = sheet.style_with(PACKAGE, "economics.css")
    return (
        _environment()
        .get_template("economics.html.j2")
        .render(
            a=shown,
            # drawn here from numbers and task names, which are letters, digits and _
            pictures={name: Markup(svg) for name, svg in pictures.items()},
            published=published_rows(),
            says=SAYS,
            style=style,
            policy=sheet.policy(style),
            version=__version__,
        )
    )


def _span(values: tuple[int, ...]) -> str:
    """
    >>> _span((138, 162)), _span((1000, 1000))
    ('138 to 162', '1,000')
    """
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _with_bounds(of: Bounded, money: bool = False, or_less: bool = False) -> str:
    """
    >>> _with_bounds((300.2, 250.0, None)), _with_bounds((None, 900.0, None))
    ('300 (250 to ?)', 'not reached')
    >>> _with_bounds((48, None, 66), or_less=True)
    '48 or less (? to 66)'
    """
    value, low, high = (None if bound is None else f"{'$' if money else ''}{bound:,.0f}" for bound in of)
    less = " or less" if or_less else ""
    return "not reached" if value is None else f"{value}{less} ({low or '?'} to {high or '?'})"


@cache
def _environment() -> Environment:
    environment = sheet.environment(PACKAGE)
    environment.filters.update(estimate=percent, dollars=dollars, days=days, span=_span)
    environment.globals.update(bounded=_with_bounds)
    return environment
