"""Who asks: the key in a request, the address behind proxies, and what of its head goes upstream."""

import hashlib
from dataclasses import dataclass
from ipaddress import ip_address

from stillwatch.gateway.folder import derive
from stillwatch.gateway.gate import Gate
from stillwatch.gateway.keys import digest, parse, same
from stillwatch.gateway.request import BadRequest
from stillwatch.gateway.server import HOP, Request
from stillwatch.gateway.upstream import Header

KEY_HEADERS = (b"authorization", b"x-api-key", b"api-key")
OURS = b"x-stillwatch-"
NOT_PASSED = HOP | {b"host", b"accept-encoding", b"expect"}
NO_KEY = "Give a key of this gateway: `Authorization: Bearer sk-sw-…` or `x-api-key`."


@dataclass(frozen=True, slots=True)
class Caller:
    account: str
    number: int | None  # of the account; None where the account was not issued here
    key_id: str
    org: str | None
    by: bytes  # the header that the key came in


def caller(gate: Gate, request: Request, now_us: int) -> Caller:
    """Who asks. Raises: BadRequest (401) for a key that is missing, wrong, ambiguous, revoked or over."""
    given = [
        (name, value) for name in KEY_HEADERS if (value := _one(request, name)) is not None and value != b""
    ]
    keys = {_bare(name, value) for name, value in given}
    if len(keys) != 1:
        raise BadRequest(401, "invalid_api_key", NO_KEY if not keys else "Two different keys were given.")
    key = keys.pop()
    if gate.terms.identity.keys == "upstream":
        return Caller("key_" + _name(gate, key), None, "", None, given[0][0])
    parsed = parse(key.decode("latin-1"))
    entry = gate.tables.keys.get(parsed[0]) if parsed else None
    found = digest(parsed[1], gate.secret) if parsed else bytes(32)
    right = same(found, entry.digest if entry else bytes(32))
    if entry is None or not right:
        raise BadRequest(401, "invalid_api_key", "This key is not known here. " + NO_KEY)
    if entry.disabled or (entry.expires_us is not None and entry.expires_us <= now_us):
        raise BadRequest(401, "invalid_api_key", "This key has been revoked or has run out. " + NO_KEY)
    return Caller(entry.account, entry.number, entry.key_id, entry.org, given[0][0])


def _one(request: Request, name: bytes) -> bytes | None:
    try:
        return request.header(name)
    except ValueError as why:
        raise BadRequest(401, "invalid_api_key", f"There are {why}.") from None


def _bare(name: bytes, value: bytes) -> bytes:
    if name == b"authorization":
        scheme, _, rest = value.partition(b" ")
        return rest.strip() if scheme.lower() == b"bearer" else value
    return value.strip()


def _name(gate: Gate, key: bytes) -> str:
    """An account's name where clients bring the upstream's own keys."""
    return hashlib.blake2b(key, key=derive(gate.secret, b"upstream-keys"), digest_size=8).hexdigest()


def address(gate: Gate, peer: str, request: Request) -> str | None:
    """The client's address: the peer's, or the last one that a trusted proxy vouches for."""
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
        found = ip_address(text)
    except ValueError:
        return False
    return any(found in network for network in networks)  # type: ignore[operator]


def upstream_head(gate: Gate, request: Request, by: bytes, body: bytes, mark: str | None) -> bytes:
    """The head that goes upstream, built anew: what we do not pass on cannot be disagreed about."""
    issued = gate.terms.identity.keys != "upstream"
    dropped = set(NOT_PASSED)
    if issued:
        dropped.update(KEY_HEADERS)
    for name, value in request.headers:
        if name.lower() == b"connection":
            dropped.update(part.strip().lower() for part in value.split(b","))
    target = gate.pool.target
    lines = [
        f"{request.method} {target.path(request.target)} HTTP/1.1\r\nhost: ".encode("latin-1"),
        target.authority,
        b"\r\naccept-encoding: identity\r\n",
    ]
    for name, value in request.headers:
        lower = name.lower()
        if lower not in dropped and not lower.startswith(OURS):
            lines.append(b"%s: %s\r\n" % (name, value))
    if issued and gate.upstream_key:
        key = gate.upstream_key.encode("latin-1")
        lines.append(
            b"authorization: Bearer %s\r\n" % key if by == b"authorization" else b"%s: %s\r\n" % (by, key)
        )
    if mark:
        lines.append(b"x-stillwatch-mark: %s\r\n" % mark.encode("ascii", "replace"))
    if body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d\r\n" % len(body))
    lines.append(b"\r\n")
    return b"".join(lines)


def passed(headers: list[Header]) -> list[Header]:
    """An upstream's headers without those that only we may set."""
    return [(name, value) for name, value in headers if not name.lower().startswith(OURS)]
