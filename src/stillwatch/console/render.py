"""Renders a page's content as HTML. Everything in it may come from an attacker.

Templates escape all values; `shown` makes hidden or reordering characters visible. Only markup made here is
marked as safe.
"""

import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, PrefixLoader
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from stillwatch.cases.tables import key_of
from stillwatch.console import UserRole
from stillwatch.console.page_context import PageRequest, in_form
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.report import amounts, sheet
from stillwatch.report.sheet import show

STATIC = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
US = 1_000_000
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def static(name: str) -> bytes:
    """Return one of our own files."""
    return resources.files("stillwatch.console").joinpath("static", name).read_bytes()


@cache
def version_of(name: str) -> str:
    """Return the digest in a file's address, so that a browser may cache it."""
    return hashlib.sha256(static(name)).hexdigest()[:12]


def paragraphs(text: str, limit: int = 20_000) -> Markup:
    """Render a text of several lines, each as `shown`."""
    lines = text[:limit].replace("\r\n", "\n").split("\n")
    joined = Markup("<br>").join(show(line, limit) if line else Markup("") for line in lines)
    characters_left = len(text) - limit
    rest_text = (
        Markup('<span class="ctl">... (+{} characters)</span>').format(f"{characters_left:,}")
        if characters_left > 0
        else Markup("")
    )
    return joined + rest_text


def show_time(at_us: int | None, words: str = "full") -> Markup:
    """Render a time in UTC; the exact one is in the title, and a script adds local time."""
    if at_us is None:
        return Markup("-")
    exact = iso_us(at_us)
    if exact is None:
        return show(f"{at_us} us")
    moment = datetime.fromtimestamp(at_us // US, UTC)
    short = f"{moment.day} {moment:%b}, {moment:%H:%M}" if words == "short" else amounts.moment(moment)
    title = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, title, short)


def show_iso_time(text: str) -> Markup:
    """Render an ISO time; any other text is shown as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return show(text, 40)
    return show_time(int(moment.timestamp()) * US) if moment.tzinfo else show(text, 40)


def ago(span_us: int) -> str:
    """
    >>> ago(90 * 60 * US), ago(5 * US), ago(3 * 86_400 * US)
    ('1 hour', 'less than a minute', '3 days')
    """
    seconds = abs(span_us) // US
    for name, size in _UNITS:
        if seconds >= size:
            return amounts.plural(seconds // size, name)
    return "less than a minute"


@cache
def environment() -> Environment:
    """Return the templates, with the pictures of the report's page under `report/`."""
    pictures = PrefixLoader({"report": PackageLoader("stillwatch.report")})
    built = sheet.environment("stillwatch.console", pictures)
    built.filters.update(
        paragraphs=paragraphs, when=show_time, stamped=show_iso_time, ago=ago, in_form=in_form
    )
    built.globals["version_of"] = version_of
    return built


def page(page_request: PageRequest, shown: Shown, message: str = "") -> Response:
    """Return the HTML of a page for a logged-in user."""
    request = page_request.http
    path = request.url.path.removesuffix(".html")
    words = request.url.query
    twin = {form: f"{path}.{form}" + (f"?{words}" if words else "") for form in ("json", "csv")}
    text = (
        environment()
        .get_template(shown.template)
        .render(
            title=shown.title,
            user=page_request.user,
            may_work=page_request.may(UserRole.ANALYST),
            may_approve=page_request.may(UserRole.APPROVER),
            csrf=page_request.csrf,
            url=page_request.url,
            account_href=lambda name: account_href(page_request, name),
            now_us=page_request.now_us,
            twin=twin if request.method == "GET" else None,
            here=request.url.path,
            acts=page_request.deployment.acts,
            deployment=page_request.deployment.name,
            said=message,
            **shown.view,
        )
    )
    return HTMLResponse(text.encode("utf-8", "backslashreplace"), shown.status)


def account_href(request: PageRequest, account: str) -> str:
    """Return the address of an account's page; a name that no address can carry is replaced by its key."""
    plain = len(account) <= 500 and account.isprintable()
    return request.url("/account", name=account) if plain else request.url("/account", key=key_of(account))


def bare(request: Any, template: str, status: int = 200, **view: Any) -> Response:
    """Return the HTML of a page without log-in."""
    text = environment().get_template(template).render(**view)
    return HTMLResponse(text.encode("utf-8", "backslashreplace"), status)
