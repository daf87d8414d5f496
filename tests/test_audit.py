"""The audit trail: its records verify, changes are reported, and erased details are gone."""

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from audit_tampers import BEGIN_US, TAMPERS, attempt, is_named, read_scene, write_trail
from cases_world import nothing, store_with
from stillwatch.cases.audit import AuditError, Broken, Cause, VerifiedTrail
from stillwatch.cases.audit.chain import BEGUN, NO_WITNESS
from stillwatch.cases.audit.erasure import erase, scrub, sealed_about
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.signing import keep_signer, new_signer, open_signer, read_public
from stillwatch.cases.audit.trail import Audit, attach
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.audit.witness import Witness, WitnessedHead, is_vouched, line_of, read_heads, vouch
from stillwatch.cases.store import Store

HOSTILE = (
    "a\x00b",
    "lone \ud800",
    "\u202egpj.exe",
    "<img src=x onerror=alert(1)>",
    "\x1b[2J",
    "x" * 1_000_000,
    "",
)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    with store_with(nothing, tmp_path, request.param) as empty:
        return empty.url.render_as_string(hide_password=False)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(url) as opened:
        attach(opened, tmp_path / "audit.key")
        yield opened


def note(store: Store, k: int = 0, who: str = "ann", **more: object) -> None:
    with store.writing(BEGIN_US + k * 1_000_000) as tx:
        tx.audit(who, "note", f"case-{k}", {"k": k}, **more)  # type: ignore[arg-type]


def sound(store: Store, **more: object) -> VerifiedTrail:
    found = verify(store, **more)  # type: ignore[arg-type]
    assert isinstance(found, VerifiedTrail), found
    return found


