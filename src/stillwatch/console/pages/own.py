"""What a user sees and changes of their own access: the password, and where they are logged in."""

from starlette.responses import RedirectResponse, Response

from stillwatch.console import ConsoleError, people, sessions
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.console.pages.entry import cookie_name

HERE = "(own page)"  # in place of an address: guesses here are counted apart from log-ins


def _cookie(asked: PageRequest) -> str:
    return str(asked.request.cookies.get(cookie_name(asked.request), ""))


def show(asked: PageRequest) -> Shown:
    """Show who somebody is here, and their sessions."""
    me = asked.user
    found = sessions.of_user(asked.store, me.name, _cookie(asked), asked.now_us)
    rows = [
        {"opened": iso_us(one.opened_us), "last_used": iso_us(one.seen_us), "this": one.is_this}
        for one in found
    ]
    has_password = people.has_password(asked.store, me.name)
    data = {"name": me.name, "role": me.role, "password": has_password, "sessions": rows}
    view = {"sessions": found, "has_password": has_password, "shortest": people.SHORTEST}
    return Shown("own.html.j2", me.name, data, rows, view)


def change_password(asked: PageRequest) -> Response:
    """Change one's own password, which ends one's other sessions."""
    me, throttle = asked.user.name, asked.desk.throttle
    given = {name: (asked.all_of(name) or [""])[-1] for name in ("current", "new", "again")}
    if given["new"] != given["again"]:
        raise ConsoleError("the new password was not typed alike twice")
    if throttle.wait_s(me, HERE):
        raise ConsoleError("too many tries: wait a quarter of an hour, or ask for a new password")
    throttle.begun(me, HERE)
    mine = sessions.digest_of(_cookie(asked))
    people.change_password(asked.store, me, given["current"], given["new"], keep=mine, now_us=asked.now_us)
    throttle.record_success(me, HERE)
    return RedirectResponse(asked.url("/me", done="password"), 303)


def end_sessions(asked: PageRequest) -> Response:
    """End all of one's sessions but this."""
    sessions.end_others(asked.store, asked.user.name, _cookie(asked), asked.now_us)
    return RedirectResponse(asked.url("/me", done="ended"), 303)
