"""What a user is told, and what they see and change of their own access: sessions, password, tokens."""

from collections.abc import Callable
from typing import TypeVar

import segno
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from stillwatch.console import ConsoleError, inbox, password_rules, people, second_factor, sessions, tokens
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.console.pages.entry import cookie_name

HERE = "(own page)"  # in place of an address: guesses here are counted apart from log-ins
Proof = TypeVar("Proof")


def _cookie(asked: PageRequest) -> str:
    return str(asked.request.cookies.get(cookie_name(asked.request), ""))


def show(asked: PageRequest) -> Shown:
    """Show who somebody is here, what they were told, their sessions and their tokens."""
    me = asked.user
    found = sessions.of_user(asked.store, me.name, _cookie(asked), asked.now_us)
    rows = [
        {"opened": iso_us(one.opened_us), "last_used": iso_us(one.seen_us), "this": one.is_this}
        for one in found
    ]
    has_password = people.has_password(asked.store, me.name)
    factor = second_factor.of_user(asked.store, me.name)
    confirmed = factor is not None and factor.confirmed_us is not None
    made, notices = tokens.of_user(asked.store, me.name), inbox.of_user(asked.store, me.name)
    address = people.address(asked.store, me.name)
    news = [
        {
            "kind": one.kind, "case": one.case, "title": one.title, "who": one.who, "at": iso_us(one.at_us),
            "read": one.seen_us is not None, "href": asked.url(f"/case/{one.case}"),
        }
        for one in notices
    ]  # fmt: skip
    data = {
        "name": me.name, "role": me.role, "password": has_password, "second_factor": confirmed,
        "sessions": rows, "notices": news, "address": address or None,
        "tokens": [tokens.token_row(one, asked.now_us) for one in made],
    }  # fmt: skip
    view = {
        "sessions": found, "has_password": has_password, "shortest": password_rules.SHORTEST,
        "factor": factor, "confirmed": confirmed, "must_have_factor": asked.must_have_factor(),
        "notices": notices, "unread": any(one.seen_us is None for one in notices), "address": address,
        "tokens": made, "scopes": list(tokens.TokenScope), "days": tokens.DAYS, "most_days": tokens.MOST_DAYS,
        **_enrolment(asked),
    }  # fmt: skip
    return Shown("own.html.j2", me.name, data, rows, view)


def _enrolment(asked: PageRequest) -> dict[str, object]:
    """Give what an authenticator is set up with, as text, link and drawing, while that is going on."""
    secret, trouble = None, ""
    try:
        secret = second_factor.begun_secret(asked.store, asked.user.name)
    except ConsoleError as why:
        trouble = str(why)
    if secret is None:
        return {"secret": None, "seal_trouble": trouble}
    link = second_factor.uri(secret, asked.user.name, asked.request.url.netloc)
    code = segno.make_qr(link, error="l", boost_error=False)
    drawing = code.svg_inline(omitsize=True, svgclass="qr", lineclass=None, light="#fff")
    return {"secret": secret, "otpauth": link, "qr_code": Markup(drawing)}


def mark_read(asked: PageRequest) -> Response:
    """Mark as read what the page showed."""
    inbox.mark_read(asked.store, asked.user.name, asked.form_number("until", 0) or 0, asked.now_us)
    return RedirectResponse(asked.url("/me", done="read"), 303)


def change_address(asked: PageRequest) -> Response:
    """Say where one's mail goes. Who has a password shows it: a stolen session sends no mail elsewhere."""
    me, given = asked.user.name, asked.form("address", 1_000)
    if given and people.has_password(asked.store, me):
        _prove(asked, lambda: _show_password(asked))
    people.set_address(asked.store, me, given, asked.now_us)
    return RedirectResponse(asked.url("/me", done="address"), 303)


