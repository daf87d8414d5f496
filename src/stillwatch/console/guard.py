"""Checks every request (host, method, size, origin) and sets the headers of every response.

A POST is either a form from a page of this console, recognised by the browser's origin header, or a form or
JSON with an API token, which no browser adds by itself. Its body is read here, bounded, so that later code
does not wait for the network.
"""

import json
from collections.abc import Collection
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillwatch.console.answer_headers import with_headers
from stillwatch.console.tokens import PREFIX

LARGEST_FORM = 1 << 20
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
ONCE = (b"host", b"origin", b"content-type", b"sec-fetch-site", b"authorization")
MOST_FIELDS = 1_000
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # not no-referrer, under which a browser sends forms with `Origin: null`
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
HSTS = ("strict-transport-security", "max-age=31536000")


class HostGuard:
    """ASGI middleware. hosts: allowed host names, with or without port; None: not checked."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, secure: bool | None) -> None:
        self._app = app
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        secure = scope["scheme"] == "https" if self._secure is None else self._secure
        state = scope.setdefault("state", {})
        state["secure"], state["token"], state["form"] = secure, None, {}
        sending = with_headers(send, HEADERS | dict([HSTS] * secure))
        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST":
            body = await _read_body(receive)
            if body is None:
                refusal = 413, f"give at most {LARGEST_FORM:,} bytes"
            else:
                try:
                    state["form"] = _form_fields(body, state["kind"])
                except (ValueError, RecursionError):
                    refusal = 400, f"that is no {state['kind']} in UTF-8, or not one of plain fields"
        if refusal is not None:
            status, text = refusal
            await PlainTextResponse(text + "\n", status)(scope, receive, sending)
            return
        await self._app(scope, receive, sending)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name in ONCE and name in headers:
                return 400, f"{name.decode()} appears twice"
            headers[name] = value.decode("latin-1")
        host = headers.get(b"host", "").lower()
        if self._hosts is not None and host not in self._hosts and _without_port(host) not in self._hosts:
            return 421, f"{host!a} is not a name of this console; `--name` adds one"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "GET and POST are what there is"
        token = scope["state"]["token"] = _token(headers.get(b"authorization", ""))
        if scope["method"] != "POST":
            return None
        if token is None and not _from_here(headers, host):
            return 403, "this form did not come from a page of this console; open it anew and try again"
        kind = scope["state"]["kind"] = headers.get(b"content-type", "").split(";")[0].strip()
        if kind != FORM and (token is None or kind != JSON):
            return 415, f"send a form: {FORM}" + (f", or {JSON}" if token else "")
        return None


def _token(authorization: str) -> str | None:
    """Return the API token in a header; None for a value set by a proxy in front."""
    scheme, _, secret = authorization.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret.strip().startswith(PREFIX) else None


def _form_fields(body: bytes, kind: str) -> dict[str, list[str]]:
    """Read the fields of a form, or of a JSON object of texts, numbers and lists of these.

    Raises: ValueError.
    """
    fields_found: dict[str, list[str]] = {}
    if kind == FORM:
        for name, value in parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS
        ):
            fields_found.setdefault(name, []).append(value)
        return fields_found
    document = json.loads(body.decode("utf-8"))
    if not isinstance(document, dict):
        raise ValueError("no object")
    for name, value in document.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(item) in (str, int) for item in values):
            raise ValueError("no plain field")
        fields_found[name] = [str(item) for item in values]
    if sum(map(len, fields_found.values())) > MOST_FIELDS:
        raise ValueError("too many fields")
    return fields_found


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _from_here(headers: dict[bytes, str], host: str) -> bool:
    """Return whether the browser says that the form is from our page; False if it says nothing."""
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
    if origin is not None:
        parts = urlsplit(origin)
        return (
            parts.scheme in ("http", "https")
            and parts.netloc.lower() == host
            and site in (None, "same-origin")
        )
    return site == "same-origin"


async def _read_body(receive: Receive) -> bytes | None:
    """Read the whole body; None if it is too large or the sender has disconnected."""
    parts, size, more_follows = [], 0, True
    while more_follows:
        message: Message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_FORM:
            return None
        more_follows = message.get("more_body", False)
    return b"".join(parts)
