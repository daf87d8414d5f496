"""Logging in and out. A session begins with a new cookie: what a browser brought along counts for nothing."""

import secrets

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stillwatch.console import UserRole, people, render, sessions
from stillwatch.console.page_context import ConsoleContext, address
from stillwatch.console.throttle import Throttle
from stillwatch.errors import StillwatchError

LONGEST_NAME = 200
BROWSER_S = 90 * 86_400  # how long a browser is known after its last log-in


def _prefix(request: Request) -> str:
    return "__Host-" if request.scope["state"]["secure"] else ""


def cookie_name(request: Request) -> str:
    """Name the session's cookie. The port is in it: browsers keep cookies of all ports of a host together."""
    return f"{_prefix(request)}stillwatch-{request.url.port or 0}"


def _door_name(request: Request) -> str:
    return f"{_prefix(request)}stillwatch-door-{request.url.port or 0}"


def _browser_name(request: Request) -> str:
    return f"{_prefix(request)}stillwatch-browser-{request.url.port or 0}"


def _place(answer: Response, request: Request, name: str, value: str, longest_s: int | None = None) -> None:
    secure = request.scope["state"]["secure"]
    answer.set_cookie(
        name, value, max_age=longest_s, path="/", httponly=True, samesite="strict", secure=secure
    )


def _remove(answer: Response, request: Request, name: str) -> None:
    secure = request.scope["state"]["secure"]
    answer.delete_cookie(name, path="/", httponly=True, samesite="strict", secure=secure)


def _inside(request: Request, target: str) -> str:
    """Give the page to go on to: one of ours, or the queue."""
    home = address(request, "/queue")
    root = str(request.scope.get("root_path", ""))
    fits = target.startswith(f"{root}/") and not target.startswith("//") and "\\" not in target
    return target if fits and target.isprintable() and len(target) < 2_000 else home


class LoginPages:
    """The way in and out."""

    def __init__(self, desk: ConsoleContext, throttle: Throttle) -> None:
        self._desk, self._throttle = desk, throttle

    def form(self, request: Request) -> Response:
        """Show the form."""
        return self._login_page(request, request.query_params.get("next", ""))

    def _login_page(self, request: Request, target: str, trouble: str = "", status: int = 200) -> Response:
        door = request.cookies.get(_door_name(request), "")
        fresh = len(door) != 43
        door = secrets.token_urlsafe(32) if fresh else door
        view = {"csrf": sessions.csrf_of(door), "next": _inside(request, target), "trouble": trouble}
        action = address(request, "/login")
        answer = render.bare(
            request,
            "login.html.j2",
            status,
            home=address(request, "/"),
            action=action,
            title="Log in",
            **view,
        )
        if fresh:
            _place(answer, request, _door_name(request), door)
        return answer

    def enter(self, request: Request) -> Response:
        """Judge a name and a password."""
        fields = request.scope["state"]["form"]
        given = {name: (fields.get(name) or [""])[-1] for name in ("name", "password", "csrf", "next")}
        target = given["next"]
        door = request.cookies.get(_door_name(request), "")
        if not door or not sessions.same(given["csrf"], sessions.csrf_of(door)):
            return self._login_page(request, target, "This form was too old. Try again.", 403)
        name = given["name"].strip().lower()[:LONGEST_NAME]
        peer = request.client.host if request.client else ""
        try:
            browser = people.known_browser(
                self._desk.store, name, request.cookies.get(_browser_name(request), "")
            )
        except StillwatchError as why:
            return self._login_page(request, target, str(why), 503)
        wait_s = self._throttle.wait_s(name, peer, browser)
        if wait_s:
            minutes = -(-wait_s // 60)
            said = f"Too many tries. Wait {minutes} minute{'s' * (minutes > 1)}."
            answer = self._login_page(request, target, said, 429)
            answer.headers["retry-after"] = str(wait_s)
            return answer
        self._throttle.begun(name, peer, browser)
        now_us = self._desk.now_us()
        try:
            user = people.check(self._desk.store, name, given["password"])
            if user is None:
                self._desk.store.look("nobody", "log-in failed", "console", {"address": peer}, now_us)
                return self._login_page(request, target, "That name and password do not go together.", 401)
            old = request.cookies.get(cookie_name(request))
            cookie = sessions.begin(self._desk.store, user, now_us, instead_of=old)
            kept = people.browser_cookie(self._desk.store, name, browser)
        except StillwatchError as why:
            return self._login_page(request, target, str(why), 503)
        self._throttle.record_success(name, peer, browser)
        if user.role >= UserRole.ANALYST:
            self._desk.snapshots.prepare()
        answer = RedirectResponse(_inside(request, target), 303)
        _place(answer, request, cookie_name(request), cookie)
        _place(answer, request, _browser_name(request), kept, BROWSER_S)
        _remove(answer, request, _door_name(request))
        return answer

    def leave(self, request: Request) -> Response:
        """End the session."""
        fields = request.scope["state"]["form"]
        cookie = request.cookies.get(cookie_name(request), "")
        answer = RedirectResponse(address(request, "/login"), 303)
        given = (fields.get("csrf") or [""])[-1]
        if cookie and sessions.same(given, sessions.csrf_of(cookie)):
            try:
                sessions.end(self._desk.store, cookie, self._desk.now_us())
            except StillwatchError as why:
                return self._login_page(request, "", str(why), 503)
            _remove(answer, request, cookie_name(request))
        return answer
