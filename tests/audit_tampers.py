"""Ways of tampering with an audit trail, each with the expected result of its verification.

A tamper changes rows through SQL, as a person with the database but without the program would. It returns the
record and the cause that `verify` must report. It is drawn at random, and a rollback restores the trail.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from stillwatch.cases.audit import Broken, Cause, TrailHead, VerifiedTrail
from stillwatch.cases.audit.chain import (
    canonical,
    checkpoint_due,
    record_hash,
    seal,
    signed_of_head,
    signed_of_record,
)
from stillwatch.cases.audit.erasure import erase
from stillwatch.cases.audit.signing import TrailSigner, new_signer
from stillwatch.cases.audit.trail import Audit
from stillwatch.cases.audit.verify import verify_in
from stillwatch.cases.audit.witness import WitnessedHead
from stillwatch.cases.store import Store

BEGIN_US = 1_780_000_000_000_000
WORDS = ("judge", "note", "look", "assign", "close")


@dataclass(frozen=True)
class Expected:
    """The expected report."""

    cause: Cause
    seq: int
    within: int | None = None  # end of a stretch that may be named; it must contain the true record


@dataclass
class Scene:
    """A trail at rest, and what an insider has."""

    rows: list[dict[str, Any]]
    points: list[dict[str, Any]]
    head: dict[str, Any]
    people: list[dict[str, Any]]
    witness: list[WitnessedHead]
    keys: dict[int, TrailSigner]  # record -> its signer
    erased: dict[str, Any]  # the row of the erased key
    postgres: bool

    @property
    def last(self) -> int:
        return len(self.rows)

    def chain(self) -> str:
        return str(self.head["chain"])


def write_trail(store: Store, audit: Audit, records: int, rng: random.Random) -> Scene:
    """Write a trail of about this length: small transactions, sealed details, an erasure, a new key."""
    now_us, keys, done, handed = BEGIN_US, {}, 0, False
    erased: dict[str, Any] = {}
    witness: list[WitnessedHead] = []
    while done < records:
        now_us += rng.choice((1_000, 2_000_000, 30_000_000, 61_000_000, -5_000_000))
        with store.writing(now_us) as tx:
            for _ in range(rng.randint(1, 4)):
                who, person = rng.choice(("ann", "bö")), f"acct-{rng.randint(0, 5)}"
                personal = {person: {"text": "x" * rng.randint(0, 9)}} if rng.random() < 0.4 else None
                tx.audit(who, rng.choice(WORDS), f"case-{rng.randint(1, 9)}", {"n": rng.random()}, personal)
            if not erased and done > records / 2:
                erased = _erase_one(audit, tx.db, now_us)
        if not handed and done > records / 3:
            handed = True
            with store.writing(now_us) as tx:
                tx.changed = True
                audit.hand_over(tx.db, "ann", "yearly", now_us)
            last = _count(store)
            keys |= dict.fromkeys(range(done + 1, last + 1), audit.signer)
            audit.take_over()
        done = _count(store)
        keys |= dict.fromkeys(range(max(keys, default=0) + 1, done + 1), audit.signer)
        with store.reading() as db:
            if rng.random() < 0.5:
                witness.append(WitnessedHead(audit.signed_head(db, now_us), f"w:{done}"))
    with store.reading() as db:
        return replace(read_scene(db), witness=witness, keys=keys, erased=erased)


def _erase_one(audit: Audit, db: Connection, now_us: int) -> dict[str, Any]:
    row = db.execute(text("SELECT * FROM audit_person_keys ORDER BY person")).mappings().first()
    if row is None:
        return {}
    erase(audit, db, row["person"], "ann", "asked for", now_us)
    return dict(row)


def _count(store: Store) -> int:
    with store.reading() as db:
        return int(db.execute(text("SELECT count(*) FROM audit_records")).scalar_one())


def read_scene(db: Connection) -> Scene:
    def all_of(table: str, order: str) -> list[dict[str, Any]]:
        return [dict(row) for row in db.execute(text(f"SELECT * FROM {table} ORDER BY {order}")).mappings()]

    rows, points = all_of("audit_records", "seq"), all_of("audit_checkpoints", "seq")
    people = all_of("audit_person_keys", "key_id")
    postgres = db.dialect.name == "postgresql"
    return Scene(rows, points, all_of("audit_head", "one")[0], people, [], {}, {}, postgres)


# --- rows ---


def put(db: Connection, table: str, key: str, at: Any, values: dict[str, Any]) -> None:
    """Change a row; bytes are stored as text of the same bytes."""
    assert values
    sets, params = [], {"at": at}
    for name, value in values.items():
        sets.append(f"{name} = CAST(:{name} AS TEXT)" if isinstance(value, bytes) else f"{name} = :{name}")
        params[name] = value
    db.execute(text(f"UPDATE {table} SET {', '.join(sets)} WHERE {key} = :at").bindparams(**params))


def add(db: Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    db.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + n for n in row)})"), row)


def drop(db: Connection, table: str, where: str, **params: Any) -> None:
    db.execute(text(f"DELETE FROM {table} WHERE {where}"), params)


def renumber(db: Connection, first: int, last: int, by: int) -> None:
    """Shift records first..last by a step, past each other's numbers."""
    far = 10_000_000
    between = {"a": first, "b": last}
    db.execute(
        text("UPDATE audit_records SET seq = seq + :far WHERE seq BETWEEN :a AND :b"), between | {"far": far}
    )
    moved = {"a": first + far, "b": last + far, "by": by - far}
    db.execute(text("UPDATE audit_records SET seq = seq + :by WHERE seq BETWEEN :a AND :b"), moved)


