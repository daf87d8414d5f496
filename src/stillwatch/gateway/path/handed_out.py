"""Rewrites addresses in the head of a reply, so that the client continues at this gateway and not past it.

An address of the upstream becomes the same path here. If it starts an upload, as Google's `x-goog-upload-url`
does, it is itself a key: clients send none with it. So a seal in it names the holder and the path. An address
elsewhere is refused if a client would follow it. Addresses in bodies: see `body_addresses`.
"""

import hashlib
import re
from urllib.parse import parse_qsl

from stillwatch.gateway.control.keys import same
from stillwatch.gateway.folder import derive
from stillwatch.gateway.path.server import Request
from stillwatch.gateway.path.upstream import Header, Target

SEAL = "stillwatch-upload"  # the last field of a sealed address's query
UPLOAD = b"x-goog-upload-"  # headers with this prefix that contain an address start or continue an upload
SESSION = "upload_id"  # the same in a query
SEALED = re.compile(rf"(.*)[?&]{SEAL}=(\w+)\.([0-9a-f]{{32}})", re.ASCII | re.DOTALL)
_ADDRESS = re.compile(r"(?:https?:)?//[^\s\"'<>,;]+", re.IGNORECASE)
ORIGIN = re.compile(r"(?:https?:)?//([^/?#\\]*)(.*)", re.IGNORECASE)
_HOST = re.compile(rb"[A-Za-z0-9_.:\[\]-]{1,255}")
KEY_FIELDS = re.compile(r"(?<=[?&])(?:key|access_token)=[^&#]*&?")  # of a query: the upstream's own key
_RANGE = re.compile(rb"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_FRONT = (b"x-forwarded-host", b"host")


class ElsewhereError(Exception):
    """The address is on another host, which the argument names."""


def on_this_gateway(
    header: Header, status: int, request: Request, upstream: Target, holder: str, secret: bytes
) -> tuple[Header, list[str]]:
    """Return a reply's header with its addresses rewritten to this gateway's, and the uploads it starts.

    holder: the key's id, or the account, that an upload's address is sealed for. Raises: ElsewhereError.
    """
    name, value = header[0].lower(), header[1].decode("latin-1")
    uploads: list[str] = []

    def turn(matched: re.Match[str]) -> str:
        at, target = ORIGIN.findall(matched[0])[0]
        query = target.partition("#")[0].partition("?")[2]
        begun = [session for field, session in parse_qsl(query) if field == SESSION and session]
        begins = bool(begun) or name.startswith(UPLOAD)
        if not upstream.is_at(at):
            if begins or (name == b"location" and status // 100 == 3):
                raise ElsewhereError(at)
            return matched[0]
        target = target if target.startswith("/") else "/" + target
        if not begins:
            return origin(request) + target
        uploads.extend(begun)
        target = KEY_FIELDS.sub("", target).rstrip("?&")
        seal = f"{'&' if '?' in target else '?'}{SEAL}={_seal(target, holder, secret)}"
        return origin(request) + target + seal

    return (header[0], _ADDRESS.sub(turn, value).encode("latin-1")), uploads


def holder_of(target: str, secret: bytes) -> str | None:
    """Return the holder of a sealed address; None if the seal is not ours, or of another path."""
    matched = SEALED.fullmatch(target)
    if matched is None:
        return None
    seal, right = target[matched.start(2) :], _seal(matched[1], matched[2], secret)
    return matched[2] if same(seal.encode(), right.encode()) else None


def piece_of(request: Request) -> tuple[int, bool]:
    """Return the offset in its file of what a request uploads, and whether the file ends with it."""
    offset, last = 0, True
    for name, value in request.headers:
        lower = name.lower()
        if lower == UPLOAD + b"offset":
            offset = int(value) if value.strip().isdigit() else -1
        elif lower == UPLOAD + b"command":
            last = b"finalize" in value.lower()
        elif lower == b"content-range":
            matched = _RANGE.fullmatch(value.strip())
            offset = int(matched[1]) if matched else -1
            last = matched is not None and int(matched[2]) + 1 == int(matched[3])
    return offset, last


def is_in_pieces(request: Request) -> bool:
    """Return whether a request uploads only a part of a file."""
    return piece_of(request) != (0, True) or not request.body


def _seal(target: str, holder: str, secret: bytes) -> str:
    key = derive(secret, b"handed-out")
    return f"{holder}.{hashlib.blake2b(f'{holder} {target}'.encode(), key=key, digest_size=16).hexdigest()}"


def origin(request: Request) -> str:
    """Return this gateway's address as the client or a proxy states it; "" if none does.

    Only the client itself receives it, so a false statement misleads nobody else.
    """
    said = {name.lower(): value.strip() for name, value in request.headers}
    host = next((said[name] for name in _FRONT if _HOST.fullmatch(said.get(name, b""))), b"")
    scheme = "https" if said.get(b"x-forwarded-proto", b"").lower() == b"https" else "http"
    return f"{scheme}://{host.decode()}" if host else ""
