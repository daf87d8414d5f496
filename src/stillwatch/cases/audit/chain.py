"""How a record is hashed, sealed and signed: pure functions over bytes.

    hash      SHA-256(MARK, canonical JSON of the record, with the seal of the one before it)
    signature Ed25519(RECORD_MARK, hash)
    seal      SHA-256(hash, signature): what the next record carries as `prev`

`docs/audit.md` is the full specification, so that another program can check a trail.
"""

import hashlib
import json
from typing import Any

from stillwatch.cases.audit import TrailHead
from stillwatch.units import MINUTE_US

MARK = b"stillwatch.audit.1\n"
RECORD_MARK = b"stillwatch.audit.record.1\n"
HEAD_MARK = b"stillwatch.audit.head.1\n"
HAND_OVER_MARK = b"stillwatch.audit.handover.1\n"
BEGINNING = "0" * 64  # `prev` of the first record

BEGUN = "trail begun"
HANDED_OVER = "signing key handed over"
ERASED = "personal details erased"
NO_WITNESS = "witness could not be written"

EVERY_RECORDS = 256  # a checkpoint after at most this many records
EVERY_US = MINUTE_US  # and with the first record after a minute: docs/audit.md

_canonical = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode


def canonical(value: Any) -> str:
    r"""Return JSON in the canonical form that is hashed: ASCII, keys sorted, no blanks.

    >>> canonical({"b": 1, "a": "é"})
    '{"a":"\\u00e9","b":1}'
    """
    return _canonical(value)


def record_hash(
    prev: str, seq: int, at_us: int, who: str, what: str, subject: str, detail: str, sealed: str | None
) -> str:
    """Hash one record as stored; `detail` and `sealed` are the stored texts."""
    body = _canonical(
        {
            "at_us": at_us,
            "detail": detail,
            "prev": prev,
            "sealed": sealed,
            "seq": seq,
            "subject": subject,
            "what": what,
            "who": who,
        }
    )
    return hashlib.sha256(MARK + body.encode("ascii")).hexdigest()


def signed_of_record(hash_: str) -> bytes:
    """Return the bytes that a record's signature covers."""
    return RECORD_MARK + hash_.encode("utf-8", "replace")


def seal(hash_: str, signature: str) -> str:
    """Return the digest of a record and its signature for the record after it."""
    return hashlib.sha256(f"{hash_}{signature}".encode("utf-8", "replace")).hexdigest()


def signed_of_head(head: TrailHead) -> bytes:
    """Return the bytes that a checkpoint's signature covers."""
    statement = {
        "at_us": head.at_us,
        "chain": head.chain,
        "key": head.key,
        "seal": head.seal,
        "seq": head.seq,
    }
    return HEAD_MARK + _canonical(statement).encode("ascii")


def signed_of_hand_over(chain: str, seq: int, old: str, new: str) -> bytes:
    """Return the bytes by which a new key proves its presence; the old one signs the record itself."""
    return HAND_OVER_MARK + _canonical({"chain": chain, "from": old, "seq": seq, "to": new}).encode("ascii")


def checkpoint_due(seq: int, at_us: int, what: str, last_seq: int, last_at_us: int) -> bool:
    """Return whether a checkpoint is due after this record; also if the clock went back."""
    return what == HANDED_OVER or seq - last_seq >= EVERY_RECORDS or not 0 <= at_us - last_at_us < EVERY_US
