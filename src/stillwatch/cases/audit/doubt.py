"""Diagnoses a record that does not belong in its place, given all rows.

A record is *own* to a number if its hash is that of its fields with that number. So a moved or copied record
is recognised, and distinguished from a changed one.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from stillwatch.cases.audit import Broken, Cause
from stillwatch.cases.audit.chain import record_hash, seal, signed_of_record
from stillwatch.cases.audit.signing import is_signed
from stillwatch.cases.audit.tables import records


class BadRecordFound(Exception):
    """The first bad record was found."""

    def __init__(self, seq: int, cause: Cause, why: str, until: int | None = None) -> None:
        super().__init__(why)
        self.broken = Broken(seq, cause, why, until)


@dataclass(frozen=True)
class TrailPosition:
    """A position on the trail and what belongs there."""

    db: Connection
    seq: int
    prev: str  # the seal of the record before
    key: str  # the key that signs here
    known: frozenset[str]  # every key that the trail names
    end: str  # the seal in the head row
    top: int  # no record has a higher number, by all evidence here


def is_whole(row: Row[Any]) -> bool:
    """Return whether a row has values of the right types, as SQLite accepts any."""
    numbers = type(row.seq) is int and type(row.at_us) is int
    return numbers and _has_right_types(row)


def is_own(row: Row[Any], seq: int) -> bool:
    """Return whether a complete row's hash is that of its fields with this number."""
    r = row
    return record_hash(r.prev, seq, r.at_us, r.who, r.what, r.subject, r.detail, r.sealed) == r.hash


def judge_signature(place: TrailPosition, row: Row[Any], behind: Row[Any] | None) -> BadRecordFound | None:
    """Check the signature of a record that is own to its place; return None if it is the key's."""
    if is_signed(place.key, row.signature, signed_of_record(row.hash)):
        return None
    seq = place.seq
    if behind is None:
        behind = place.db.execute(select(records).where(records.c.seq == seq + 1)).first()
    if _elsewhere(place) is not None:
        return BadRecordFound(
            seq, Cause.INSERTED, f"record {seq} was never written: the real one was moved to make room"
        )
    follows = place.end if behind is None else behind.prev
    if behind is None and follows == row.prev:
        return BadRecordFound(
            seq, Cause.INSERTED, f"record {seq} was never written: the trail ended before it"
        )
    if follows == seal(row.hash, row.signature):
        return BadRecordFound(
            seq,
            Cause.OTHER_KEY,
            f"record {seq} is whole, and is not signed by key {place.key[:16]}…: somebody without that key "
            "wrote the trail anew from here",
        )
    return BadRecordFound(seq, Cause.ALTERED, f"record {seq} is not signed by key {place.key[:16]}… any more")


def explain_bad_record(place: TrailPosition, row: Row[Any]) -> BadRecordFound:
    """Explain what happened if `row` is found in place of the record that belongs there."""
    seq = place.seq
    real = _elsewhere(place)
    if type(row.seq) is not int or row.seq > seq:  # the place is empty
        if real is not None:
            return BadRecordFound(seq, Cause.ALTERED, f"record {seq} was given the number {real.seq!a}")
        return _missing(seq, row.seq - 1 if type(row.seq) is int else None)
    if not is_whole(row):
        return BadRecordFound(
            seq, Cause.ALTERED, f"record {seq} holds something that is neither text nor number"
        )
    belongs = _number_of(place, row)
    if real is not None:
        if belongs is None or _copies(place, row) > 1:
            return BadRecordFound(
                seq, Cause.INSERTED, f"a record that was never written stands in the place of record {seq}"
            )
        return BadRecordFound(
            seq,
            Cause.REORDERED,
            f"in the place of record {seq} stands record {belongs}; it stands at {real.seq!a}",
        )
    if place.end == place.prev:
        return BadRecordFound(
            seq, Cause.INSERTED, f"record {seq} was never written: the trail ended before it"
        )
    if belongs is None or belongs == seq:
        return _altered_record(place, row, belongs)
    if _copies(place, row) > 1:
        return BadRecordFound(seq, Cause.ALTERED, f"a copy of record {belongs} was written over record {seq}")
    return _missing(seq, None)


def _missing(seq: int, until: int | None) -> BadRecordFound:
    if until is None or until <= seq:
        return BadRecordFound(seq, Cause.MISSING, f"record {seq} is gone")
    return BadRecordFound(seq, Cause.MISSING, f"records {seq} to {until} are gone", until)


def _altered_record(place: TrailPosition, row: Row[Any], belongs: int | None) -> BadRecordFound:
    seq = place.seq
    if belongs == seq:  # complete and signed, but it follows another record
        return BadRecordFound(
            seq,
            Cause.REWRITTEN,
            f"record {seq} follows on another record {seq - 1} than the one that stands here",
        )
    signed_as_hashed = any(is_signed(key, row.signature, signed_of_record(row.hash)) for key in place.known)
    r = row
    fields = record_hash(r.prev, seq, r.at_us, r.who, r.what, r.subject, r.detail, r.sealed)
    linked = record_hash(place.prev, seq, r.at_us, r.who, r.what, r.subject, r.detail, r.sealed)
    if signed_as_hashed and linked == r.hash:
        damage = "its link to the record before (`prev`) was changed"
    elif signed_as_hashed:
        damage = "a field of it was changed after it was signed"
    elif any(is_signed(key, r.signature, signed_of_record(fields)) for key in place.known):
        damage = "its hash was changed"
    else:
        damage = "its fields, its hash and its signature do not belong together"
    return BadRecordFound(seq, Cause.ALTERED, f"record {seq} is not what was written: {damage}")


def _elsewhere(place: TrailPosition) -> Row[Any] | None:
    """Find the record that belongs here under another number; None if there is none."""
    c = records.c
    rows = place.db.execute(select(records).where(c.prev == place.prev)).all()
    others = [
        row for row in rows if row.seq != place.seq and _has_right_types(row) and is_own(row, place.seq)
    ]
    return next((row for row in others if _has_signature(place, row)), None)


def _has_right_types(row: Row[Any]) -> bool:
    r = row
    texts = {*map(type, (r.who, r.what, r.subject, r.detail, r.prev, r.hash, r.signature))}
    return texts == {str} and type(r.sealed) in (str, type(None))


def _has_signature(place: TrailPosition, row: Row[Any]) -> bool:
    keys = sorted(place.known | {place.key})
    return any(is_signed(key, row.signature, signed_of_record(row.hash)) for key in keys)


def _number_of(place: TrailPosition, row: Row[Any]) -> int | None:
    """Return the number that matches a signed row's hash; None if it is not signed or none matches."""
    if not _has_signature(place, row):
        return None
    near = (place.seq, place.seq + 1, place.seq - 1)
    return next((seq for seq in (*near, *range(1, place.top + 1)) if is_own(row, seq)), None)


def _copies(place: TrailPosition, row: Row[Any]) -> int:
    of_one_hash = select(func.count()).select_from(records).where(records.c.hash == row.hash)
    return int(place.db.execute(of_one_hash).scalar_one())
