"""Log-in and log-out. A session starts with a new cookie; one that the browser sent before is ignored."""

import secrets
from typing import Literal

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stillwatch.console import User, UserRole, people, render, second_factor, sessions
from stillwatch.console.openid import IdentityProvider
from stillwatch.console.page_context import ConsoleContext, address
from stillwatch.errors import StillwatchError
from stillwatch.units import SECOND_US

LONGEST_NAME = 200
TOO_OLD = "This form was too old. Try again."
BROWSER_S = 90 * 86_400  # how long a browser is remembered after its last log-in


def _prefix(request: Request) -> str:
    return "__Host-" if request.scope["state"]["secure"] else ""


def cookie_name(request: Request, purpose: str = "") -> str:
    """Return a cookie's name, by default the session's. Ports share cookies, so it includes the port."""
    return f"{_prefix(request)}stillwatch-{purpose}{'-' * bool(purpose)}{request.url.port or 0}"


def place_cookie(
    answer: Response,
    request: Request,
    purpose: str,
    value: str,
    longest_s: int | None = None,
    samesite: Literal["strict", "lax"] = "strict",
) -> None:
    """Set a cookie that no script can read."""
    answer.set_cookie(
        cookie_name(request, purpose), value, max_age=longest_s, path="/", httponly=True, samesite=samesite,
        secure=request.scope["state"]["secure"],
    )  # fmt: skip


def remove_cookie(
    answer: Response, request: Request, purpose: str, samesite: Literal["strict", "lax"] = "strict"
) -> None:
    answer.delete_cookie(
        cookie_name(request, purpose), path="/", httponly=True, samesite=samesite,
        secure=request.scope["state"]["secure"],
    )  # fmt: skip


def inside(request: Request, target: str) -> str:
    """Return the page to go to: one of ours, or the queue."""
    home = address(request, "/queue")
    root = str(request.scope.get("root_path", ""))
    fits = target.startswith(f"{root}/") and not target.startswith("//") and "\\" not in target
    return target if fits and target.isprintable() and len(target) < 2_000 else home


def _form_fields(request: Request, *names: str) -> dict[str, str]:
    """Return the last value of each field of a form; empty if there is none."""
    fields: dict[str, list[str]] = request.scope["state"]["form"]
    return {name: (fields.get(name) or [""])[-1] for name in names}


def _from_form(request: Request, csrf: str) -> bool:
    """Return whether a form is the one that this browser received."""
    door = request.cookies.get(cookie_name(request, "door"), "")
    return bool(door) and sessions.same(csrf, sessions.csrf_of(door))


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