@pytest.mark.slow
def test_every_tamper_is_named(store: Store) -> None:
    rng = random.Random(7)
    scene = write_trail(store, store.trail, 60, rng)  # type: ignore[arg-type]
    assert sound(store, trusted=[scene.keys[1].key], witness=scene.witness).pinned
    for tamper in TAMPERS:
        named = 0
        for _ in range(30):
            if (tried := attempt(store, tamper, rng, scene)) is not None:
                assert is_named(*tried), (tamper.__name__, tried)
                named += 1
            if named == 2:
                break
        assert named, f"{tamper.__name__} never came about"
    sound(store)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_every_tamper_is_named_on_many_trails(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    scene = write_trail(store, store.trail, rng.choice((12, 40, 200)), rng)  # type: ignore[arg-type]
    tries = 250 if store.engine.dialect.name == "postgresql" else 1_000  # the database decides little here
    assert tries > 2 * len(TAMPERS)
    for k in range(tries):
        tried = attempt(store, TAMPERS[k % len(TAMPERS)], rng, scene)
        assert tried is None or is_named(*tried), (seed, TAMPERS[k % len(TAMPERS)].__name__, tried)


@pytest.mark.slow
def test_an_empty_trail_is_no_trail(store: Store) -> None:
    found = verify(store)
    assert isinstance(found, Broken)
    assert found.cause is Cause.NO_TRAIL


def test_what_is_rolled_back_leaves_no_record(store: Store) -> None:
    note(store)
    with pytest.raises(ZeroDivisionError), store.writing(BEGIN_US) as tx:
        tx.audit("ann", "note", "case", {"n": tx.audit("ann", "note", "case", {}) or 1 // 0})
    assert sound(store).records == 2
    with store.reading() as db:
        assert [row.what for row in read(db)] == ["note", BEGUN]


@pytest.mark.slow
def test_hostile_names_come_back_as_they_were(store: Store) -> None:
    for k, name in enumerate(HOSTILE):
        with store.writing(BEGIN_US + k) as tx:
            tx.audit(name, name, name, {"name": name}, {name: {"name": name}})
    sound(store)
    with store.reading() as db:
        for row, name in zip(read(db, opened=True), reversed(HOSTILE), strict=False):
            assert (row.who, row.what, row.subject, row.detail) == (name, name, name, {"name": name})
            assert row.personal[0]["name"] == name
        assert [row.subject for row in read(db, subject=HOSTILE[5])] == [HOSTILE[5]]
    with store.writing(BEGIN_US + 99) as tx:
        tx.changed = True
        assert erase(store.trail, tx.db, HOSTILE[5], "ann", "asked", tx.now_us) == 1  # type: ignore[arg-type]
    assert sound(store).erased == ((BEGIN_US + 99, 1),)


def test_erasing_keeps_the_chain_and_drops_the_words(store: Store, tmp_path: Path) -> None:
    for k in range(6):
        note(store, k, personal={f"acct-{k % 2}": {"text": f"canary-{k}"}})
    with store.writing(BEGIN_US + 9_000_000) as tx:
        key = tx.db.execute(text("SELECT key FROM audit_person_keys WHERE person = 'acct-1'")).scalar_one()
        tx.changed = True
        assert erase(store.trail, tx.db, "acct-1", "ann", "asked", tx.now_us) == 3  # type: ignore[arg-type]
    scrub(store.engine)
    assert sound(store).erased == ((BEGIN_US + 9_000_000, 3),)
    with store.reading() as db:
        assert sealed_about(db, "acct-1") == (None, 0)
        told = [one["text"] for row in read(db, opened=True) for one in row.personal]
        assert told == ["canary-4", "canary-2", "canary-0"]
        assert read(db, person="acct-1") == []
    for path in tmp_path.glob("cases.db*"):
        assert key.encode() not in path.read_bytes(), path
    note(store, 20, personal={"acct-1": {"text": "again"}})  # a new key, and no data of the old one
    with store.reading() as db:
        assert [row.personal[0]["text"] for row in read(db, person="acct-1", opened=True)] == ["again"]
    sound(store)


def test_sealed_words_stand_nowhere_in_the_file(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/cases.db") as store:
        attach(store, tmp_path / "audit.key")
        note(store, personal={"acct-1": {"text": "the-canary"}})
    assert all(b"the-canary" not in path.read_bytes() for path in tmp_path.iterdir())


def test_keys_are_handed_over(store: Store, tmp_path: Path) -> None:
    note(store)
    first = store.trail.signer.key  # type: ignore[union-attr]
    audit: Audit = store.trail  # type: ignore[assignment]
    with store.writing(BEGIN_US + 5) as tx:
        tx.changed = True
        audit.hand_over(tx.db, "ann", "yearly", tx.now_us)
    # Another process with the old key's file learns of it: the new key's file waits until it is used.
    note(store, 2)
    assert audit.signer.key != first
    found = sound(store, trusted=[first])
    assert [(span.first, span.last) for span in found.keys] == [(1, 3), (4, 4)]
    assert found.pinned
    assert sound(store, trusted=[audit.signer.key]).pinned
    assert read_public(tmp_path / "audit.key.pub") == audit.signer.key
    assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if ".next" in path.name] == []


def test_a_hand_over_that_was_not_committed_changes_nothing(store: Store, tmp_path: Path) -> None:
    note(store)
    audit: Audit = store.trail  # type: ignore[assignment]
    with pytest.raises(ZeroDivisionError), store.writing(BEGIN_US + 5) as tx:
        audit.hand_over(
            tx.db, "ann", "yearly", tx.now_us // len(audit.hand_over(tx.db, "a", "b", 1).key[64:])
        )
    again = attach(store, tmp_path / "audit.key")
    note(store, 2)
    assert [span.key for span in sound(store).keys] == [again.signer.key]


def test_two_who_rotate_at_once_lose_no_key(store: Store, tmp_path: Path) -> None:
    note(store)
    first, second = Audit(tmp_path / "audit.key"), Audit(tmp_path / "audit.key")
    with store.writing(BEGIN_US + 5) as tx:
        tx.changed = True
        first.hand_over(tx.db, "ann", "yearly", tx.now_us)
    with pytest.raises(ZeroDivisionError), store.writing(BEGIN_US + 6) as tx:
        second.hand_over(
            tx.db, "bob", "yearly", tx.now_us // len(second.hand_over(tx.db, "b", "", 1).key[64:])
        )
    first.take_over()
    assert first.signer.key == open_signer(tmp_path / "audit.key").key
    attach(store, tmp_path / "audit.key")
    note(store, 9)
    assert [span.key for span in sound(store).keys][-1] == first.signer.key


def test_another_key_cannot_go_on(store: Store, tmp_path: Path) -> None:
    note(store)
    attach(store, tmp_path / "other.key")
    with pytest.raises(AuditError, match="put that key's file back"):
        note(store, 2)
    assert sound(store).records == 2


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff" * 99])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "audit.key").write_bytes(content)
    with pytest.raises(AuditError, match=r"audit\.key"):
        open_signer(tmp_path / "audit.key")
    with pytest.raises(AuditError, match=r"audit\.key"):
        read_public(tmp_path / "audit.key")


def test_a_key_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    threads, made = [], []
    for _ in range(8):
        threads.append(threading.Thread(target=lambda: made.append(open_signer(tmp_path / "k").key)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    keep_signer(tmp_path / "k", new_signer())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k", "k.pub"]


@pytest.mark.slow
def test_writers_take_turns(url: str, tmp_path: Path) -> None:
    def work(name: str) -> None:
        with Store(url) as mine:
            attach(mine, tmp_path / "audit.key")
            for k in range(12):
                note(mine, k, who=name)

    threads = [threading.Thread(target=work, args=(f"w{k}",)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(url) as store:
        assert sound(store).records == 37


def test_a_clock_that_goes_back_is_noted(store: Store) -> None:
    note(store, 100)
    note(store, 40)
    assert sound(store).notes == ("the clock went back 60.0 s before record 3",)


# --- witnesses ---


def test_a_witness_gets_what_is_committed(url: str, tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    with Store(url) as store:
        attach(store, tmp_path / "audit.key", path)
        for k in range(5):
            note(store, k * 61)
        with pytest.raises(ZeroDivisionError), store.writing(BEGIN_US + 999 * 1_000_000) as tx:
            tx.audit("ann", "note", "lost", {"n": tx.audit("ann", "note", "lost", {}) or 1 // 0})
        heads = read_heads(path)
        assert all(isinstance(one, WitnessedHead) for one in heads)
        found = sound(store, witness=heads)
        assert found.witnessed is not None
        assert found.witnessed >= 5


def test_a_witness_that_cannot_be_written_is_a_record(store: Store, tmp_path: Path) -> None:
    audit = attach(store, tmp_path / "audit.key", tmp_path / "no" / "heads.jsonl")
    for k in range(4):
        note(store, k * 61)
    with store.reading() as db:
        assert [row.what for row in read(db)].count(NO_WITNESS) == 1
    (tmp_path / "no").mkdir()
    note(store, 400)
    assert audit.witness is not None
    found = sound(store, witness=read_heads(tmp_path / "no" / "heads.jsonl"))
    assert found.witnessed is not None
    assert found.witnessed >= 4


def test_a_line_that_was_cut_short_spoils_no_other(store: Store, tmp_path: Path) -> None:
    note(store)
    path = tmp_path / "heads.jsonl"
    with store.reading() as db:
        head = store.trail.signed_head(db, BEGIN_US)  # type: ignore[union-attr]
    path.write_bytes(line_of(head)[:50].encode())
    Witness(path).add([head])
    found = sound(store, witness=read_heads(path))
    assert found.witnessed == 2
    assert any("is no checkpoint" in sentence for sentence in found.notes)


def test_a_partner_vouches_and_notices_a_rewritten_trail(store: Store, tmp_path: Path) -> None:
    note(store)
    audit: Audit = store.trail  # type: ignore[assignment]
    partner = new_signer()
    keep = Witness(tmp_path / "kept.jsonl")
    with store.reading() as db:
        head = audit.signed_head(db, BEGIN_US)
    taken, refused = vouch([WitnessedHead(head, "a:1")], keep, partner, BEGIN_US)
    assert not refused
    assert is_vouched(taken[0])
    read_back = read_heads(tmp_path / "kept.jsonl")
    assert sound(store, witness=read_back, witness_keys=[partner.key]).witnessed == 2
    for useless in ({"witness": read_back, "witness_keys": [new_signer().key]}, {"witness": []}):
        found = verify(store, **useless)  # type: ignore[arg-type]
        assert isinstance(found, Broken)
        assert (found.cause, "vouches for no record" in found.why) == (Cause.WITNESS, True)

    with store.writing(BEGIN_US) as tx:  # an insider with the key, who corrects all but the exported copies
        scene = read_scene(tx.db)
        tx.db.execute(text("DELETE FROM audit_records WHERE seq > 1"))
        row = scene.rows[0]
        begun = f"{row['hash']}{row['signature']}"
        assert begun
        tx.db.execute(text("UPDATE audit_head SET seq = 1, seal = :seal"), {"seal": scene.rows[1]["prev"]})
        tx.audit("ann", "note", "another", {})
    assert isinstance(verify(store), VerifiedTrail)
    found = verify(store, witness=read_back, witness_keys=[partner.key])
    assert isinstance(found, Broken)
    assert (found.cause, found.until) == (Cause.REWRITTEN, 2)
    with store.reading() as db:
        head = audit.signed_head(db, BEGIN_US)
    _, refused = vouch([WitnessedHead(head, "a:2"), "a:3: is no checkpoint"], keep, partner, BEGIN_US)
    assert len(refused) == 2
    assert "rewritten" in refused[0]


@pytest.mark.slow
def test_a_forged_head_is_not_vouched_for(store: Store, tmp_path: Path) -> None:
    note(store)
    with store.reading() as db:
        head = store.trail.signed_head(db, BEGIN_US)  # type: ignore[union-attr]
    forged = json.loads(line_of(head)) | {"seq": 7}
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(forged) + "\n[[[\n" + json.dumps([1]) + "\n{}\n")
    taken, refused = vouch(read_heads(path), Witness(tmp_path / "kept"), new_signer(), 0)
    assert not taken
    assert len(refused) == 4


# --- a crash at any moment ---


@pytest.mark.slow
@pytest.mark.parametrize("step", ["append", "commit"])
def test_a_crash_leaves_a_sound_trail(tmp_path: Path, step: str) -> None:
    url = f"sqlite:///{tmp_path}/cases.db"
    pid = os.fork()
    if pid == 0:
        _die(url, tmp_path, step)
    os.waitpid(pid, 0)
    with Store(url) as store:
        attach(store, tmp_path / "audit.key", tmp_path / "heads.jsonl")
        note(store, 300)
        found = sound(store, witness=read_heads(tmp_path / "heads.jsonl"))
        assert found.records == (22 if step == "append" else 23)


def _die(url: str, folder: Path, step: str) -> None:
    """Write twenty records, then die in the middle of the next."""
    done: Callable[[int], None] = os._exit
    try:
        store = Store(url)
        attach(store, folder / "audit.key", folder / "heads.jsonl")
        for k in range(20):
            note(store, k * 10)
        with store.writing(BEGIN_US + 250_000_000) as tx:
            tx.audit("ann", "note", "dying", {})
            if step == "append":
                done(9)
        done(9)
    finally:
        done(8)