def flipped(rng: random.Random, value: Any, postgres: bool) -> Any:
    """Return the value with one bit changed: invalid text if the database accepts it."""
    if value is None:
        return "[]"
    if isinstance(value, int):
        bit = rng.choice((*range(12), 20, 40, 61))
        return value ^ (1 << bit)
    data = bytearray(value.encode("utf-8", "surrogatepass"))
    if not data:
        return "x"
    while True:
        at = rng.randrange(len(data))
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        if changed[at] == 0:
            continue
        try:
            return changed.decode("utf-8")
        except UnicodeDecodeError:
            if not postgres:
                return bytes(changed)


# --- forgeries ---


def resigned(
    scene: Scene, first: int, signers: dict[int, TrailSigner], edit: Callable[[dict[str, Any]], None]
) -> Any:
    """Rewrite the trail from a record on: rows, checkpoints and head, as a skilled forger leaves them."""
    rows = [dict(row) for row in scene.rows]
    edit(rows[first - 1])
    prev = scene.rows[first - 2] if first > 1 else None
    link = "0" * 64 if prev is None else seal(prev["hash"], prev["signature"])
    points = [dict(point) for point in scene.points if point["seq"] < first]
    last = points[-1] if points else {"seq": 0, "at_us": 0}
    for row in rows[first - 1 :]:
        signer = signers.get(row["seq"])
        row["prev"] = link
        fields = [row[name] for name in ("seq", "at_us", "who", "what", "subject", "detail", "sealed")]
        row["hash"] = record_hash(link, *fields)
        if signer is not None:
            row["signature"] = signer.sign(signed_of_record(row["hash"]))
        link = seal(row["hash"], row["signature"])
        if checkpoint_due(row["seq"], row["at_us"], row["what"], last["seq"], last["at_us"]):
            key = scene.keys[row["seq"]].key if signer is None else signer.key
            said = TrailHead(scene.chain(), row["seq"], link, row["at_us"], key, "")
            signature = "0" * 128 if signer is None else signer.sign(signed_of_head(said))
            last = {
                "seq": row["seq"],
                "seal": link,
                "at_us": row["at_us"],
                "key": key,
                "signature": signature,
            }
            points.append(last)
    head = scene.head | {
        "seq": len(rows),
        "seal": link,
        "checkpoint_seq": last["seq"],
        "checkpoint_us": last["at_us"],
    }
    return rows, points, head


def replace_all(
    db: Connection, rows: Sequence[Any], points: Sequence[Any], head: dict[str, Any], first: int
) -> None:
    drop(db, "audit_records", "seq >= :first", first=first)
    drop(db, "audit_checkpoints", "seq >= :first", first=first)
    for row in rows:
        if row["seq"] >= first:
            add(db, "audit_records", row)
    for point in points:
        if point["seq"] >= first:
            add(db, "audit_checkpoints", point)
    put(db, "audit_head", "one", 1, {name: value for name, value in head.items() if name != "one"})


