"""One self-contained HTML page about a distillation, in the style of a scan's.

Questions and answers on it come from models and files: the template escapes, `visible` neutralises special
characters, and the page's own policy allows no request and no script.
"""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

from jinja2 import Environment, UndefinedError

from stillwatch import __version__
from stillwatch.distill import DistillError, DistillRun
from stillwatch.distill.report import Account
from stillwatch.distill.report.figures import account
from stillwatch.distill.report.picture import HIGH, curve, loss
from stillwatch.distill.rows import replace_file, write_json
from stillwatch.report import amounts, sheet


def headline(a: Account) -> str:
    """State in one sentence what the money bought."""
    share = f"{100 * a.after.share:.1f} %"
    of = "" if a.teacher_score is None else f" of its teacher's {100 * a.teacher_score.share:.1f} %"
    start = "" if a.before is None else f"from {100 * a.before.share:.1f} % "
    cost = f"{amounts.plural(a.after.samples, 'sample')} of {amounts.short(a.after.tokens)} tokens"
    if not a.after.tokens:
        cost = amounts.plural(a.after.samples, "sample")
    money = "" if a.after.usd is None else f", {dollars(a.after.usd)}"
    return f"The student went {start}to {share}{of} on {cost}{money}."


def dollars(usd: float | None) -> str:
    """
    >>> dollars(0.0042), dollars(12.5), dollars(None)
    ('$0.0042', '$12.50', '-')
    """
    if usd is None:
        return "-"
    return f"${usd:,.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.2g}"


def render(a: Account) -> str:
    """Return the page as text."""
    style = sheet.style_with("stillwatch.distill.report", "distill.css")
    across = "tokens" if a.after.tokens else "samples"
    return (
        _environment()
        .get_template("distill.html.j2")
        .render(
            a=a,
            headline=headline(a),
            style=style,
            policy=sheet.policy(style),
            picture=curve(a.curve, a.teacher_score, across),
            across=across,
            loss=loss(a.training.get("loss", [])),
            high=HIGH,
            version=__version__,
        )
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


@cache
def _environment() -> Environment:
    environment = sheet.environment("stillwatch.distill.report")
    environment.filters.update(percent=_percent, dollars=dollars)
    return environment


def report(path: Path) -> Path:
    """Write both files atomically; return the page's path. Raises: DistillError."""
    run = DistillRun(path)
    try:
        figures = account(run)
        plain = json.loads(json.dumps(asdict(figures), default=str))
        page = render(figures).encode("utf-8", "backslashreplace")
        content = {"stillwatch": __version__, "headline": headline(figures)} | plain
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, UndefinedError) as why:
        raise DistillError(
            f"{path}: training.json, evaluation.json or another JSON file there is damaged or of another "
            f"version ({type(why).__name__}: {why}): move it away, and `stillwatch distill run` makes it anew"
        ) from why
    write_json(run.report.with_suffix(".json"), content)
    replace_file(run.report, [page])
    return run.report
