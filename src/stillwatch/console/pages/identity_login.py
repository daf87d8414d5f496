"""Log-in at an identity provider: the redirect there, and the way back.

The way back comes from another site, so a browser sends no Strict cookie. The attempt's own cookie is Lax,
and a page of ours redirects once more, so that the session's cookie is sent.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stillwatch.console import User, UserRole, identities, render, sessions
from stillwatch.console.openid import TRY_S, IdentityProvider, LoginAttempt, LoginRefused
from stillwatch.console.page_context import ConsoleContext, address
from stillwatch.console.pages.entry import LoginPages, cookie_name, inside, place_cookie, remove_cookie
from stillwatch.console.throttle import RecordLimit
from stillwatch.errors import StillwatchError

BACK = "/login/oidc/back"


def redirect_uri(request: Request, provider: IdentityProvider) -> str:
    """Return the address to which the provider sends a browser back."""
    scheme = "https" if request.scope["state"]["secure"] else "http"
    from_request = f"{scheme}://{request.headers.get('host', '')}{address(request, BACK)}"
    return provider.settings.redirect_uri or from_request


class IdentityPages:
    """The pages of a log-in at an identity provider."""

    def __init__(self, desk: ConsoleContext, provider: IdentityProvider, door: LoginPages) -> None:
        self._desk, self._provider, self._door = desk, provider, door
        self._recorded = RecordLimit()

    def begin(self, request: Request) -> Response:
        """Redirect the browser to the provider, with a cookie that later identifies the same browser."""
        target = inside(request, request.query_params.get("next", ""))
        attempt = LoginAttempt.begin(target, self._desk.now_us())
        try:
            url = self._provider.authorization_url(attempt, redirect_uri(request, self._provider))
        except StillwatchError as why:
            return self._door.login_page(request, target, f"{why}. A password works, for who has one.", 503)
        answer = RedirectResponse(url, 303)
        place_cookie(answer, request, "oidc", attempt.cookie, TRY_S, samesite="lax")
        return answer

    def finish(self, request: Request) -> Response:
        """Check the provider's response. The attempt ends here in any case."""
        now_us = self._desk.now_us()
        attempt = LoginAttempt.of_cookie(request.cookies.get(cookie_name(request, "oidc"), ""), now_us)
        target = "" if attempt is None else attempt.target
        try:
            user, cookie = self._judge(request, attempt, now_us)
        except LoginRefused as why:
            answer = self._refusal(request, target, why, now_us)
        except StillwatchError as why:
            answer = self._door.login_page(request, target, str(why), 503)
        else:
            if user.role >= UserRole.ANALYST:
                self._desk.snapshots.prepare()
            answer = render.bare(
                request,
                "entered.html.j2",
                home=address(request, "/"),
                target=inside(request, target),
                user=user,
            )
            place_cookie(answer, request, "", cookie)
        remove_cookie(answer, request, "oidc", samesite="lax")
        return answer

    def _judge(self, request: Request, attempt: LoginAttempt | None, now_us: int) -> tuple[User, str]:
        words = request.query_params
        if attempt is None or not sessions.same(words.get("state", ""), attempt.state):
            raise LoginRefused(
                "state",
                f"this log-in was begun in another browser, or over {TRY_S // 60} minutes ago; log in anew",
            )
        if (error := words.get("error")) is not None:
            word = (
                error
                if error.replace("_", "").isalnum() and error.isascii() and len(error) < 40
                else "an error"
            )
            raise LoginRefused(
                "provider", f"the identity provider says {word}; log in anew, or ask who keeps it"
            )
        self._provider.check_sender(words.get("iss"))
        proven = self._provider.redeem(words.get("code", ""), attempt, redirect_uri(request, self._provider))
        old = request.cookies.get(cookie_name(request))
        return identities.enter(self._desk.store, proven, attempt, now_us, instead_of=old)

    def _refusal(self, request: Request, target: str, why: LoginRefused, now_us: int) -> Response:
        if self._recorded.allows(now_us):
            detail = {
                "address": request.client.host if request.client else "",
                "issuer": self._provider.settings.issuer,
                "refused": why.code,
            }
            try:
                self._desk.store.look("nobody", "log-in failed", "console", detail, now_us)
            except StillwatchError as unwritten:
                return self._door.login_page(request, target, str(unwritten), 503)
        text = str(why)
        return self._door.login_page(request, target, f"{text[:1].upper()}{text[1:]}.", 403)
