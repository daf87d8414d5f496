"""Logging in and out. A session begins with a new cookie: what a browser brought along counts for nothing."""

import secrets
from typing import Literal

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stillwatch.console import UserRole, people, render, sessions
from stillwatch.console.openid import IdentityProvider
from stillwatch.console.page_context import ConsoleContext, address
from stillwatch.errors import StillwatchError

LONGEST_NAME = 200
BROWSER_S = 90 * 86_400  # how long a browser is known after its last log-in


def _prefix(request: Request) -> str:
    return "__Host-" if request.scope["state"]["secure"] else ""


def cookie_name(request: Request, what: str = "") -> str:
    """Name a cookie, by default the session's. The port is in it: browsers keep all ports' together."""
    return f"{_prefix(request)}stillwatch-{what}{'-' * bool(what)}{request.url.port or 0}"


def place_cookie(
    answer: Response,
    request: Request,
    what: str,
    value: str,
    longest_s: int | None = None,
    samesite: Literal["strict", "lax"] = "strict",
) -> None:
    """Have the browser keep something that no script reads."""
    answer.set_cookie(
        cookie_name(request, what), value, max_age=longest_s, path="/", httponly=True, samesite=samesite,
        secure=request.scope["state"]["secure"],
    )  # fmt: skip


def remove_cookie(
    answer: Response, request: Request, what: str, samesite: Literal["strict", "lax"] = "strict"
) -> None:
    answer.delete_cookie(
        cookie_name(request, what), path="/", httponly=True, samesite=samesite,
        secure=request.scope["state"]["secure"],
    )  # fmt: skip


def inside(request: Request, target: str) -> str:
    """Give the page to go on to: one of ours, or the queue."""
    home = address(request, "/queue")
    root = str(request.scope.get("root_path", ""))
    fits = target.startswith(f"{root}/") and not target.startswith("//") and "\\" not in target
    return target if fits and target.isprintable() and len(target) < 2_000 else home


class LoginPages:
    """The way in and out."""

    def __init__(self, desk: ConsoleContext, provider: IdentityProvider | None = None) -> None:
        self._desk, self._throttle, self._provider = desk, desk.throttle, provider

    def form(self, request: Request) -> Response:
        """Show the form."""
        return self.login_page(request, request.query_params.get("next", ""))

    def login_page(self, request: Request, target: str, trouble: str = "", status: int = 200) -> Response:
        """Show the form, and what went wrong."""
        door = request.cookies.get(cookie_name(request, "door"), "")
        fresh = len(door) != 43
        door = secrets.token_urlsafe(32) if fresh else door
        target = inside(request, target)
        provider, left = self._provider, request.query_params.get("left") == "1"
        view = {
            "csrf": sessions.csrf_of(door),
            "next": target,
            "trouble": trouble,
            "provider": provider.settings.label if provider else None,
            "provider_login": address(request, "/login/oidc", next=target),
            "provider_logout": provider.logout_url() if provider and left else None,
        }
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
            place_cookie(answer, request, "door", door)
        return answer

    def enter(self, request: Request) -> Response:
        """Judge a name and a password."""
        fields = request.scope["state"]["form"]
        given = {name: (fields.get(name) or [""])[-1] for name in ("name", "password", "csrf", "next")}
        target = given["next"]
        door = request.cookies.get(cookie_name(request, "door"), "")
        if not door or not sessions.same(given["csrf"], sessions.csrf_of(door)):
            return self.login_page(request, target, "This form was too old. Try again.", 403)
        name = given["name"].strip().lower()[:LONGEST_NAME]
        peer = request.client.host if request.client else ""
        try:
            browser = people.known_browser(
                self._desk.store, name, request.cookies.get(cookie_name(request, "browser"), "")
            )
        except StillwatchError as why:
            return self.login_page(request, target, str(why), 503)
        wait_s = self._throttle.wait_s(name, peer, browser)
        if wait_s:
            minutes = -(-wait_s // 60)
            said = f"Too many tries. Wait {minutes} minute{'s' * (minutes > 1)}."
            answer = self.login_page(request, target, said, 429)
            answer.headers["retry-after"] = str(wait_s)
            return answer
        self._throttle.begun(name, peer, browser)
        now_us = self._desk.now_us()
        try:
            user = people.check(self._desk.store, name, given["password"])
            if user is None:
                self._desk.store.look("nobody", "log-in failed", "console", {"address": peer}, now_us)
                return self.login_page(request, target, "That name and password do not go together.", 401)
            old = request.cookies.get(cookie_name(request))
            cookie = sessions.begin(self._desk.store, user, now_us, instead_of=old)
            kept = people.browser_cookie(self._desk.store, name, browser)
        except StillwatchError as why:
            return self.login_page(request, target, str(why), 503)
        self._throttle.record_success(name, peer, browser)
        if user.role >= UserRole.ANALYST:
            self._desk.snapshots.prepare()
        answer = RedirectResponse(inside(request, target), 303)
        place_cookie(answer, request, "", cookie)
        place_cookie(answer, request, "browser", kept, BROWSER_S)
        remove_cookie(answer, request, "door")
        return answer

    def leave(self, request: Request) -> Response:
        """End the session."""
        fields = request.scope["state"]["form"]
        cookie = request.cookies.get(cookie_name(request), "")
        left = "1" if self._provider is not None else ""
        answer = RedirectResponse(address(request, "/login", left=left), 303)
        given = (fields.get("csrf") or [""])[-1]
        if cookie and sessions.same(given, sessions.csrf_of(cookie)):
            try:
                sessions.end(self._desk.store, cookie, self._desk.now_us())
            except StillwatchError as why:
                return self.login_page(request, "", str(why), 503)
            remove_cookie(answer, request, "")
        return answer
