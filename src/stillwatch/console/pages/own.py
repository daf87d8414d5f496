"""A user's notifications, and the user's own access: sessions, password, tokens."""

from collections.abc import Callable
from typing import TypeVar

import segno
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from stillwatch.console import ConsoleError, inbox, password_rules, people, second_factor, sessions, tokens
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.console.pages.entry import cookie_name

HERE = "(own page)"  # in place of an address: guesses here are counted separately from log-ins
Proof = TypeVar("Proof")


def _cookie(request: PageRequest) -> str:
    return str(request.http.cookies.get(cookie_name(request.http), ""))


def show(request: PageRequest) -> Shown:
    """Show the user's role, notifications, sessions and tokens."""
    me = request.user
    own_sessions = sessions.of_user(request.store, me.name, _cookie(request), request.now_us)
    rows = [
        {"opened": iso_us(entry.opened_us), "last_used": iso_us(entry.seen_us), "this": entry.is_this}
        for entry in own_sessions
    ]
    has_password = people.has_password(request.store, me.name)
    factor = second_factor.of_user(request.store, me.name)
    confirmed = factor is not None and factor.confirmed_us is not None
    my_tokens, notices = tokens.of_user(request.store, me.name), inbox.of_user(request.store, me.name)
    address = people.address(request.store, me.name)
    news = [
        {
            "kind": entry.kind, "case": entry.case, "title": entry.title, "who": entry.who,
            "at": iso_us(entry.at_us),
            "read": entry.seen_us is not None, "href": request.url(f"/case/{entry.case}"),
        }
        for entry in notices
    ]  # fmt: skip
    data = {
        "name": me.name, "role": me.role, "password": has_password, "second_factor": confirmed,
        "sessions": rows, "notices": news, "address": address or None,
        "tokens": [tokens.token_row(entry, request.now_us) for entry in my_tokens],
    }  # fmt: skip
    view = {
        "sessions": own_sessions, "has_password": has_password, "shortest": password_rules.SHORTEST,
        "factor": factor, "confirmed": confirmed, "must_have_factor": request.must_have_factor(),
        "notices": notices, "unread": any(entry.seen_us is None for entry in notices), "address": address,
        "tokens": my_tokens, "scopes": list(tokens.TokenScope), "days": tokens.DAYS,
        "most_days": tokens.MOST_DAYS,
        **_enrolment(request),
    }  # fmt: skip
    return Shown("own.html.j2", me.name, data, rows, view)


def _enrolment(request: PageRequest) -> dict[str, object]:
    """Return the setup data of an authenticator, as text, link and QR code, while setup is in progress."""
    secret, trouble = None, ""
    try:
        secret = second_factor.begun_secret(request.store, request.user.name)
    except ConsoleError as why:
        trouble = str(why)
    if secret is None:
        return {"secret": None, "seal_trouble": trouble}
    link = second_factor.uri(secret, request.user.name, request.http.url.netloc)
    code = segno.make_qr(link, error="l", boost_error=False)
    drawing = code.svg_inline(omitsize=True, svgclass="qr", lineclass=None, light="#fff")
    return {"secret": secret, "otpauth": link, "qr_code": Markup(drawing)}


def mark_read(request: PageRequest) -> Response:
    """Mark as read what the page showed."""
    inbox.mark_read(request.store, request.user.name, request.form_number("until", 0) or 0, request.now_us)
    return RedirectResponse(request.url("/me", done="read"), 303)


def change_address(request: PageRequest) -> Response:
    """Change the user's mail address; needs the password, so that a stolen session cannot redirect mail."""
    me, new_address = request.user.name, request.form("address", 1_000)
    if new_address and people.has_password(request.store, me):
        _prove_by(request, lambda: _show_password(request))
    people.set_address(request.store, me, new_address, request.now_us)
    return RedirectResponse(request.url("/me", done="address"), 303)