def forged(rng: random.Random, scene: Scene, seq: int, signer: TrailSigner) -> dict[str, Any]:
    """Return a record that was never written, made in one of several ways."""
    before = scene.rows[seq - 2]
    others = scene.rows[: seq - 1] + scene.rows[seq:]
    row = dict(rng.choice(others)) | {"seq": seq}
    way = rng.randrange(3)
    if way == 0:
        return row  # a copy, as it is
    row |= {"subject": "case-forged", "prev": seal(before["hash"], before["signature"])}
    if way == 1:
        return row  # changed, with another record's hash and signature
    fields = [row[name] for name in ("seq", "at_us", "who", "what", "subject", "detail", "sealed")]
    row["hash"] = record_hash(row["prev"], *fields)
    row["signature"] = signer.sign(signed_of_record(row["hash"]))
    return row


# --- the tampers: (db, rng, scene) -> the expected report, or None if the draw gives no tamper ---

Tamper = Callable[[Connection, random.Random, Scene], Expected | None]


def flip_record(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    row = rng.choice(scene.rows)
    name = rng.choice(list(row))
    value = flipped(rng, row[name], scene.postgres)
    if name == "seq" and 1 <= value <= scene.last:
        return None
    put(db, "audit_records", "seq", row["seq"], {name: value})
    return Expected(Cause.ALTERED, row["seq"])


def flip_checkpoint(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    point = rng.choice(scene.points)
    name = rng.choice(list(point))
    value = flipped(rng, point[name], scene.postgres)
    seq = point["seq"]
    if name == "seq":
        if value in {one["seq"] for one in scene.points}:
            return None
        seq = min(seq, value) if value >= 1 else seq
    put(db, "audit_checkpoints", "seq", point["seq"], {name: value})
    return Expected(Cause.CHECKPOINT, seq)


def flip_head(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    name = rng.choice(list(scene.head))
    put(db, "audit_head", "one", 1, {name: flipped(rng, scene.head[name], scene.postgres)})
    return Expected(Cause.HEAD, scene.last)


def flip_person_key(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    if not scene.people:
        return None
    person = rng.choice(scene.people)
    name = rng.choice(list(person))
    put(
        db,
        "audit_person_keys",
        "key_id",
        person["key_id"],
        {name: flipped(rng, person[name], scene.postgres)},
    )
    return Expected(Cause.LOST_KEY, _first_sealed(scene, person["key_id"]))


def _first_sealed(scene: Scene, key_id: str) -> int:
    return next(row["seq"] for row in scene.rows if f'["{key_id}",' in (row["sealed"] or ""))


def drop_person_key(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    if not scene.people:
        return None
    key_id = rng.choice(scene.people)["key_id"]
    drop(db, "audit_person_keys", "key_id = :key_id", key_id=key_id)
    return Expected(Cause.LOST_KEY, _first_sealed(scene, key_id))


def delete_records(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    first = rng.randint(1, scene.last)
    last = min(scene.last, first + rng.choice((0, 0, 1, 5)))
    drop(db, "audit_records", "seq BETWEEN :a AND :b", a=first, b=last)
    if last < scene.last and rng.random() < 0.5:
        renumber(db, last + 1, scene.last, first - last - 1)
    return Expected(Cause.CUT_TAIL if last == scene.last else Cause.MISSING, first)


def swap_records(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    a, b = sorted(rng.sample(range(1, scene.last + 1), 2))
    far = 20_000_000
    for old, new in ((a, far), (b, a), (far, b)):
        put(db, "audit_records", "seq", old, {"seq": new})
    return Expected(Cause.REORDERED, a)


def move_record(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    a, b = sorted(rng.sample(range(1, scene.last + 1), 2))
    far = 20_000_000
    if rng.random() < 0.5:  # forward: records in between move up
        put(db, "audit_records", "seq", a, {"seq": far})
        renumber(db, a + 1, b, -1)
        put(db, "audit_records", "seq", far, {"seq": b})
    else:
        put(db, "audit_records", "seq", b, {"seq": far})
        renumber(db, a, b - 1, 1)
        put(db, "audit_records", "seq", far, {"seq": a})
    return Expected(Cause.REORDERED, a)


def insert_record(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    seq = rng.randint(2, scene.last + 1)
    row = forged(rng, scene, seq, new_signer())
    renumber(db, seq, scene.last, 1)
    add(db, "audit_records", row)
    if rng.random() < 0.5:
        put(db, "audit_head", "one", 1, {"seq": scene.last + 1})
    return Expected(Cause.INSERTED, seq)


def overwrite_with_copy(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    a, b = rng.sample(range(1, scene.last + 1), 2)
    put(db, "audit_records", "seq", a, scene.rows[b - 1] | {"seq": a})
    return Expected(Cause.ALTERED, a)


def rewrite_one(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    """One record with another value and a valid hash, signed with another key or not at all."""
    row = dict(rng.choice(scene.rows))
    row["subject"] += "0"
    fields = [row[name] for name in ("seq", "at_us", "who", "what", "subject", "detail", "sealed")]
    row["hash"] = record_hash(row["prev"], *fields)
    if rng.random() < 0.5:
        row["signature"] = new_signer().sign(signed_of_record(row["hash"]))
    put(db, "audit_records", "seq", row["seq"], row)
    return Expected(Cause.ALTERED, row["seq"])


def rewrite_other_key(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    """All records from one on, valid except for the key; or with the old signatures."""
    first = rng.randint(2, scene.last)
    signer = new_signer() if rng.random() < 0.6 else None
    signers = {} if signer is None else dict.fromkeys(scene.keys, signer)

    def edit(row: dict[str, Any]) -> None:
        row["subject"] += "0"

    rows, points, head = resigned(scene, first, signers, edit)
    replace_all(db, rows, points, head, first)
    return Expected(Cause.OTHER_KEY, first)


def rewrite_from_the_beginning(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    """The whole trail with the forger's own key: valid in itself. Only the trusted key reveals it."""
    signer = new_signer()

    def edit(row: dict[str, Any]) -> None:
        detail = {"chain": scene.chain(), "key": signer.key, "every_records": 256, "every_us": 60_000_000}
        row["detail"] = canonical(detail)

    kept = [row for row in scene.rows if row["what"] != "signing key handed over"]
    renumbered = [row | {"seq": k} for k, row in enumerate(kept, 1)]
    forged_scene = replace(scene, rows=renumbered)
    rows, points, head = resigned(forged_scene, 1, dict.fromkeys(range(1, len(kept) + 1), signer), edit)
    replace_all(db, rows, points, head | {"key": signer.key}, 1)
    return Expected(Cause.OTHER_KEY, 1)


def cut_tail(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    """The end is removed; the head is left, or moved back too, or only the witness contradicts."""
    way = rng.randrange(3)
    witnessed = scene.witness[-1].head.seq if scene.witness else 0
    top = (scene.last, scene.points[-1]["seq"], witnessed)[way] - 1
    if top < 1:
        return None
    last = rng.randint(1, top)
    drop(db, "audit_records", "seq > :last", last=last)
    row = scene.rows[last - 1]
    if way:
        points = [point for point in scene.points if point["seq"] <= last]
        point = points[-1] if points else {"seq": 0, "at_us": 0}
        key = scene.keys[last + 1].key
        head = {"seq": last, "seal": seal(row["hash"], row["signature"]), "key": key}
        head |= {"checkpoint_seq": point["seq"], "checkpoint_us": point["at_us"]}
        put(db, "audit_head", "one", 1, head)
    if way == 2:
        drop(db, "audit_checkpoints", "seq > :last", last=last)
        lost = {row["what"] for row in scene.rows[last:]}
        if "personal details erased" in lost:
            return None  # another fault comes first: a lost key without an explanation
    return Expected(Cause.CUT_TAIL, last + 1)


def rewrite_with_the_key(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    """An insider with the key rewrites the end. Only a witness can reveal it."""
    if not scene.witness:
        return None
    first = rng.randint(2, scene.witness[-1].head.seq)

    def edit(row: dict[str, Any]) -> None:
        row["subject"] += "0"

    rows, points, head = resigned(scene, first, scene.keys, edit)
    replace_all(db, rows, points, head, first)
    return Expected(Cause.REWRITTEN, 0, first)


def forge_checkpoint(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    """One checkpoint with another key's signature, one too many, or one missing."""
    way = rng.randrange(3)
    point = dict(rng.choice(scene.points))
    signer = new_signer()
    if way == 0:
        drop(db, "audit_checkpoints", "seq = :seq", seq=point["seq"])
        return Expected(Cause.CHECKPOINT, point["seq"])
    if way == 1:
        free = sorted(set(range(1, scene.last + 3)) - {one["seq"] for one in scene.points})
        point["seq"] = rng.choice(free)
        row = scene.rows[point["seq"] - 1] if point["seq"] <= scene.last else scene.rows[-1]
        point |= {"at_us": row["at_us"], "seal": seal(row["hash"], row["signature"])}
    if rng.random() < 0.5:
        point["key"] = signer.key
    said = TrailHead(scene.chain(), point["seq"], point["seal"], point["at_us"], point["key"], "")
    point["signature"] = signer.sign(signed_of_head(said))
    drop(db, "audit_checkpoints", "seq = :seq", seq=point["seq"])
    add(db, "audit_checkpoints", point)
    return Expected(Cause.CHECKPOINT, point["seq"])


def restore_erased_key(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    """The erased key, from a back-up; under its person's name, or none if the person has a new key."""
    if not scene.erased:
        return None
    taken = scene.erased["person"] in {person["person"] for person in scene.people}
    if taken:
        drop(db, "audit_person_keys", "person = :person", person=scene.erased["person"])
    add(db, "audit_person_keys", scene.erased)
    if not taken:
        return Expected(Cause.LOST_KEY, _erasure(scene))
    new = next(row for row in scene.people if row["person"] == scene.erased["person"])
    return Expected(Cause.LOST_KEY, min(_erasure(scene), _first_sealed(scene, new["key_id"])))


def _erasure(scene: Scene) -> int:
    return next(row["seq"] for row in scene.rows if row["subject"] == scene.erased["key_id"])


def flip_witness(db: Connection, rng: random.Random, scene: Scene) -> Expected | None:
    """A changed line of the witness: it must not be reported as a fault of the trail."""
    if not scene.witness:
        return None
    at = rng.randrange(len(scene.witness))
    head = scene.witness[at].head
    name = rng.choice(("chain", "seq", "seal", "at_us", "key", "signature"))
    changed = replace(head, **{name: flipped(rng, getattr(head, name), True)})
    scene.witness[at] = replace(scene.witness[at], head=changed)
    return Expected(Cause.WITNESS, changed.seq)


TAMPERS: tuple[Tamper, ...] = (
    flip_record,
    flip_checkpoint,
    flip_head,
    flip_person_key,
    drop_person_key,
    delete_records,
    swap_records,
    move_record,
    insert_record,
    overwrite_with_copy,
    rewrite_one,
    rewrite_other_key,
    rewrite_from_the_beginning,
    cut_tail,
    rewrite_with_the_key,
    forge_checkpoint,
    restore_erased_key,
    flip_witness,
)


def attempt(
    store: Store, tamper: Tamper, rng: random.Random, scene: Scene
) -> tuple[Expected, VerifiedTrail | Broken] | None:
    """Tamper, verify, and restore. None if the draw is no tamper, or the database refuses it."""
    scene = replace(scene, witness=list(scene.witness))
    trusted = [scene.keys[1].key]
    with store.engine.connect().execution_options(writes=True) as db:
        driver: Any = db.connection.driver_connection
        if not scene.postgres:
            driver.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            with db.begin() as transaction:
                expected = tamper(db, rng, scene)
                found = verify_in(db, trusted=trusted, witness=scene.witness or None)
                transaction.rollback()
        except DBAPIError:
            return None
        finally:
            if not scene.postgres:
                driver.text_factory = str
    return None if expected is None else (expected, found)


def is_named(expected: Expected, found: VerifiedTrail | Broken) -> bool:
    """Return whether the right record was reported with the right cause."""
    if not isinstance(found, Broken) or found.cause != expected.cause:
        return False
    if expected.within is None:
        return found.seq == expected.seq
    return found.seq <= expected.within <= (found.until or found.seq)
