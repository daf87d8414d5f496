"""The caller of a request: its key, its address behind proxies, and what of its head goes upstream."""

import hashlib
from dataclasses import dataclass, replace
from ipaddress import ip_address

import msgspec

from stillwatch.gateway.control.keys import digest, parse, same
from stillwatch.gateway.folder import derive
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.handed_out import SEAL, SEALED, holder_of
from stillwatch.gateway.path.naming import in_headers
from stillwatch.gateway.path.request import BadRequest
from stillwatch.gateway.path.server import KEY_HEADERS, Client, Request
from stillwatch.gateway.path.upstream import HOP, OURS, Header

# A proxy's notes on the request that it received: no upstream may act on them
SAID_OF_IT = frozenset(
    (b"x-original-uri", b"x-original-method", b"x-forwarded-uri", b"x-forwarded-method", b"x-forwarded-path",
     b"x-envoy-original-path", b"x-envoy-original-method", b"x-rewrite-uri", b"x-override-url")
)  # fmt: skip
# Set by the gateway itself; and headers that would reduce a reply to a part of a file or of its fields
NOT_PASSED = (
    HOP | SAID_OF_IT | {b"host", b"accept-encoding", b"expect", b"range", b"if-range", b"x-goog-fieldmask"}
)
NO_KEY = "Give a key of this gateway: `Authorization: Bearer sk-sw-…` or `x-api-key`."
# Would make an upstream act on something other than the checked request, or send it, and its key, elsewhere
DIVERTS = frozenset(
    (b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-url", b"x-rewrite-url",
     b"x-portkey-custom-host", b"helicone-target-url", b"helicone-openai-api-base", b"x-litellm-api-base")
)  # fmt: skip
# the same in a header's JSON
ELSEWHERE = (b"custom_host", b"customhost", b"api_base", b"base_url", b"baseurl")
IDEMPOTENCY = (b"idempotency-key", b"x-idempotency-key")
ONCE = (b"content-type", b"content-encoding", b"user-agent")  # two that differ could be read in two ways
READ = frozenset((*KEY_HEADERS, *ONCE, *IDEMPOTENCY, b"x-forwarded-for"))  # headers that the gateway uses


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request, and what its head says. The same for every request with the same head."""

    account: str
    number: int | None  # of the account; None if the account was not issued here
    key_id: str
    org: str | None
    expires_us: int | None
    address: str | None
    agent: str | None
    kind: str  # content type, lower case
    coding: str  # content encoding, lower case
    end_user: str | None
    trace: bytes | None  # the request's own traceparent
    passed: bytes  # the head's lines that go upstream, with the upstream's key
    named: tuple[str, ...]  # models that the head names


class _Memory(msgspec.Struct):
    """The last head on a connection and what was found in it, under which policy and tables."""

    headers: list[Header]
    keys: list[Header]
    terms: object
    tables: object
    found: Caller


def caller(gate: Gate, client: Client, request: Request, now_us: int) -> Caller:
    """Identify the caller, from the cached result if the last head on the connection was the same.

    Raises: BadRequest for a bad head, for two keys, or for one that is missing, wrong, revoked or expired.
    """
    if SEAL in request.target and SEALED.fullmatch(request.target):
        return _uploader(gate, client.peer, request, now_us)
    last = client.memory
    if (
        isinstance(last, _Memory)
        and last.terms is gate.terms
        and last.tables is gate.tables
        and (last.headers is request.headers or last.headers == request.headers)
        and (last.keys is request.keys or _same_keys(last.keys, request.keys))
        and (last.found.expires_us is None or now_us < last.found.expires_us)
    ):
        return last.found
    caller = _caller(gate, client.peer, request, now_us)
    client.memory = _Memory(request.headers, request.keys, gate.terms, gate.tables, caller)
    return caller


def knows(gate: Gate, peer: str, request: Request) -> Caller | None:
    """Return the caller if the key is valid here. Only from such callers a long body is accepted."""
    try:
        sealed = SEALED.fullmatch(request.target) is not None
        return (_uploader if sealed else _caller)(gate, peer, request, gate.now_us())
    except BadRequest:
        return None


def _uploader(gate: Gate, peer: str, request: Request, now_us: int) -> Caller:
    """Identify the caller that continues an upload: its address is the key, if no other is given.

    Some clients repeat the content type of the request that started it, which says nothing of the file.
    """
    holder = holder_of(request.target, gate.secret)
    if holder is None:
        raise BadRequest(401, "invalid_api_key", "This address was not handed out by this gateway.")
    return replace(_caller(gate, peer, request, now_us, holder), kind="")


def _same_keys(a: list[Header], b: list[Header]) -> bool:
    """Compare in constant time: one connection may carry several clients behind a proxy."""
    if len(a) != len(b):
        return False
    for left, right in zip(a, b, strict=True):
        if left[0] != right[0] or not same(left[1], right[1]):
            return False
    return True


def _caller(gate: Gate, peer: str, request: Request, now_us: int, holder: str | None = None) -> Caller:
    keys = {_bare(name.lower(), value) for name, value in request.keys if value}
    if len(keys) > 1 or not (keys or holder):
        raise BadRequest(401, "invalid_api_key", NO_KEY if not keys else "Two different keys were given.")
    key = keys.pop() if keys else b""
    headers = read_headers(request)
    header = gate.terms.identity.end_user_header
    end_user = headers.get(header.lower().encode("latin-1")) if header else None
    head = (
        _address(gate, peer, request),
        _text(headers.get(b"user-agent")),
        (headers.get(b"content-type") or b"").lower().decode("latin-1"),
        (headers.get(b"content-encoding") or b"").strip().lower().decode("latin-1"),
        _text(end_user),
        headers.get(b"traceparent"),
    )
    if gate.terms.identity.keys == "upstream":
        name = holder if holder and not key else "key_" + _name_by_key(gate, b"upstream-keys", key)
        named = in_headers(request.headers)
        return Caller(name, None, "", None, None, *head, _upstream_head(gate, request), named)
    parsed = parse(key.decode("latin-1"))
    entry = gate.tables.keys.get(parsed[0] if parsed else "" if key else holder or "")
    key_digest = digest(parsed[1], gate.secret) if parsed else bytes(32)
    right = same(key_digest, entry.digest if entry and key else bytes(32))
    if entry is None or not right:
        raise BadRequest(401, "invalid_api_key", "This key is not known here. " + NO_KEY)
    if entry.disabled or (entry.expires_us is not None and entry.expires_us <= now_us):
        raise BadRequest(401, "invalid_api_key", "This key has been revoked or has run out. " + NO_KEY)
    return Caller(
        entry.account,
        entry.number,
        entry.key_id,
        entry.org,
        entry.expires_us,
        *head,
        _upstream_head(gate, request, entry.account),
        in_headers(request.headers),
    )


def read_headers(request: Request) -> dict[bytes, bytes]:
    """Return the headers by lower-case name. Raises: BadRequest if two of one kind differ."""
    headers: dict[bytes, bytes] = {}
    for name, value in request.headers:
        lower = name.lower()
        diverts = lower.replace(b"_", b"-") in DIVERTS  # servers that follow CGI treat them as the same
        if diverts or (lower.endswith(b"-config") and any(word in value.lower() for word in ELSEWHERE)):
            what = f"The header {lower.decode()} could make it another request: send that one itself."
            raise BadRequest(400, "bad_header", what)
        twice = lower == b"content-encoding" and lower in headers  # even if equal: some servers decode twice
        if twice or (headers.setdefault(lower, value) != value and lower in ONCE):
            raise BadRequest(400, "bad_header", f"There are two {lower.decode()} headers.")
    return headers


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "replace")[:512] if value else None


def _bare(name: bytes, value: bytes) -> bytes:
    if name == b"authorization":
        scheme, _, rest = value.partition(b" ")
        return rest.strip() if scheme.lower() == b"bearer" else value
    return value.strip()


def _name_by_key(gate: Gate, purpose: bytes, value: bytes) -> str:
    """Return a name for a value that only this gateway can compute."""
    return hashlib.blake2b(value, key=derive(gate.secret, purpose), digest_size=8).hexdigest()


def _address(gate: Gate, peer: str, request: Request) -> str | None:
    """Return the client's address: the peer's, or the last one that a trusted proxy vouches for."""
    trusted = gate.terms.identity.trusted_proxies
    if not trusted or not _within(peer, trusted):
        return peer or None
    hops = [
        hop.strip()
        for name, value in request.headers
        if name.lower() == b"x-forwarded-for"
        for hop in value.decode("latin-1").split(",")
    ]
    for hop in reversed(hops):
        if not _within(hop, trusted):
            return hop if _is_address(hop) else peer
    return peer


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _within(text: str, networks: tuple[object, ...]) -> bool:
    try:
        ip = ip_address(text)
    except ValueError:
        return False
    return any(ip in network for network in networks)  # type: ignore[operator]


def _upstream_head(gate: Gate, request: Request, account: str | None = None) -> bytes:
    """Return the lines that go upstream, built anew: nobody can misread what is not passed on.

    `account`: the owner of a key issued here. Accounts share the upstream's one key and must not repeat each
    other's idempotency keys: each gets its own version.
    """
    dropped = set(NOT_PASSED)
    for name, value in request.headers:
        if name.lower() == b"connection":
            dropped.update({part.strip().lower() for part in value.split(b",")}.difference(ONCE))
    lines = [b"host: %s\r\naccept-encoding: identity\r\n" % gate.pool.target.authority]
    for name, value in request.headers:
        lower = name.lower()
        if b"_" in lower:
            read = lower.replace(b"_", b"-")  # as servers that follow CGI read it
            if read in dropped or read in READ or read.startswith(OURS):
                continue
        if lower not in dropped and not lower.startswith(OURS):
            if account is not None and lower in IDEMPOTENCY:
                value = _name_by_key(gate, b"idempotency", account.encode() + b"\0" + value).encode()
            lines.append(b"%s: %s\r\n" % (name, value))
    if account is None:
        lines += [b"%s: %s\r\n" % pair for pair in request.keys]
    elif gate.upstream_key and request.keys:  # an upload's address is its key
        by = request.keys[0][0].lower()
        scheme = b"Bearer " if by == b"authorization" else b""
        lines.append(b"%s: %s%s\r\n" % (by, scheme, gate.upstream_key.encode("latin-1")))
    return b"".join(lines)


def upstream_head(request: Request, who: Caller, body: bytes, mark: str | None, start: bytes) -> bytes:
    """Return the head that goes upstream; `start`: its first line."""
    marked = b"x-stillwatch-mark: %s\r\n" % mark.encode("ascii", "replace") if mark else b""
    length = b""
    if body or request.method in ("POST", "PUT", "PATCH"):
        length = b"content-length: %d\r\n" % len(body)
    return b"".join((start, who.passed, marked, length, b"\r\n"))
