"""A line of a ledger: canonical JSON that names the line before it.

Every line holds `prev`, the hash of the line before, and `hash`, its own; a verifier needs SHA-256 and JSON.
"""

import hashlib
import json
from typing import Any

from stillwatch.coin import CoinError

START = "0" * 64
_MARK = b"stillwatch.coin.ledger.1\n"


def canonical(content: dict[str, Any]) -> bytes:
    """Encode a line's content in its only valid form."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def hash_of(content: dict[str, Any]) -> str:
    """Return the hash of a line, with `prev` and without `hash`."""
    unhashed = {name: value for name, value in content.items() if name != "hash"}
    return hashlib.sha256(_MARK + canonical(unhashed)).hexdigest()


def make_line(content: dict[str, Any], prev: str) -> dict[str, Any]:
    """Return a line that follows another."""
    line = content | {"prev": prev}
    return line | {"hash": hash_of(line)}


def parse_line(line: bytes, place: str) -> dict[str, Any]:
    """Read a line. Raises: CoinError if it is not one, or its hash is wrong."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as why:
        raise CoinError(f"{place}: is no line of a ledger: {why}") from None
    if not isinstance(content, dict) or not {"kind", "prev", "hash"} <= content.keys():
        raise CoinError(f"{place}: is no line of a ledger: it needs kind, prev and hash")
    if canonical(content) != line.rstrip(b"\r\n"):
        raise CoinError(f"{place}: is not written as a ledger writes it: it was edited")
    if content["hash"] != hash_of(content):
        raise CoinError(f"{place}: its hash is not that of its content: the record was changed")
    return content


def salted_hash(salt: bytes, slot: int, text: str) -> str:
    """Return the hash that commits the owner to an answer without revealing it."""
    return hashlib.sha256(salt + bytes([slot]) + text.encode("utf-8", "surrogatepass")).hexdigest()
