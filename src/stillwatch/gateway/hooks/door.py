"""Access to the hooks: by a key of an account named `hook:…`, from `stillwatch key issue hook:litellm`.

It is issued, rotated, revoked and audited like every other key; its holder's reports of accounts and
exchanges are trusted.
"""

from stillwatch.gateway import KeyEntry
from stillwatch.gateway.control.keys import digest, parse, same
from stillwatch.gateway.hooks import OWNER, TOKEN
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.request import BadRequest
from stillwatch.gateway.path.server import Request

BESIDE = (TOKEN, b"authorization", b"x-api-key")  # if nothing else needs these headers
NO_TOKEN = (
    "Give a key of an account named hook:… in x-stillwatch-hook, as `Authorization: Bearer` or as x-api-key; "
    "`stillwatch key issue hook:NAME` makes one."
)


def header(request: Request, name: bytes) -> bytes | None:
    """Return the value of a header; None if missing. Raises: BadRequest if two differ."""
    known = None
    for key, value in (*request.headers, *request.keys):
        if len(key) == len(name) and key.lower() == name:
            if known is not None and known != value:
                raise BadRequest(400, "bad_header", f"there are two different {name.decode()} headers")
            known = value
    return known


def opener(gate: Gate, request: Request, now_us: int, *, alone: bool) -> KeyEntry | None:
    """Return the entry of a request's hook key, or None. `alone`: only our own header counts."""
    token = next((value for name in ((TOKEN,) if alone else BESIDE) if (value := header(request, name))), b"")
    text = token.decode("latin-1").strip()
    parsed = parse(text[7:].strip() if text[:7].lower() == "bearer " else text)
    entry = gate.tables.keys.get(parsed[0]) if parsed else None
    right = same(
        digest(parsed[1], gate.secret) if parsed else bytes(32), entry.digest if entry else bytes(32)
    )
    if entry is None or not right or not entry.account.startswith(OWNER):
        return None
    if entry.disabled or (entry.expires_us is not None and entry.expires_us <= now_us):
        return None
    return entry
