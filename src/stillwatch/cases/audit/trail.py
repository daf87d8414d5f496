"""Writes the trail: `append` runs in the transaction that it records. Existing records are not checked.

A writer holds the head row until the transaction ends, so the chain is one sequence. A transaction that is
rolled back takes its record with it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.exc import DBAPIError

from stillwatch.cases.audit import AuditError, TrailHead
from stillwatch.cases.audit.chain import (
    BEGUN,
    EVERY_RECORDS,
    EVERY_US,
    HANDED_OVER,
    NO_WITNESS,
    canonical,
    checkpoint_due,
    record_hash,
    seal,
    signed_of_hand_over,
    signed_of_head,
    signed_of_record,
)
from stillwatch.cases.audit.sealed import key_of as person_key
from stillwatch.cases.audit.sealed import seal as seal_personal
from stillwatch.cases.audit.signing import (
    PUBLIC_SUFFIX,
    TrailSigner,
    keep_signer,
    new_signer,
    open_signer,
    read_signer,
)
from stillwatch.cases.audit.tables import MIGRATIONS, checkpoints, head, records
from stillwatch.cases.audit.witness import Witness
from stillwatch.cases.migrations import migrate
from stillwatch.cases.persons import SEALER
from stillwatch.cases.store import Store
from stillwatch.cases.tables import identity_keys, key_of, to_stored
from stillwatch.errors import refuse_os_errors

NEXT_SUFFIX = ".next"
_STARTED = "stillwatch.audit.started"
Personal = Mapping[str, Mapping[str, Any]]  # person -> details about them


def attach(store: Store, key_file: Path, witness: Path | None = None) -> "Audit":
    """Attach the trail to a store: from now on every change writes to it.

    Raises: AuditError if the key or the witness can be neither read nor created.
    """
    try:
        migrate(store.engine, "audit", MIGRATIONS)
    except DBAPIError as why:
        text = " ".join(str(why.orig).split())
        raise AuditError(f"{store.name}: the trail's tables cannot be made: {text}") from why
    audit = Audit(key_file, witness)
    store.trail = audit
    store.engine.update_execution_options(**{SEALER: audit})
    return audit


class Audit:
    """The only writer to a trail. Thread-safe: it holds no state of the trail.

    key_file: the signing key, created at first use; witness: a file that gets every checkpoint once it is
    committed. The tables must exist: see `attach`.

    Raises: AuditError if the key can be neither read nor created.
    """

    def __init__(self, key_file: Path, witness: Path | None = None) -> None:
        self.key_file = key_file
        self.signer = open_signer(key_file)
        self.witness = None if witness is None else Witness(witness)
        self._witness_lost = False
        self._handed_over: TrailSigner | None = None

    def append(
        self,
        db: Connection,
        who: str,
        what: str,
        subject: str,
        detail: Mapping[str, Any],
        now_us: int,
        personal: Personal | None = None,
    ) -> int:
        """Write one record in the caller's transaction; return its number.

        `subject` and `detail` stay forever: put no name into them that may have to be erased. personal: what
        can be erased later, sealed under the key of the person whom it is about.

        Raises: AuditError if another key must sign; ValueError for a value that is not JSON.
        """
        now = self._hold(db, who, now_us)
        sealed = None
        if personal:
            boxes = []
            for name, details in personal.items():
                person = key_of(name)
                key_id, key = person_key(db, person)
                boxes.append([key_id, seal_personal(details, key_id, person, key)])
            sealed = canonical(boxes)
        return self._write(db, now, now_us, who, what, subject, detail, sealed)

    def hand_over(self, db: Connection, who: str, why: str, now_us: int) -> TrailSigner:
        """Let a new key sign from now on; the old one signs the record. Call `take_over` after the commit."""
        now = self._hold(db, who, now_us)
        new, old = new_signer(), self.signer
        signature = new.sign(signed_of_hand_over(now.chain, now.seq + 1, old.key, new.key))
        detail = {"from": old.key, "to": new.key, "shown": signature, "why": why}
        keep_signer(self._next_file, new)  # before the record, so that a crash in between loses no key
        self._write(db, now, now_us, who, HANDED_OVER, new.key, detail, None)
        db.execute(update(head).values(key=new.key))
        for sealed in db.execute(select(identity_keys.c.sealed)).scalars().all():
            db.execute(update(identity_keys).values(sealed=new.seal(old.unseal(sealed))))
        self._handed_over = new
        return new

    def seal_secret(self, db: Connection, secret: bytes) -> str:
        """Seal a secret of the database under the signing key. Raises: AuditError if it is another one."""
        return self._signer_of(db).seal(secret)

    def unseal_secret(self, db: Connection, sealed: str) -> bytes:
        """Open a secret of the database. Raises: AuditError if this is not the key."""
        return self._signer_of(db).unseal(sealed)

    def _signer_of(self, db: Connection) -> TrailSigner:
        if key_in_use := db.execute(select(head.c.key)).scalar():
            self._see_key(key_in_use)
        return self.signer

    def take_over(self) -> None:
        """Replace the old key by the new one. The old private key is deleted."""
        if self._handed_over is not None:
            self._adopt(self._handed_over)
            self._handed_over = None

    def signed_head(self, db: Connection, now_us: int) -> TrailHead:
        """Sign the present head for a witness, whether or not a checkpoint is due.

        Raises: AuditError if the trail is empty, or another key signs it.
        """
        now = db.execute(select(head)).one()
        if now.seq == 0:
            raise AuditError("nothing is on the trail yet")
        self._see_key(now.key)
        statement = TrailHead(now.chain, now.seq, now.seal, now_us, self.signer.key, "")
        return TrailHead(
            now.chain, now.seq, now.seal, now_us, self.signer.key, self.signer.sign(signed_of_head(statement))
        )

    # --- one record ---

    @property
    def _next_file(self) -> Path:
        return self.key_file.with_name(self.key_file.name + NEXT_SUFFIX)

    def _hold(self, db: Connection, who: str, now_us: int) -> Row[Any]:
        """Hold the head until the transaction ends, and check that this is the signing key."""
        # An UPDATE, not a SELECT: SQLite takes its write lock here, PostgreSQL the row's, and both reread.
        hold = update(head).values(seq=head.c.seq).returning(head)
        now = db.execute(hold).one_or_none()
        if now is None:
            raise AuditError("the database holds no audit trail's head; put the last back-up in its place")
        if now.seq == 0:
            detail = {
                "chain": now.chain,
                "key": self.signer.key,
                "every_records": EVERY_RECORDS,
                "every_us": EVERY_US,
            }
            self._write(db, now, now_us, who, BEGUN, now.chain, detail, None)
            db.execute(update(head).values(key=self.signer.key))
            now = db.execute(select(head)).one()
        self._see_key(now.key)
        if self.witness is not None and self._tell_witness(db, now, self.witness, who, now_us):
            now = db.execute(select(head)).one()
        return now

    def _see_key(self, key_in_use: str) -> None:
        """Adopt a key that was handed over elsewhere, or by a process that died before it could."""
        if self.signer.key == key_in_use:
            return
        with refuse_os_errors(AuditError, f"{self.key_file}: cannot be read"):
            self.signer = read_signer(self.key_file)
            if self.signer.key != key_in_use and self._next_file.exists():
                self._adopt(read_signer(self._next_file), key_in_use)
        if self.signer.key != key_in_use:
            raise AuditError(
                f"{self.key_file}: is key {self.signer.key[:16]}…, and the trail is signed with "
                f"{key_in_use[:16]}…; put that key's file back"
            )

    def _adopt(self, new: TrailSigner, key_in_use: str | None = None) -> None:
        """Sign with a new key, and put its file in place if nobody else has."""
        if key_in_use is not None and new.key != key_in_use:
            return
        self.signer = new
        if self._next_file.exists() and read_signer(self._next_file).key == new.key:
            keep_signer(self.key_file, new)
            self._next_file.unlink()
            self._next_file.with_name(self._next_file.name + PUBLIC_SUFFIX).unlink(missing_ok=True)

    def _tell_witness(self, db: Connection, now: Row[Any], witness: Witness, who: str, now_us: int) -> bool:
        """Pass checkpoints to the witness once they are certainly committed; return whether this was
        recorded.

        A witness that cannot be written does not block work: the loss gets a record of its own.
        """
        transaction = db.get_transaction()
        checkpoint_lines = db.info.get(_STARTED)
        if checkpoint_lines is not None and checkpoint_lines[0] is transaction:
            return False  # the present ones may be this transaction's own
        db.info[_STARTED] = (transaction,)
        last = witness.last_seq(now.chain)
        if now.checkpoint_seq <= last:
            return False
        try:
            witness.add(checkpoints_after(db, now.chain, last))
        except OSError as why:
            if not self._witness_lost:
                self._witness_lost = True
                detail = {"error": why.strerror or "", "last_seq": last}
                self._write(db, now, now_us, who, NO_WITNESS, now.chain, detail, None)
                return True
            return False
        self._witness_lost = False
        return False

    def _write(
        self,
        db: Connection,
        now: Row[Any],
        at_us: int,
        who: str,
        what: str,
        subject: str,
        detail: Mapping[str, Any],
        sealed: str | None,
    ) -> int:
        seq = now.seq + 1
        text = canonical(dict(detail))
        who, what, subject = to_stored(who), to_stored(what), to_stored(subject)
        hashed = record_hash(now.seal, seq, at_us, who, what, subject, text, sealed)
        signature = self.signer.sign(signed_of_record(hashed))
        row = {
            "seq": seq,
            "at_us": at_us,
            "who": who,
            "what": what,
            "subject": subject,
            "detail": text,
            "sealed": sealed,
            "prev": now.seal,
            "hash": hashed,
            "signature": signature,
        }
        db.execute(records.insert(), row)
        new = {"seq": seq, "seal": seal(hashed, signature)}
        if checkpoint_due(seq, at_us, what, now.checkpoint_seq, now.checkpoint_us):
            sealed_head = TrailHead(now.chain, seq, str(new["seal"]), at_us, self.signer.key, "")
            signed = self.signer.sign(signed_of_head(sealed_head))
            point = {
                "seq": seq,
                "seal": sealed_head.seal,
                "at_us": at_us,
                "key": sealed_head.key,
                "signature": signed,
            }
            db.execute(checkpoints.insert(), point)
            new |= {"checkpoint_seq": seq, "checkpoint_us": at_us}
        db.execute(update(head).values(**new))
        return seq


def checkpoints_after(db: Connection, chain: str, seq: int) -> list[TrailHead]:
    """Return the checkpoints after a record, oldest first."""
    rows = db.execute(select(checkpoints).where(checkpoints.c.seq > seq).order_by(checkpoints.c.seq))
    return [TrailHead(chain, row.seq, row.seal, row.at_us, row.key, row.signature) for row in rows]
