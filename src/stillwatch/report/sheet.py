"""Shared parts of all self-contained pages: one style, two layers of escaping, and a content security policy.

A page loads nothing and runs no script but its own.
"""

import base64
import hashlib
from importlib import resources

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from stillwatch.report import amounts
from stillwatch.report.visible import pieces, visible


def show(text: object, limit: int = 160) -> Markup:
    """Escape for HTML, and show each active or invisible character as a marked escape."""
    if text is None or text == "":
        return Markup("-") if text is None else Markup('<span class="ctl">(empty)</span>')
    parts = (
        Markup('<span class="ctl">{}</span>').format(piece) if is_escape else escape(piece)
        for piece, is_escape in pieces(str(text), limit)
    )
    return Markup("<bdi>{}</bdi>").format(Markup("").join(parts))


def file_of(package: str, name: str) -> Markup:
    """Return one of our own styles or scripts, fixed at build time."""
    return Markup(resources.files(package).joinpath("templates", name).read_text("utf-8"))


def style_with(package: str, name: str) -> Markup:
    """Return the style of all pages followed by a page's own."""
    return file_of("stillwatch.report", "page.css") + file_of(package, name)


def policy(style: str, script: str | None = None) -> str:
    """Return the page's content security policy: only its own style, script and embedded pictures."""
    scripts = f"script-src '{_digest(script)}'; " if script is not None else ""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; {scripts}img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def label(text: str, letters: int = 60) -> str:
    """Cut a name to fit a picture, with underscores as spaces. The table beside it has the full name."""
    shown = visible(text.replace("_", " "), 1000)
    return shown if len(shown) <= letters else shown[: letters - 1] + "…"


def environment(package: str, *more: BaseLoader) -> Environment:
    """Return the templates of a package: everything is escaped, and undefined names are errors."""
    built = Environment(
        loader=ChoiceLoader([PackageLoader(package), *more]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    built.filters.update(
        count=amounts.count,
        short=amounts.short,
        number=amounts.number,
        p_value=amounts.p_value,
        moment=amounts.moment,
        label=label,
        shown=show,
    )
    built.globals.update(share=amounts.share, counted=amounts.plural)
    return built