def _prove(asked: PageRequest, proof: Callable[[], Proof]) -> Proof:
    """Do what needs a proof of who somebody is, so often and no more. Raises: ConsoleError."""
    me, throttle = asked.user.name, asked.desk.throttle
    if throttle.wait_s(me, HERE):
        raise ConsoleError("too many tries: wait a quarter of an hour, or ask for a new password")
    throttle.begun(me, HERE)
    done = proof()
    throttle.record_success(me, HERE)
    return done


def _show_password(asked: PageRequest) -> None:
    """Raises: ConsoleError where the form holds another password than the user's."""
    me, given = asked.user.name, (asked.all_of("current") or [""])[-1]
    if people.check(asked.store, me, given) is None:
        asked.store.look(me, "password refused", me, {}, asked.now_us)
        raise ConsoleError("that is not the password you have")


def change_password(asked: PageRequest) -> Response:
    """Change one's own password, which ends one's other sessions."""
    me = asked.user.name
    given = {name: (asked.all_of(name) or [""])[-1] for name in ("current", "new", "again")}
    if given["new"] != given["again"]:
        raise ConsoleError("the new password was not typed alike twice")
    mine = sessions.digest_of(_cookie(asked))
    _prove(
        asked,
        lambda: people.change_password(
            asked.store,
            me,
            given["current"],
            given["new"],
            keep=mine,
            now_us=asked.now_us,
            words=asked.desk.settings.password_words,
        ),
    )
    return RedirectResponse(asked.url("/me", done="password"), 303)


def begin_second_factor(asked: PageRequest) -> Response:
    """Make a secret for one's authenticator, which the page then shows."""
    if not people.has_password(asked.store, asked.user.name):
        raise ConsoleError("you log in at an identity provider; the second factor is its affair")
    _prove(asked, lambda: _show_password(asked))
    second_factor.begin(asked.store, asked.user.name, asked.now_us)
    return RedirectResponse(asked.url("/me", done="begun"), 303)


def confirm_second_factor(asked: PageRequest) -> Shown:
    """Take the first code, and show the recovery codes once."""
    mine, code = sessions.digest_of(_cookie(asked)), asked.form("code", 100)
    codes = _prove(
        asked,
        lambda: second_factor.confirm(asked.store, asked.user.name, code, keep=mine, now_us=asked.now_us),
    )
    return Shown("recovery.html.j2", "Recovery codes", {}, (), {"codes": codes})


def remove_second_factor(asked: PageRequest) -> Response:
    """Go on without a second factor; who has to have one sets up another at once."""
    code = asked.form("code", 100)
    _prove(asked, lambda: second_factor.remove(asked.store, asked.user.name, code, asked.now_us))
    return RedirectResponse(asked.url("/me", done="removed"), 303)


def make_token(asked: PageRequest) -> Shown:
    """Make an API token and show it once. Who has a password shows it: a stolen session makes none."""
    me, name, days = asked.user.name, asked.form("name", 100), asked.form_number("days", tokens.DAYS)
    try:
        scope = tokens.TokenScope(asked.form("scope", 20) or "read")
    except ValueError:
        raise ConsoleError(f"a token's scope is one of {', '.join(tokens.TokenScope)}") from None
    if people.has_password(asked.store, me):
        _prove(asked, lambda: _show_password(asked))
    secret = tokens.make(asked.store, me, name, scope, days or 0, who=me, now_us=asked.now_us)
    return Shown("token.html.j2", "API token", {}, (), {"secret": secret, "name": name, "scope": scope})


def revoke_token(asked: PageRequest) -> Response:
    """End one of one's own tokens."""
    tokens.revoke(asked.store, asked.user.name, asked.form("name"), who=asked.user.name, now_us=asked.now_us)
    return RedirectResponse(asked.url("/me", done="revoked"), 303)


def end_sessions(asked: PageRequest) -> Response:
    """End all of one's sessions but this."""
    sessions.end_others(asked.store, asked.user.name, _cookie(asked), asked.now_us)
    return RedirectResponse(asked.url("/me", done="ended"), 303)
