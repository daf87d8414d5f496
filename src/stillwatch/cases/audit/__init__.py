"""The audit trail: who did or saw what, in records that cannot be changed unseen. It knows no meanings.

Every record is hashed with the one before it and signed; checkpoints are kept outside too (`witness`), so
that a cut tail is found. Times are UTC microseconds; a key is named by its public half, 64 hex digits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stillwatch.errors import StillwatchError


class AuditError(StillwatchError):
    """The trail cannot be written or read: no key, another key, no such database."""


class Cause(StrEnum):
    """Why a trail is not what was written."""

    NO_TRAIL = "no trail"
    ALTERED = "altered"  # a field is not what was hashed or signed
    MISSING = "missing"  # a record that was there is gone
    INSERTED = "inserted"  # a record that was never written here
    REORDERED = "reordered"
    CUT_TAIL = "cut tail"  # it ends before its own head, its checkpoints, or what a witness saw
    REWRITTEN = "rewritten"  # sound in itself, but not what a witness saw
    OTHER_KEY = "other key"  # whole, but not signed with the key that was to sign
    CHECKPOINT = "checkpoint"  # forged, altered, missing, or one too many
    HEAD = "head"  # the row that says where the trail ends is not what the records say
    LOST_KEY = "lost key"  # a sealed detail cannot be opened, and no erasure is on record; or it was and can
    WITNESS = "witness"  # the witness's own line is not to be believed


@dataclass(frozen=True)
class AuditRecord:
    """One record as it is read back."""

    seq: int
    at_us: int
    who: str
    what: str
    subject: str
    detail: Mapping[str, Any]
    personal: tuple[Mapping[str, Any], ...]  # what was sealed and can be opened
    closed: int  # how many sealed details were not opened: not asked for, or erased
    hash: str


@dataclass(frozen=True)
class TrailHead:
    """Where a trail stood at one record, signed: what a checkpoint is, and what a witness keeps."""

    chain: str  # the trail's own number, made at random when it began
    seq: int
    seal: str  # SHA-256 of that record's hash and signature
    at_us: int
    key: str  # that signed
    signature: str


@dataclass(frozen=True)
class KeySpan:
    """One signing key and the records it signed."""

    key: str
    first: int
    last: int


@dataclass(frozen=True)
class Stamped:
    """A time that somebody else put on a head: everything up to that record was there then."""

    seq: int
    at: str  # ISO, UTC, by the authority's clock
    authority: str
    behind_s: float  # the authority's time less the trail's own at that head


@dataclass(frozen=True)
class VerifiedTrail:
    """The trail is what was written, as far as can be told from what was at hand."""

    chain: str
    records: int
    checkpoints: int
    seal: str
    first_us: int
    last_us: int
    keys: tuple[KeySpan, ...]
    pinned: bool  # a key that the caller named is among them
    witnessed: int | None  # the last record that a witness vouches for; None without one
    sealed: int  # details that are sealed
    erased: tuple[tuple[int, int], ...]  # (when, how many records) of each erasure
    notes: tuple[str, ...] = ()
    stamps: tuple[Stamped, ...] = ()


@dataclass(frozen=True)
class Broken:
    """The first bad record, and why. Everything before it is sound."""

    seq: int
    cause: Cause
    why: str
    until: int | None = None  # where only a stretch of records can be named: the last one it may be
