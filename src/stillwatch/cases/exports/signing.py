"""Signatures of webhook requests, by Standard Webhooks.

`id.timestamp.body` is signed: the same bytes under another id, or later than a receiver's tolerance, are not
a valid request. Keys are in files of their own that only their owner can read.
Source: Standard Webhooks specification 1.0.0 (2023), "Signature scheme": v1 HMAC-SHA256, v1a Ed25519.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.owned import read_owned, write_owned

SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
SECRET_BYTES = (24, 64)  # limits of the specification


@dataclass(frozen=True, eq=False)
class WebhookSigner:
    """One signing key."""

    version: str  # "v1" or "v1a"
    sign: Callable[[bytes], bytes]
    public: str | None  # for the receiver; None if the secret is shared


def new_key(path: Path, kind: str) -> WebhookSigner:
    """Write a new key of a kind, "hmac" or "ed25519". Raises: ExportError if the file exists."""
    raw = secrets.token_bytes(32)
    text = (SHARED if kind == "hmac" else PRIVATE) + base64.b64encode(raw).decode("ascii")
    write_owned(path, text + "\n", "a webhook's key")
    return signer(text, str(path))


def read_key(path: Path) -> WebhookSigner:
    """Read a key file. Raises: ExportError."""
    return signer(read_owned(path, "a webhook's key").strip(), str(path))


def signer(text: str, place: str) -> WebhookSigner:
    """Make a signer of a key's text; `place` names it in error messages, which never show it.

    Raises: ExportError.
    """
    prefix = next((candidate for candidate in (SHARED, PRIVATE) if text.startswith(candidate)), None)
    if prefix is None:
        raise ExportError(f"{place}: holds no webhook key; right would be {SHARED}BASE64 or {PRIVATE}BASE64")
    try:
        raw = base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise ExportError(f"{place}: what follows {prefix} is no base64") from None
    if prefix == SHARED:
        if not SECRET_BYTES[0] <= len(raw) <= SECRET_BYTES[1]:
            raise ExportError(
                f"{place}: a secret of {len(raw)} bytes; give {SECRET_BYTES[0]} to {SECRET_BYTES[1]}"
            )
        return WebhookSigner("v1", lambda data: hmac.digest(raw, data, "sha256"), None)
    if len(raw) not in (32, 64):  # the seed, alone or with its public half, as libsodium writes it
        raise ExportError(f"{place}: an Ed25519 key of {len(raw)} bytes; right would be 32 or 64")
    key = Ed25519PrivateKey.from_private_bytes(raw[:32])
    public = PUBLIC + base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii")
    return WebhookSigner("v1a", key.sign, public)


def headers(event_id: str, at_s: int, body: bytes, signers: tuple[WebhookSigner, ...]) -> dict[str, str]:
    """Return the three headers of one delivery attempt.

    `event_id` is ASCII without a dot or blank; `at_s`: seconds since 1970.
    """
    signed = b"%s.%d.%s" % (event_id.encode("ascii"), at_s, body)
    signatures = (f"{key.version},{base64.b64encode(key.sign(signed)).decode('ascii')}" for key in signers)
    return {"webhook-id": event_id, "webhook-timestamp": str(at_s), "webhook-signature": " ".join(signatures)}


def event_id(case: str, revision: int) -> str:
    """Return the id of an event: the same for each retry, another for each revision of the case.

    >>> event_id("case-1", 7) == event_id("case-1", 7) != event_id("case-1", 8)
    True
    """
    digest = hashlib.sha256(f"{case}\0{revision}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"sw_{digest[:32]}"
