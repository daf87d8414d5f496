"""Verifies that a trail is unchanged; if not, names the first bad record and why.

It checks each record's hash and its link to the one before, and the checkpoints' signatures, which cover
everything before them. A record's own signature is checked if no valid checkpoint follows, and to find the
first bad one. `doubt` explains what happened to a record that does not belong in its place.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.exc import DBAPIError

from stillwatch.cases.audit import AuditError, Broken, Cause, KeySpan, TrailHead, VerifiedTrail
from stillwatch.cases.audit.chain import (
    BEGINNING,
    BEGUN,
    ERASED,
    HANDED_OVER,
    checkpoint_due,
    seal,
    signed_of_hand_over,
    signed_of_head,
)
from stillwatch.cases.audit.doubt import (
    BadRecordFound,
    TrailPosition,
    explain_bad_record,
    is_own,
    is_whole,
    judge_signature,
)
from stillwatch.cases.audit.sealed import boxes, unseal
from stillwatch.cases.audit.signing import is_signed
from stillwatch.cases.audit.tables import checkpoints, head, person_keys, records
from stillwatch.cases.audit.vouched import check_witnesses
from stillwatch.cases.audit.witness import WitnessedHead
from stillwatch.cases.store import Store

PAGE = 2_000


def verify(
    store: Store,
    *,
    trusted: Sequence[str] = (),
    witness: Sequence[WitnessedHead | str] | None = None,
    witness_keys: Sequence[str] = (),
) -> VerifiedTrail | Broken:
    """Verify a store's whole trail as of one moment.

    trusted: keys of which one must have signed; witness: the result of `witness.read_heads` over any number
    of files, one of which must confirm something; witness_keys: of partners, whose signature a head must
    carry to count.

    Raises: AuditError if there is no trail to read.
    """
    with snapshot(store) as db:
        return verify_in(db, trusted=trusted, witness=witness, witness_keys=witness_keys)


def verify_in(
    db: Connection,
    *,
    trusted: Sequence[str] = (),
    witness: Sequence[WitnessedHead | str] | None = None,
    witness_keys: Sequence[str] = (),
) -> VerifiedTrail | Broken:
    """Verify as a connection sees the trail: see `snapshot` for one that accepts any bytes."""
    try:
        walk = _TrailWalk(db, [line for line in witness or () if isinstance(line, WitnessedHead)])
        verified = walk.to_the_end(tuple(trusted))
    except BadRecordFound as found:
        return found.broken
    if witness is None:
        return verified
    return check_witnesses(verified, witness, walk.witnessed, tuple(witness_keys))


@contextmanager
def snapshot(store: Store) -> Iterator[Connection]:
    """Open a connection to a snapshot, with texts of any bytes."""
    postgres = store.engine.dialect.name == "postgresql"
    options = {"isolation_level": "REPEATABLE READ"} if postgres else {}
    with store.engine.connect().execution_options(**options) as db:
        driver: Any = db.connection.driver_connection
        try:
            if not postgres:
                driver.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            with db.begin():
                db.execute(select(func.count()).select_from(head)).scalar_one()
                yield db
        except DBAPIError as why:
            text = " ".join(str(why.orig).split())
            raise AuditError(f"{store.name}: the trail cannot be read: {text}") from why
        finally:
            if not postgres:
                driver.text_factory = str


class TrailCheck:
    """Verifies a trail repeatedly, skipping records that were found intact before.

    Blind to: a record changed after it was found intact, until `verify` checks the whole trail. One thread at
    a time.
    """

    def __init__(self, store: Store, trusted: Sequence[str] = ()) -> None:
        self._store, self._trusted = store, tuple(trusted)
        self._walk: _TrailWalk | None = None

    @property
    def records_walked(self) -> int:
        """Return how many records were checked, also during a check."""
        return self._walk.seq if self._walk is not None else 0

    def verify(self, whole: bool = False) -> VerifiedTrail | Broken:
        """Verify the records since the last time; all of them at first, and on request."""
        with snapshot(self._store) as db:
            walk = None if whole else self._walk
            try:
                if walk is not None and not walk.goes_on(db):
                    walk = None  # records found intact before are gone: find out why
                walk = self._walk = walk or _TrailWalk(db, ())
                return walk.to_the_end(self._trusted)
            except BadRecordFound as found:
                self._walk = None
                return found.broken


class _TrailWalk:
    """A pass over the records: what was seen so far, and what must come next."""

    def __init__(self, db: Connection, witness: Sequence[WitnessedHead]) -> None:
        self.db = db
        self.heads = list(db.execute(select(head)))
        self.points = {row.seq: row for row in db.execute(select(checkpoints).order_by(checkpoints.c.seq))}
        self.open_points = dict(self.points)  # those not reached yet
        self.people = {row.key_id: (row.person, row.key) for row in db.execute(select(person_keys))}
        self.wanted = {line.head.seq for line in witness}
        self.witnessed: dict[int, str] = {}  # seals at the records that a witness knows
        self.chain = self.key = ""
        self.seq, self.prev = 0, BEGINNING
        self.point_seq = self.point_us = 0
        self.pending: list[Row[Any]] = []  # records whose signature is not yet confirmed
        self.spans: list[KeySpan] = []
        self.times = (0, 0)
        self.backwards: list[str] = []
        self.sealed = 0
        self.opened: dict[str, int] = {}  # key_id -> the first record sealed under it, by whether it opens
        self.unopened: dict[str, int] = {}
        self.erased: dict[str, tuple[int, int, int]] = {}  # key_id -> (record, when, how many records)

    def goes_on(self, db: Connection) -> bool:
        """Continue in a later state of the trail; False if the last record read has changed or is gone."""
        c = records.c
        last = db.execute(select(c.hash, c.signature).where(c.seq == self.seq)).first()
        if last is None or seal(last.hash, last.signature) != self.prev:
            return False
        self.db = db
        self.heads = list(db.execute(select(head)))
        self.people = {row.key_id: (row.person, row.key) for row in db.execute(select(person_keys))}
        points = db.execute(select(checkpoints).order_by(checkpoints.c.seq))
        now = {row.seq: row for row in points}
        if any(now.get(seq) != row for seq, row in self.points.items()):
            return False
        self.open_points = {seq: row for seq, row in now.items() if seq not in self.points}
        self.points = now
        return True

    def to_the_end(self, trusted: tuple[str, ...]) -> VerifiedTrail:
        """Raises: _Found at the first bad record."""
        for row in self._rows():
            self._step(row)
        self._settle()
        self._see_end()
        self._see_sealed()
        pinned = any(span.key in trusted for span in self.spans)
        if trusted and not pinned:
            raise BadRecordFound(
                1,
                Cause.OTHER_KEY,
                f"the trail was begun with key {self.spans[0].key[:16]}…: none of those that were named",
            )
        return VerifiedTrail(
            self.chain,
            self.seq,
            len(self.points),
            self.prev,
            *self.times,
            tuple(self.spans),
            pinned,
            None,
            self.sealed,
            tuple((at_us, count) for _, at_us, count in self.erased.values()),
            tuple(self.backwards[:5]),
        )

    def place(self) -> TrailPosition:
        """Return the present position, with everything needed to judge the record there."""
        keys_seen = {span.key for span in self.spans} | {self.key}
        keys_seen |= {str(row.key) for row in self.heads} | {str(row.key) for row in self.points.values()}
        end = str(self.heads[0].seal) if self.heads else ""
        count = self.db.execute(select(func.count()).select_from(records)).scalar_one()
        numbers = [row.seq for row in (*self.heads, *self.points.values()) if type(row.seq) is int]
        top = min(max(count, *numbers), 10 * count + 1_000) + 1  # bounds the search
        return TrailPosition(self.db, self.seq + 1, self.prev, self.key, frozenset(keys_seen), end, top)

    def _rows(self) -> Iterator[Row[Any]]:
        """Yield every record from 1 on, by number; a gap does not end it."""
        c = records.c
        while True:
            page = select(records).where(c.seq.between(self.seq + 1, self.seq + PAGE)).order_by(c.seq)
            rows = self.db.execute(page).all()
            yield from rows
            if not rows:
                behind = self.db.execute(select(func.min(c.seq)).where(c.seq > self.seq)).scalar()
                if type(behind) is not int:
                    return
                yield self.db.execute(select(records).where(c.seq == behind)).one()

    # --- one record ---

    def _step(self, row: Row[Any]) -> None:
        place = self.place
        if row.seq != self.seq + 1 or not is_whole(row) or row.prev != self.prev or not is_own(row, row.seq):
            self._settle(row)
            raise explain_bad_record(place(), row)
        if self.seq == 0:
            self._begin(row)
        self.pending.append(row)
        new_key = self._handed_over(row) if row.what == HANDED_OVER else self.key
        self._read_sealed(row)
        if self.seq and row.at_us < self.times[1]:
            back_s = (self.times[1] - row.at_us) / 1e6
            self.backwards.append(f"the clock went back {back_s:,.1f} s before record {row.seq}")
        self.times = (self.times[0] if self.seq else row.at_us, row.at_us)
        self.seq, self.prev = row.seq, seal(row.hash, row.signature)
        self.spans[-1] = KeySpan(self.key, self.spans[-1].first, row.seq)
        if self.seq in self.wanted:
            self.witnessed[self.seq] = self.prev
        self._see_point(row)
        if new_key != self.key:
            self.key = new_key
            self.spans.append(KeySpan(new_key, row.seq + 1, row.seq))

    def _begin(self, row: Row[Any]) -> None:
        try:
            detail = json.loads(row.detail)
            self.chain, self.key = str(detail["chain"]), str(detail["key"])
        except (ValueError, TypeError, KeyError):
            self.key = ""
        if row.what != BEGUN or not self.key:
            raise BadRecordFound(1, Cause.MISSING, "the trail's first record is another one")
        self.spans.append(KeySpan(self.key, 1, 1))

    def _handed_over(self, row: Row[Any]) -> str:
        """Return the key that signs from the next record on."""
        self._settle()
        try:
            detail = json.loads(row.detail)
            old, new, proof = str(detail["from"]), str(detail["to"]), str(detail["shown"])
        except (ValueError, TypeError, KeyError):
            old = new = proof = ""
        if old != self.key or not is_signed(new, proof, signed_of_hand_over(self.chain, row.seq, old, new)):
            raise BadRecordFound(
                row.seq, Cause.OTHER_KEY, "the hand-over is not signed by the key that is to take over"
            )
        return new

    def _read_sealed(self, row: Row[Any]) -> None:
        if row.what == ERASED:
            try:
                detail = json.loads(row.detail)
                self.erased[str(detail["key_id"])] = (row.seq, row.at_us, int(detail["records"]))
            except (ValueError, TypeError, KeyError):
                self.backwards.append(f"record {row.seq} reports an erasure without saying of what")
        if row.sealed is None:
            return
        try:
            entries = boxes(row.sealed)
        except ValueError:
            entries = []
        for key_id, box in entries:
            self.sealed += 1
            person, key = self.people.get(key_id, ("", ""))
            if unseal(box, key_id, person, key) is None:
                self.unopened.setdefault(key_id, row.seq)
            else:
                self.opened.setdefault(key_id, row.seq)

    def _settle(self, behind: Row[Any] | None = None) -> None:
        """Check the signatures not confirmed yet; `behind` is the row after them."""
        rows, self.pending = self.pending, []
        if not rows:
            return
        keys_seen = self.place()
        for k, row in enumerate(rows):
            after = rows[k + 1] if k + 1 < len(rows) else behind
            place = replace(keys_seen, seq=row.seq, prev=row.prev)
            if (bad := judge_signature(place, row, after)) is not None:
                raise bad

    def _see_point(self, row: Row[Any]) -> None:
        point = self.open_points.pop(row.seq, None)
        is_due = checkpoint_due(row.seq, row.at_us, row.what, self.point_seq, self.point_us)
        if not is_due and point is None:
            return
        fault = None
        if point is None:
            fault = "is missing"
        elif not is_due:
            fault = "is one that was never due"
        elif point.seal != self.prev or point.at_us != row.at_us:
            fault = "says something else than the record"
        elif point.key != self.key:
            fault = "names another key"
        else:
            trail_head = TrailHead(self.chain, row.seq, self.prev, row.at_us, self.key, str(point.signature))
            if not is_signed(self.key, trail_head.signature, signed_of_head(trail_head)):
                fault = f"is not signed by key {self.key[:16]}…"
        if fault is not None:
            self._settle()
            raise BadRecordFound(row.seq, Cause.CHECKPOINT, f"the checkpoint at record {row.seq} {fault}")
        self.pending.clear()
        self.point_seq, self.point_us = row.seq, row.at_us

    # --- the end ---

    def _see_end(self) -> None:
        last = self.seq
        odd = self.db.execute(select(func.count()).select_from(records)).scalar_one() - last
        if odd:
            raise BadRecordFound(
                last, Cause.INSERTED, f"{odd} row(s) beside the {last} records carry no number of a record"
            )
        if len(self.heads) != 1 or self.heads[0].one != 1:
            raise BadRecordFound(
                last, Cause.HEAD, "the row that says where the trail ends is not there, or not alone"
            )
        end = self.heads[0]
        ends = type(end.seq) is int
        if ends and end.seq > last and end.seal != self.prev:
            raise BadRecordFound(
                last + 1,
                Cause.CUT_TAIL,
                f"records {last + 1} to {end.seq} are gone: the end was cut off",
                end.seq,
            )
        if self.open_points:
            self._see_odd_points(last)
        if last == 0 and end.seq == 0:
            raise BadRecordFound(0, Cause.NO_TRAIL, "nothing is on the trail yet")
        is_head = (end.chain, end.seq, end.seal, end.key) == (self.chain, last, self.prev, self.key)
        if not is_head or (end.checkpoint_seq, end.checkpoint_us) != (self.point_seq, self.point_us):
            raise BadRecordFound(
                last, Cause.HEAD, "the row that says where the trail ends is not what the last record says"
            )

    def _see_odd_points(self, last: int) -> None:
        """Report checkpoints without a record: the trail's end was cut off, or they are invented."""
        for seq, point in self.open_points.items():
            if type(seq) is int and seq > last:
                trail_head = TrailHead(
                    self.chain, seq, str(point.seal), point.at_us, str(point.key), str(point.signature)
                )
                if point.key in {span.key for span in self.spans} and is_signed(
                    trail_head.key, trail_head.signature, signed_of_head(trail_head)
                ):
                    raise BadRecordFound(
                        last + 1,
                        Cause.CUT_TAIL,
                        f"a checkpoint stands at record {seq}, and {last} is the last: the end was cut off",
                        seq,
                    )
        seq = next(iter(self.open_points))
        number = seq if type(seq) is int else last
        raise BadRecordFound(
            number, Cause.CHECKPOINT, f"a checkpoint stands at {seq!a}, where there is no record"
        )

    def _see_sealed(self) -> None:
        lost = [(seq, key_id) for key_id, seq in self.unopened.items() if key_id not in self.erased]
        back = [(self.erased[key_id][0], key_id) for key_id in self.opened if key_id in self.erased]
        pairs = [(self.unopened[key_id], key_id) for key_id in self.unopened if key_id in self.opened]
        if not lost and not back and not pairs:
            return
        seq, key_id = min(lost + back + pairs)
        if (seq, key_id) in back:
            why = f"what was sealed under key {key_id} was erased here, and its key came back"
        else:
            why = f"what is sealed under key {key_id} cannot be opened, and no erasure of it is on the trail"
        raise BadRecordFound(seq, Cause.LOST_KEY, why)
