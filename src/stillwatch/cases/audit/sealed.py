"""Details about a person, sealed under that person's own key: once it is deleted, nobody can read them.

The trail hashes the sealed form, so it stays verifiable when nobody can read it any more. Backups of the
database contain the key for as long as they are kept.
"""

import base64
import json
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from sqlalchemy import Connection, select

from stillwatch.cases.audit.chain import canonical
from stillwatch.cases.audit.tables import person_keys

NONCE_BYTES = 12
_KEY = re.compile("[0-9a-f]{64}")


def key_of(db: Connection, person: str) -> tuple[str, bytes]:
    """Return a person's key and its number, created at first use. The caller holds the trail's head.

    person: in the form of `cases.tables.key_of`.
    """
    k = person_keys.c
    key_row = db.execute(select(k.key_id, k.key).where(k.person == person)).first()
    if key_row is not None:
        return key_row.key_id, bytes.fromhex(key_row.key)
    key_id, key = secrets.token_hex(8), ChaCha20Poly1305.generate_key()
    db.execute(person_keys.insert().values(key_id=key_id, person=person, key=key.hex()))
    return key_id, key


def seal(personal: Mapping[str, Any], key_id: str, person: str, key: bytes) -> str:
    """Seal a detail under a person's key; return base64 of nonce and ciphertext."""
    nonce = os.urandom(NONCE_BYTES)
    text = canonical(dict(personal)).encode("ascii")
    return base64.b64encode(
        nonce + ChaCha20Poly1305(key).encrypt(nonce, text, _bound(key_id, person))
    ).decode("ascii")


def unseal(sealed: str, key_id: str, person: str, key: str) -> dict[str, Any] | None:
    """Open a sealed detail, or None if this is not its key."""
    try:
        if not _KEY.fullmatch(key):
            return None
        raw = base64.b64decode(sealed, validate=True)
        cipher = ChaCha20Poly1305(bytes.fromhex(key))
        return dict(json.loads(cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(key_id, person))))
    except (InvalidTag, ValueError, TypeError):
        return None


def boxes(sealed: str | None) -> list[tuple[str, str]]:
    """Parse a record's sealed details: (key_id, base64) of each. Raises: ValueError for anything else."""
    if sealed is None:
        return []
    entries = json.loads(sealed)
    try:
        return [(str(key_id), str(box)) for key_id, box in entries]
    except TypeError as why:
        raise ValueError(f"not sealed details: {why}") from None


def _bound(key_id: str, person: str) -> bytes:
    """Return the bytes that bind a sealed detail to its key and person: it opens with no others."""
    return f"{key_id}\n{person}".encode("utf-8", "surrogatepass")