class LoginPages:
    """The pages of log-in and log-out."""

    def __init__(self, desk: ConsoleContext, provider: IdentityProvider | None = None) -> None:
        self._desk, self._throttle, self._provider = desk, desk.throttle, provider

    def form(self, request: Request) -> Response:
        """Show the form."""
        return self.login_page(request, request.query_params.get("next", ""))

    def login_page(
        self, request: Request, target: str, trouble: str = "", status: int = 200, *, code: bool = False
    ) -> Response:
        """Show the form and any error. code: the password was right, and a code is required."""
        door = request.cookies.get(cookie_name(request, "door"), "")
        is_new = len(door) != 43
        door = secrets.token_urlsafe(32) if is_new else door
        target = inside(request, target)
        provider, has_logged_out = self._provider, request.query_params.get("left") == "1"
        view = {
            "csrf": sessions.csrf_of(door),
            "next": target,
            "trouble": trouble,
            "code": code,
            "provider": provider.settings.label if provider and not code else None,
            "provider_login": address(request, "/login/oidc", next=target),
            "provider_logout": provider.logout_url() if provider and has_logged_out else None,
            "action": address(request, "/login/code" if code else "/login"),
            "home": address(request, "/"),
        }
        answer = render.bare(request, "login.html.j2", status, title="Log in", **view)
        if is_new:
            place_cookie(answer, request, "door", door)
        return answer

    def enter(self, request: Request) -> Response:
        """Check a name and a password."""
        form = _form_fields(request, "name", "password", "csrf", "next")
        target = form["next"]
        if not _from_form(request, form["csrf"]):
            return self.login_page(request, target, TOO_OLD, 403)
        name = form["name"].strip().lower()[:LONGEST_NAME]
        peer, store, now_us = _peer(request), self._desk.store, self._desk.now_us()
        try:
            browser = people.known_browser(
                store, name, request.cookies.get(cookie_name(request, "browser"), "")
            )
        except StillwatchError as why:
            return self.login_page(request, target, str(why), 503)
        if wait_s := self._throttle.wait_s(name, peer, browser):
            return self._too_many(request, target, wait_s)
        self._throttle.begun(name, peer, browser)
        try:
            user = people.check(store, name, form["password"])
            if user is None:
                store.look("nobody", "log-in failed", "console", {"address": peer}, now_us)
                return self.login_page(request, target, "That name and password do not go together.", 401)
            if second_factor.is_confirmed(store, name):
                half = second_factor.begin_half(store, name, now_us)
                self._throttle.record_success(name, peer, browser)
                answer = self.login_page(request, target, code=True)
                place_cookie(answer, request, "half", half, second_factor.HALF_US // SECOND_US)
                return answer
            old = request.cookies.get(cookie_name(request))
            cookie = sessions.begin(store, user, now_us, instead_of=old)
            answer = self._lead_inside(request, user, cookie, browser, target)
        except StillwatchError as why:
            return self.login_page(request, target, str(why), 503)
        self._throttle.record_success(name, peer, browser)
        return answer

    def enter_code(self, request: Request) -> Response:
        """Check a code, after the password. Codes are also counted in the database: see `second_factor`."""
        form = _form_fields(request, "code", "csrf", "next")
        target = form["next"]
        if not _from_form(request, form["csrf"]):
            return self.login_page(request, target, TOO_OLD, 403)
        half = request.cookies.get(cookie_name(request, "half"), "")
        peer, store, now_us = _peer(request), self._desk.store, self._desk.now_us()
        try:
            name = second_factor.half_login_name(store, half, now_us)
            if name is None:
                return self.login_page(request, target, "That log-in is too old. Log in anew.", 403)
            counter = f"{name} (code)"  # separate from passwords: neither uses up the other's tries
            if wait_s := self._throttle.wait_s(counter, peer):
                return self._too_many(request, target, wait_s, code=True)
            self._throttle.begun(counter, peer)
            old = request.cookies.get(cookie_name(request))
            result = second_factor.enter(store, half, form["code"], now_us, address=peer, instead_of=old)
            if isinstance(result, second_factor.CodeRefused):
                answer = self.login_page(
                    request, target, result.why, 429 if result.wait_s else 401, code=True
                )
                if result.wait_s:
                    answer.headers["retry-after"] = str(result.wait_s)
                return answer
            user, cookie = result
            browser = request.cookies.get(cookie_name(request, "browser"), "")
            answer = self._lead_inside(
                request, user, cookie, people.known_browser(store, name, browser), target
            )
        except StillwatchError as why:
            return self.login_page(request, target, str(why), 503)
        self._throttle.record_success(counter, peer)
        remove_cookie(answer, request, "half")
        return answer

    def _too_many(self, request: Request, target: str, wait_s: int, *, code: bool = False) -> Response:
        minutes = -(-wait_s // 60)
        sentence = f"Too many tries. Wait {minutes} minute{'s' * (minutes > 1)}."
        answer = self.login_page(request, target, sentence, 429, code=code)
        answer.headers["retry-after"] = str(wait_s)
        return answer

    def _lead_inside(self, request: Request, user: User, cookie: str, browser: str, target: str) -> Response:
        """Start a session and redirect to the requested page. Raises: StillwatchError."""
        browser_value = people.browser_cookie(self._desk.store, user.name, browser)
        if user.role >= UserRole.ANALYST:
            self._desk.snapshots.prepare()
        answer = RedirectResponse(inside(request, target), 303)
        place_cookie(answer, request, "", cookie)
        place_cookie(answer, request, "browser", browser_value, BROWSER_S)
        remove_cookie(answer, request, "door")
        return answer

    def leave(self, request: Request) -> Response:
        """End the session."""
        cookie = request.cookies.get(cookie_name(request), "")
        logged_out = "1" if self._provider is not None else ""
        answer = RedirectResponse(address(request, "/login", left=logged_out), 303)
        if cookie and sessions.same(_form_fields(request, "csrf")["csrf"], sessions.csrf_of(cookie)):
            try:
                sessions.end(self._desk.store, cookie, self._desk.now_us())
            except StillwatchError as why:
                return self.login_page(request, "", str(why), 503)
            remove_cookie(answer, request, "")
        return answer