def _prove_by(request: PageRequest, proof: Callable[[], Proof]) -> Proof:
    """Do something that needs a proof of identity, with a few tries allowed. Raises: ConsoleError."""
    me, throttle = request.user.name, request.desk.throttle
    if throttle.wait_s(me, HERE):
        raise ConsoleError("too many tries: wait a quarter of an hour, or ask for a new password")
    throttle.begun(me, HERE)
    result = proof()
    throttle.record_success(me, HERE)
    return result


def _show_password(request: PageRequest) -> None:
    """Raises: ConsoleError if the form does not hold the user's password."""
    me, password = request.user.name, (request.all_of("current") or [""])[-1]
    if people.check(request.store, me, password) is None:
        request.store.look(me, "password refused", me, {}, request.now_us)
        raise ConsoleError("that is not the password you have")


def change_password(request: PageRequest) -> Response:
    """Change the user's password, which ends their other sessions."""
    me = request.user.name
    passwords = {name: (request.all_of(name) or [""])[-1] for name in ("current", "new", "again")}
    if passwords["new"] != passwords["again"]:
        raise ConsoleError("the new password was not typed alike twice")
    own_session = sessions.digest_of(_cookie(request))
    _prove_by(
        request,
        lambda: people.change_password(
            request.store,
            me,
            passwords["current"],
            passwords["new"],
            keep=own_session,
            now_us=request.now_us,
            words=request.desk.settings.password_words,
        ),
    )
    return RedirectResponse(request.url("/me", done="password"), 303)


def begin_second_factor(request: PageRequest) -> Response:
    """Create a secret for the user's authenticator, which the page then shows."""
    if not people.has_password(request.store, request.user.name):
        raise ConsoleError("you log in at an identity provider; the second factor is its affair")
    _prove_by(request, lambda: _show_password(request))
    second_factor.begin(request.store, request.user.name, request.now_us)
    return RedirectResponse(request.url("/me", done="begun"), 303)


def confirm_second_factor(request: PageRequest) -> Shown:
    """Check the first code, and show the recovery codes once."""
    own_session, code = sessions.digest_of(_cookie(request)), request.form("code", 100)
    codes = _prove_by(
        request,
        lambda: second_factor.confirm(
            request.store, request.user.name, code, keep=own_session, now_us=request.now_us
        ),
    )
    return Shown("recovery.html.j2", "Recovery codes", {}, (), {"codes": codes})


def remove_second_factor(request: PageRequest) -> Response:
    """Remove the second factor; a user who must have one sets up another at once."""
    code = request.form("code", 100)
    _prove_by(request, lambda: second_factor.remove(request.store, request.user.name, code, request.now_us))
    return RedirectResponse(request.url("/me", done="removed"), 303)


def make_token(request: PageRequest) -> Shown:
    """Create an API token and show it once; requires the password, so that a stolen session cannot."""
    me, name, days = request.user.name, request.form("name", 100), request.form_number("days", tokens.DAYS)
    try:
        scope = tokens.TokenScope(request.form("scope", 20) or "read")
    except ValueError:
        raise ConsoleError(f"a token's scope is one of {', '.join(tokens.TokenScope)}") from None
    if people.has_password(request.store, me):
        _prove_by(request, lambda: _show_password(request))
    secret = tokens.make(request.store, me, name, scope, days or 0, who=me, now_us=request.now_us)
    return Shown("token.html.j2", "API token", {}, (), {"secret": secret, "name": name, "scope": scope})


def revoke_token(request: PageRequest) -> Response:
    """Revoke one of the user's tokens."""
    tokens.revoke(
        request.store, request.user.name, request.form("name"), who=request.user.name, now_us=request.now_us
    )
    return RedirectResponse(request.url("/me", done="revoked"), 303)


def end_sessions(request: PageRequest) -> Response:
    """End all of the user's sessions but this one."""
    sessions.end_others(request.store, request.user.name, _cookie(request), request.now_us)
    return RedirectResponse(request.url("/me", done="ended"), 303)
