"""One self-contained HTML page about a distillation, in the look of a scan's. It computes nothing.

Questions and answers on it come from models and files: the template escapes, `visible` defuses, and the
page's own policy allows no request and no script.
"""

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from stillwatch import __version__
from stillwatch.distill.report import Account
from stillwatch.distill.report.picture import HIGH, curve, loss
from stillwatch.report import amounts
from stillwatch.report.visible import pieces


def headline(a: Account) -> str:
    """Say in one sentence what was bought."""
    got = f"{100 * a.after.share:.1f} %"
    of = "" if a.teacher_score is None else f" of its teacher's {100 * a.teacher_score.share:.1f} %"
    start = "" if a.before is None else f"from {100 * a.before.share:.1f} % "
    cost = f"{amounts.counted(a.after.samples, 'sample')} of {amounts.short(a.after.tokens)} tokens"
    if not a.after.tokens:
        cost = amounts.counted(a.after.samples, "sample")
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
    style = Markup(
        resources.files("stillwatch.report").joinpath("templates", "page.css").read_text("utf-8")
        + resources.files("stillwatch.distill.report").joinpath("templates", "distill.css").read_text("utf-8")
    )  # both ours, fixed at build time
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    across = "tokens" if a.after.tokens else "samples"
    return (
        _environment()
        .get_template("distill.html.j2")
        .render(
            a=a,
            headline=headline(a),
            style=style,
            policy=policy,
            picture=curve(a.curve, a.teacher_score, across),
            across=across,
            loss=loss(a.training.get("loss", [])),
            high=HIGH,
            version=__version__,
        )
    )


def _shown(text: object, limit: int = 200) -> Markup:
    if text is None or text == "":
        return Markup("-")
    parts = (
        Markup('<span class="ctl">{}</span>').format(shown) if is_escape else escape(shown)
        for shown, is_escape in pieces(str(text), limit)
    )
    return Markup("<bdi>{}</bdi>").format(Markup("").join(parts))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stillwatch.distill.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=amounts.count,
        short=amounts.short,
        number=amounts.number,
        shown=_shown,
        percent=_percent,
        dollars=dollars,
    )
    environment.globals.update(share=amounts.share, counted=amounts.counted)
    return environment
