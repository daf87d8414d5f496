"""The audit trail: who did or saw what, in records that cannot be changed unnoticed.

Every record is hashed together with the one before it and signed. Checkpoints are also stored outside
(`witness`), which reveals a cut tail. Times are UTC microseconds; a key is named by its public half, 64 hex
digits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stillwatch.errors import StillwatchError


class AuditError(StillwatchError):
    """The trail cannot be written or read: no key, another key, no such database."""


class Cause(StrEnum):
    """What is wrong with a trail."""

    NO_TRAIL = "no trail"
    ALTERED = "altered"  # a field differs from what was hashed or signed
    MISSING = "missing"  # a record has been removed
    INSERTED = "inserted"  # a record that was never written here
    REORDERED = "reordered"
    CUT_TAIL = "cut tail"  # it ends before its own head, its checkpoints, or what a witness saw
    REWRITTEN = "rewritten"  # consistent in itself, but different from what a witness saw
    OTHER_KEY = "other key"  # intact, but signed with another key than required
    CHECKPOINT = "checkpoint"  # forged, altered, missing, or one too many
    HEAD = "head"  # the head row contradicts the records
    LOST_KEY = "lost key"  # a sealed detail cannot be opened without an erasure on record, or can despite one
    WITNESS = "witness"  # the witness's own line is not credible


@dataclass(frozen=True)
class AuditRecord:
    """One record as read back."""

    seq: int
    at_us: int
    who: str
    what: str
    subject: str
    detail: Mapping[str, Any]
    personal: tuple[Mapping[str, Any], ...]  # sealed details that were opened
    closed: int  # sealed details that were not opened: not requested, or erased
    hash: str


@dataclass(frozen=True)
class TrailHead:
    """The signed state of a trail at one record: the content of a checkpoint, and what a witness keeps."""

    chain: str  # the trail's random id, chosen when it began
    seq: int
    seal: str  # SHA-256 of that record's hash and signature
    at_us: int
    key: str  # the signing key
    signature: str


@dataclass(frozen=True)
class KeySpan:
    """One signing key and the records it signed."""

    key: str
    first: int
    last: int


@dataclass(frozen=True)
class Stamped:
    """A time put on a head by a third party: everything up to that record existed then."""

    seq: int
    at: str  # ISO, UTC, by the authority's clock
    authority: str
    behind_s: float  # the authority's time minus the trail's own at that head


@dataclass(frozen=True)
class VerifiedTrail:
    """The trail is unchanged, as far as the available evidence shows."""

    chain: str
    records: int
    checkpoints: int
    seal: str
    first_us: int
    last_us: int
    keys: tuple[KeySpan, ...]
    pinned: bool  # a key named by the caller is among them
    witnessed: int | None  # the last record that a witness confirms; None without one
    sealed: int  # sealed details
    erased: tuple[tuple[int, int], ...]  # (when, how many records) of each erasure
    notes: tuple[str, ...] = ()
    stamps: tuple[Stamped, ...] = ()


@dataclass(frozen=True)
class Broken:
    """The first bad record, and why. Everything before it is intact."""

    seq: int
    cause: Cause
    why: str
    until: int | None = None  # set if only a range of records can be named: its last one
