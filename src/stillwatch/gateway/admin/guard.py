"""Checks before every request to the admin port (Host, size, token), and one format for every error.

The Host check refuses a browser that a foreign name led here (DNS rebinding); the token is sent in a header
that a foreign page can only set after a preflight request, which is never granted. FastAPI reads a body
before it checks the token, so bodies of callers without one are refused here.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillwatch.console.answer_headers import with_headers
from stillwatch.errors import StillwatchError
from stillwatch.gateway.control.in_force import NotInForce
from stillwatch.gateway.control.migrations import StateError, StateUnwritable
from stillwatch.gateway.control.state import ControlState, Missing
from stillwatch.gateway.fleet.database import FleetUnreachable
from stillwatch.gateway.settings import GatewaySettings

LARGEST_BODY = 2 << 20  # a candidate policy, escaped
ONCE = (b"host", b"content-length", b"authorization")
NO_TOKEN = "give the admin token as Authorization: Bearer; `stillwatch key admin` makes a new one"
CODES = {
    400: "bad_request", 401: "unauthorised", 404: "not_found", 405: "wrong_method", 409: "conflict",
    413: "too_large", 421: "bad_host", 422: "invalid", 500: "failed", 503: "unavailable", 504: "not_in_force",
}  # fmt: skip
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error in the common format."""
    body = {"error": {"code": CODES.get(status, "bad_request"), "message": message}}
    return JSONResponse(body, status, {**HEADERS, **(headers or {})})


class Guard:
    """Refuses foreign names, too large bodies and bodies without the token, before anything is parsed.

    forms: the path of the console's forms, which the console limits and checks itself.
    """

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str], port: int, is_admin: Callable[[str], bool], forms: str
    ) -> None:
        self._app, self._is_admin, self._forms = app, is_admin, forms
        names = {name.lower() for name in hosts}
        self._hosts = names | {f"{name}:{port}" for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server drops the body itself
        await self._app(scope, _limit_body(receive), with_headers(send, HEADERS))

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in ONCE and name in headers:
                return problem(400, f"{name.decode()} appears twice")
            headers[name] = value
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in self._hosts:
            return problem(421, f"{host!a} is not a name of this port; add it to admin_names if it should be")
        length = headers.get(b"content-length", b"0")
        if not is_number(length, LARGEST_BODY):
            return problem(413, f"give at most {LARGEST_BODY:,} bytes", {"connection": "close"})
        has_body = b"transfer-encoding" in headers or int(length) > 0
        if not has_body or scope["path"].startswith(f"{self._forms}/"):
            return None
        scheme, token = get_authorization_scheme_param(headers.get(b"authorization", b"").decode("latin-1"))
        try:
            if scheme.lower() == "bearer" and await run_in_threadpool(self._is_admin, token):
                return None
        except StillwatchError as why:
            return _refusal_of(why)
        return problem(401, NO_TOKEN, {"www-authenticate": "Bearer"})


def is_number(text: bytes, most: int) -> bool:
    """Return whether some bytes are a whole number up to `most`, without needless digits."""
    return text.isdigit() and len(text) <= len(str(most)) and int(text) <= most


def _limit_body(receive: Receive) -> Receive:
    """Also limit a body that comes without a length."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > LARGEST_BODY:
            raise HTTPException(413, f"give at most {LARGEST_BODY:,} bytes")
        return message

    return bounded


def allowed_hosts(settings: GatewaySettings) -> set[str]:
    """Return the names by which the admin port may be called."""
    own = settings.admin_host
    return {"127.0.0.1", "localhost", "[::1]", f"[{own}]" if ":" in own else own, *settings.admin_names}


def token(state: ControlState, *, metrics: bool = False) -> Callable[..., None]:
    """Make the dependency that accepts only the admin token, in `Authorization: Bearer`.

    metrics: the metrics token too.
    """
    bearer = HTTPBearer(scheme_name="metrics token" if metrics else "admin token", auto_error=False)
    right = state.may_read_metrics if metrics else state.is_admin

    def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if credentials is None or not right(credentials.credentials):
            raise HTTPException(401, NO_TOKEN, {"www-authenticate": "Bearer"})

    return check


def answer_errors(app: FastAPI) -> None:
    """Send every error in the common format, without a traceback."""
    allowed: list[tuple[re.Pattern[str], str]] = []

    async def http(request: Request, why: HTTPException) -> JSONResponse:
        headers = {name.lower(): value for name, value in (why.headers or {}).items()}
        if why.status_code == 405:  # Starlette names only the methods of the first route of that path
            if not allowed:
                allowed.extend(_methods(app))
            headers["allow"] = next((m for path, m in allowed if path.match(request.url.path)), "")
        return problem(why.status_code, str(why.detail), headers)

    handlers: dict[Any, Callable[[Request, Any], Awaitable[JSONResponse]]] = {
        HTTPException: http,
        RequestValidationError: _invalid,
        StillwatchError: _refusal_response,
        Exception: _failure_response,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _methods(app: FastAPI) -> Iterator[tuple[re.Pattern[str], str]]:
    """Yield every path with all its methods; those without parameters first. `HEAD` is `GET`."""
    for path, operations in sorted(app.openapi()["paths"].items(), key=lambda item: "{" in item[0]):
        methods = {method.upper() for method in operations}
        yield compile_path(path)[0], ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def _invalid(_: Request, why: RequestValidationError) -> JSONResponse:
    """Report what is wrong and where, but not what was sent: it may be a secret in the wrong place."""
    problems = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in why.errors()[:5]]
    return problem(422, "; ".join(problems))


async def _refusal_response(_: Request, why: StillwatchError) -> JSONResponse:
    return _refusal_of(why)


def _refusal_of(why: StillwatchError) -> JSONResponse:
    if isinstance(why, NotInForce):
        return problem(504, str(why))
    refused = isinstance(why, StateError) and not isinstance(why, FleetUnreachable | StateUnwritable)
    status = 404 if isinstance(why, Missing) else 409 if refused else 503
    return problem(status, str(why))


async def _failure_response(_: Request, why: Exception) -> JSONResponse:
    return problem(500, f"{type(why).__name__}; the gateway's own log has more")
