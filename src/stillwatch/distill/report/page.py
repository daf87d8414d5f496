"""One self-contained HTML page about a distillation, in the look of a scan's. It computes nothing.

Questions and answers on it come from models and files: the template escapes, `visible` defuses, and the
page's own policy allows no request and no script.
"""

from functools import cache

from jinja2 import Environment

from stillwatch import __version__
from stillwatch.distill.report import Account
from stillwatch.distill.report.picture import HIGH, curve, loss
from stillwatch.report import amounts, sheet


def headline(a: Account) -> str:
    """Say in one sentence what was bought."""
    got = f"{100 * a.after.share:.1f} %"
    of = "" if a.teacher_score is None else f" of its teacher's {100 * a.teacher_score.share:.1f} %"
    start = "" if a.before is None else f"from {100 * a.before.share:.1f} % "
    cost = f"{amounts.plural(a.after.samples, 'sample')} of {amounts.short(a.after.tokens)} tokens"
    if not a.after.tokens:
        cost = amounts.plural(a.after.samples, "sample")
    money = "" if a.after.usd is None else f", {dollars(a.after.usd)}"
    return f"The student went {start}to {got}{of} on {cost}{money}."


def dollars(usd: float | None) -> str:
    """
    >>> dollars(0.0042), dollars(12.5), dollars(None)
    ('$0.0042', '$12.50', '-')
    """
    if usd is None:
        return "-"
    return f"${usd:,.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.2g}"


def render(a: Account) -> str:
    """Give the page as text."""
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
