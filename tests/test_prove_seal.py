"""Seals and proofs: *trained* only by what an outsider can compute and a third party has dated."""

import base64
import contextlib
import copy
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import stamp_authority
from coin_world import FALLEN_US, KEY, KEY_IN_SEAL, NOW_US, as_begun, name_actors, pair_in, text, write
from stillwatch.cases.audit.signing import open_signer
from stillwatch.cases.stamping import Authority, read_roots, stamp
from stillwatch.cli.main import app
from stillwatch.coin import CoinError, Pair, Throw, openings
from stillwatch.coin.keys import write_key
from stillwatch.coin.ledger import Ledger, files
from stillwatch.coin.verify import Verified, coins, pairs, verify
from stillwatch.prove import Outcome, ProveError, bundle, checker, outcome
from stillwatch.prove.coin import leans, randomise, seals
from stillwatch.prove.coin.actors import by_account, by_ledger
from stillwatch.prove.coin.sealed import run
from stillwatch.prove.proof import Trust
from stillwatch.prove.proven import Proof, proofs_that_hold, read
from stillwatch.prove.suspect import silent
from stillwatch.prove.suspect.named import fixed_name
from stillwatch.prove.suspect.outputs import Outputs
from stillwatch.prove.verdict import as_document
from stillwatch.units import iso

# Ed25519 in plain Python takes milliseconds, and the same few signatures are checked a hundred times.
checker.parts = replace(checker.parts, is_signed=cache(checker.parts.is_signed))

KEYS = {KEY.commitment: KEY}
NAMED_LATER, LATER_US, LATER_STILL = (
    "2026-04-01T00:00:00Z",
    FALLEN_US + 61 * 86_400_000_000,
    "2026-06-02T00:00:00Z",
)
SEALED_AT, RELEASED, LATE = "2026-06-01T00:00:00Z", "2026-07-15", "2026-08-01T00:00:00Z"
TEST = seals.SealedTest(("overlap",), "none", 1e-5, 0.3, 1, 400)
NONE = seals.TrainingStatement("none")


class World:
    """A ledger, its owner, a witness, and suspects that learned from one actor's answers or from none."""

    def __init__(
        self,
        folder: Path,
        accounts: dict[str, int] | None = None,
        actor_of: Callable[[str], str] | None = None,
        test: seals.SealedTest = TEST,
    ) -> None:
        self.folder = folder
        self.owner, self.witness = open_signer(folder / "prove.key"), open_signer(folder / "witness.key")
        self.ledger = folder / "ledger"
        if accounts is None:
            accounts = {f"acct-{k}": 20 for k in range(9)}
        actors = {name: (actor_of or crew_of)(name) for name in accounts}
        write(self.ledger, accounts, throws=True, at_us=FALLEN_US)
        self.naming_word = name_actors(folder, actors, test, self.owner, self.witness)
        write_key(folder / "keys", KEY)
        self.pairs = list(pairs(self.ledger, KEYS))

    def seal(
        self,
        actor_of: Any = None,
        training: seals.TrainingStatement = NONE,
        test: seals.SealedTest = TEST,
        at: str = SEALED_AT,
        naming: int | None = 1,
        verified: Verified | None = None,
    ) -> seals.Sealed:
        """Seal what was drawn; the actors are those of the first seal, or, without `naming`, named now."""
        sealed = seals.make(
            self.folder / "seals",
            self.ledger,
            verified or verify(self.ledger, KEYS),
            [KEY_IN_SEAL],
            coins(self.ledger, KEYS),
            actor_of or crew,
            test,
            training,
            self.owner,
            at,
            key=KEY,
        )
        return sealed if naming is None else seals.with_actors_of(sealed, naming)

    def word(self, sealed: seals.Sealed, at: str = SEALED_AT) -> dict[str, Any]:
        return seals.witness(sealed.path, self.folder / "seen", self.witness, at)

    def suspect(
        self, learned: str = "", name: str = "acme-7b", by: Callable[[Pair], str] | None = None
    ) -> Outputs:
        draw, path = random.Random(name), self.folder / f"{name}.jsonl"
        rows = [
            {
                "model": name,
                "prompt": list(pair.messages),
                "output": pair.answers[pair.served].text
                if learned and (by or crew)(pair) == learned
                else text(draw, 12),
            }
            for pair in self.pairs
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Outputs(path)

    def test(
        self,
        sealed: seals.Sealed,
        suspect: Outputs,
        words: tuple[dict[str, Any], ...] = (),
        disclose: tuple[str, ...] = (),
    ) -> Any:
        out = self.folder / f"out-{time.monotonic_ns()}"
        return run(
            sealed,
            self.ledger,
            coins(self.ledger, KEYS),
            suspect,
            None,
            out,
            statistic=None,
            released=RELEASED,
            witnesses=(*words, self.naming_word) if sealed.naming == 1 else words,
            disclose=disclose,
            tell=silent,
        )

    def trust(self, **other: Any) -> Trust:
        return Trust(**({"witnesses": (self.witness.key,), "released": RELEASED} | other))

    def read(self, came: Any, trust: Trust | None = None) -> Proof:
        return read(came.proof, self.owner.key, trust or self.trust())


def outputs(path: Path, rows: list[dict[str, Any]]) -> Outputs:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Outputs(path)


def crew(pair: Pair | Throw) -> str:
    return f"crew-{int(pair.account.rsplit('-', 1)[1]) // 3}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Any]:
    """A valid test that ends in *trained*."""
    world = World(tmp_path_factory.mktemp("made"))
    sealed = world.seal()
    return world, world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))


# --- the tree ---


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 70), st.data())
def test_every_leaf_leads_to_the_head_and_every_tree_goes_on(n: int, data: st.DataObject) -> None:
    hashes = [openings.leaf_hash(str(k)) for k in range(n)]
    tree, head = openings.levels(hashes), openings.root(hashes)
    at, before = data.draw(st.integers(0, n - 1)), data.draw(st.integers(1, n))
    way = openings.path(tree, at)
    assert openings.leads_to(at, n, hashes[at], way) == head
    assert openings.leads_to(at, n, openings.leaf_hash("x"), way) != head
    for other in {(at + 1) % n, at ^ 1} - {at}:
        with contextlib.suppress(ValueError):
            assert other >= n or openings.leads_to(other, n, hashes[at], way) != head
    earlier, steps = openings.root(hashes[:before]), openings.consistency(hashes, before)
    assert openings.grew(before, earlier, n, head, steps)
    assert not openings.grew(before, openings.root([hashes[0]] * 2 + hashes[:before]), n, head, steps)
    if before < n:
        changed = [openings.leaf_hash("y"), *hashes[1:before]]
        assert not openings.grew(before, openings.root(changed), n, head, steps)


def test_the_tree_is_that_of_rfc_6962() -> None:
    """Test vectors of Certificate Transparency's reference implementation (merkletree tests)."""
    leaves = ["", "\0", "\x10", " !", "01", "@ABC", "PQRSTUVW", "`abcdefghijklmno"]
    data = [one.encode("latin-1") for one in leaves]
    data[2], data[3], data[4] = b"\x10", b"\x20\x21", b"\x30\x31"
    data[5], data[6] = bytes(range(0x40, 0x44)), bytes(range(0x50, 0x58))
    data[7] = bytes(range(0x60, 0x70))
    hashes = [openings.leaf_hash(one.decode("ascii")) for one in data]
    assert openings.root(hashes[:1]) == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert openings.root(hashes) == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_the_exact_tail_is_that_of_every_way_the_coins_can_fall() -> None:
    draw = random.Random(4)
    for n in (3, 9, 12):
        towards = [draw.choice([0.0, draw.gauss(0.3, 1)]) for _ in range(n)] + [1.0]
        counted = leans.levels(towards)
        some = [level for level in counted if level]
        reached = sum(level for level, value in zip(counted, towards, strict=True) if value > 0)
        ways = [sum(level for k, level in enumerate(some) if bits >> k & 1) for bits in range(1 << len(some))]
        assert leans.tail(towards)[2] == pytest.approx(sum(w >= reached for w in ways) / len(ways))
        import numpy as np

        assert counted == randomise.levels(np.array(towards)).tolist()


# --- valid tests ---


@pytest.mark.slow
def test_a_sealed_test_with_a_witness_is_trained(made: tuple[World, Any]) -> None:
    world, came = made
    proof = world.read(came)
    assert proof.examined.holds, proof.examined
    document = as_document((came.evidence,), None, proof)
    assert document["outcome"] == "trained"
    assert proof.examined.tests == 3 * openings.ENDS
    row = came.evidence.rows[0]
    assert (row.name, row.p_adjusted) == (
        "crew-1",
        min(1.0, row.p_value * 3 * openings.ENDS * 6),
    )  # all named accounts, and each end of their canaries; the second seal


def test_what_is_shown_tells_of_no_other_account(made: tuple[World, Any], tmp_path: Path) -> None:
    world, came = made
    written = bundle.write(
        bundle.make((came.evidence,), world.owner, None, None, world.read(came)), tmp_path / "b"
    )
    everything = b"".join(path.read_bytes() for path in written.path.rglob("*") if path.is_file())
    for account in (f"acct-{k}" for k in range(9)):
        assert (account.encode() in everything) == (crew_of(account) == "crew-1"), account
    for name in ("crew-0", "crew-2"):
        assert name.encode() not in everything
    assert KEY.secret.hex().encode() not in everything
    others = [pair for pair in world.pairs if crew(pair) != "crew-1"]
    assert not any(json.loads(pair.opening)["secret"].encode() in everything for pair in others)


def crew_of(account: str) -> str:
    return f"crew-{int(account.rsplit('-', 1)[1]) // 3}"


@pytest.mark.slow
def test_an_outsider_checks_400_pairs_with_a_bare_python(tmp_path: Path) -> None:
    world = World(tmp_path, {f"acct-{k}": 150 for k in range(6)})
    sealed = world.seal()
    came = world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))
    place = bundle.write(
        bundle.make((came.evidence,), world.owner, None, None, world.read(came)), tmp_path / "b.zip"
    )
    shutil.unpack_archive(place.path, tmp_path / "unpacked")
    alone = partial(
        subprocess.run,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin"},
        timeout=60,
    )
    verify_py = next((tmp_path / "unpacked").rglob("verify.py"))
    words = [sys.executable, "-I", "-S", str(verify_py), "--key", world.owner.key]
    told = [*words, "--witness", world.witness.key, "--released", RELEASED]
    begun = time.process_time()
    done = alone(told)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VERDICT: SOUND" in done.stdout
    assert "the verdict is: TRAINED" in done.stdout
    assert time.process_time() - begun < 60
    assert len(came.evidence.rows) == 1
    kinds = [json.loads(one["leaf"])["kind"] for one in json.loads(came.proof.read_text())["records"]]
    assert (kinds.count("pair"), kinds.count("throw")) == (400, 450)  # most; all of the actor's coins
    no_release, early, not_yet = told[:-2], [*told[:-1], "2026-05-30"], [*told[:-1], "2099-01-01"]
    for missing in (told[:4] + told[6:], words, no_release, early, not_yet):
        done = alone(missing)
        assert done.returncode == 1, done.stdout
        assert "VERDICT: SOUND" not in done.stdout
    assert "the verdict is: OWNER WORD" in alone(words).stdout


@pytest.mark.slow
def test_a_time_stamp_serves_as_well(world: World) -> None:
    pytest.importorskip("rfc3161_client")
    sealed = world.seal()
    with stamp_authority.answering(world.folder / "authority") as clock:
        by = Authority(clock.url, read_roots(clock.root))
        answer = stamp(openings.seal_bytes(sealed.seal), by).answer
        other = stamp(b"something else", by).answer
        named_late = stamp(openings.seal_bytes(sealed.chain[0]), by).answer
    sealed.path.with_suffix(seals.STAMP).write_bytes(answer)
    came = world.test(sealed, world.suspect("crew-1"))
    named_by = (world.witness.key,)  # the key that dated the seal with the actors' names
    mine = Trust(str(clock.root), named_by, released="2099-01-01", now="2099-01-02T00:00:00Z")
    assert world.read(came, mine).examined.holds
    sealed.naming_path.with_suffix(seals.STAMP).write_bytes(named_late)
    came = world.test(sealed, world.suspect("crew-1"))
    assert world.read(came, mine).examined.holds
    late = world.read(came, Trust(str(clock.root), released="2099-01-01")).examined
    assert any("its coins count from 2026-02-01T01:00:00+00:00" in sentence for sentence in late.missing)
    late = world.read(came, Trust(stamp_ca=str(clock.root), released="2026-01-01")).examined
    assert not late.holds
    assert not late.wrong
    assert world.read(came, Trust(released="2099-01-01")).examined.missing  # a stamp nobody here trusts
    sealed.path.with_suffix(seals.STAMP).write_bytes(other)  # a stamp replayed
    came = world.test(sealed, world.suspect("crew-1"))
    assert "something else" in " ".join(world.read(came, mine).examined.wrong)


# --- tests that do not end in *trained* ---


def changed(made: tuple[World, Any], edit: Callable[[dict[str, Any]], Any], **trust: Any) -> Any:
    world, came = made
    told = copy.deepcopy(json.loads(came.proof.read_text()))
    edit(told)
    return checker.proof.examine(told, world.owner.key, world.trust(**trust), checker.parts)


def other_ledger(world: World) -> list[dict[str, Any]]:
    place = world.folder / "other"
    if not place.exists():
        write(place, {f"acct-{k}": 20 for k in range(9)}, seed=2)
    mine = [pair for pair in pairs(place, KEYS) if crew(pair) == "crew-1"]
    heads = {"heads": [{"ledger": h.ledger, "size": h.records + 1} for h in verify(place, KEYS).heads]}
    return seals.records_of(mine, heads, place)


def swap_openings(told: dict[str, Any]) -> None:
    one, two = told["records"][:2]
    one["opening"], two["opening"] = two["opening"], one["opening"]


def drop_what_does_not_lean(told: dict[str, Any]) -> None:
    gone = json.loads(told["records"].pop()["leaf"])["n"]
    told["records"] = [one for one in told["records"] if json.loads(one["leaf"])["n"] != gone]
    told["measured"] = {
        pair: said for pair, said in told["measured"].items() if not pair.endswith(f"/{gone}")
    }


def flip(told: dict[str, Any]) -> None:
    within = json.loads(told["records"][0]["opening"])
    within["served"] = 1 - within["served"]
    told["records"][0]["opening"] = json.dumps(within, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    "edit",
    [
        swap_openings,
        flip,
        drop_what_does_not_lean,
        lambda told: told["records"].pop(),
        lambda told: told["records"].append(told["records"][0]),
        lambda told: told["records"][0].update(index=told["records"][0]["index"] + 1),
        lambda told: told["records"][0].update(path=told["records"][0]["path"][:-1]),
        lambda told: told["actors"][0].update(name="crew-9"),
        lambda told: told["actors"][0]["accounts"].append("acct-0"),
        lambda told: told["actors"].append(told["actors"][0]),
        lambda told: told["seals"][0]["actors"].pop(),
        lambda told: told["seals"][0]["heads"][0].update(size=4),
        lambda told: told["seals"][0]["test"].update(alpha=0.5),
        lambda told: told["seals"][0].update(number=2),
        lambda told: told.update(statistic="top"),
        lambda told: told.update(base="base-7b"),
        lambda told: told["witnesses"][0].update(at="2020-01-01T00:00:00Z"),
        lambda told: told["witnesses"][0].update(seal="0" * 64),
    ],
)
def test_what_was_changed_is_found(made: tuple[World, Any], edit: Callable[[dict[str, Any]], Any]) -> None:
    assert changed(made, edit).wrong


def test_pairs_of_another_ledger_are_found(made: tuple[World, Any]) -> None:
    found = changed(made, lambda told: told.update(records=other_ledger(made[0])))
    assert any("is not in the ledger as it was sealed" in sentence for sentence in found.wrong)


def test_a_typed_date_is_no_third_partys_word(made: tuple[World, Any]) -> None:
    """The seal's own `at`, and an unknown witness, count for nothing."""
    for trust in ({"witnesses": ()}, {"witnesses": ("ab" * 32,)}):
        found = changed(made, lambda told: None, **trust)
        assert not found.holds
        assert not found.wrong
        assert "third party" in found.missing[0]


@pytest.mark.slow
def test_an_owner_is_not_its_own_witness(world: World) -> None:
    sealed = world.seal()
    with pytest.raises(ProveError, match="nobody is witness to himself"):
        seals.witness(sealed.path, world.folder / "seen", world.owner, SEALED_AT)
    word = {"kind": openings.WITNESS, "seal": sealed.digest, "at": SEALED_AT, "witness": world.owner.key}
    word["signature"] = world.owner.sign(openings.signed_of_witness(word))
    came = world.test(sealed, world.suspect("crew-1"), (word,))
    assert "the witness is the owner" in world.read(came, Trust(witnesses=(world.owner.key,))).examined.wrong


@pytest.mark.slow
def test_sealed_after_the_release_is_the_owners_word(world: World) -> None:
    sealed = world.seal()
    came = world.test(sealed, world.suspect("crew-1"), (world.word(sealed, at=LATE),))
    proof = world.read(came)
    assert as_document((came.evidence,), None, proof)["outcome"] == "owner_word"
    assert "the suspect was released at" in " ".join(proof.examined.missing)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["not said"])
def test_an_owner_that_says_nothing_of_its_training_is_not_believed(world: World, word: str) -> None:
    sealed = world.seal(training=seals.TrainingStatement(word))
    came = world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))
    assert (
        outcome((came.evidence,), proofs_that_hold((came.evidence,), world.read(came))) is Outcome.OWNER_WORD
    )


@pytest.mark.slow
def test_a_bundle_signed_by_an_unknown_key(made: tuple[World, Any], tmp_path: Path) -> None:
    """A stranger takes the proof and signs it as their own; the seal is another party's."""
    world, came = made
    stranger = open_signer(tmp_path / "k")
    proof = read(came.proof, stranger.key, world.trust())
    assert not proof.examined.holds
    written = bundle.write(bundle.make((came.evidence,), stranger, None, None, proof), tmp_path / "b")
    found = checker.check(written.path, world.owner.key, None, world.witness.key, RELEASED)
    assert not found["sound"]
    assert found["answers"]["signer verified"].startswith("NO")
    found = checker.check(written.path, stranger.key, None, world.witness.key, RELEASED)
    assert found["outcome"] == "owner_word"


def luckiest(world: World, model: str, size: int) -> Callable[[Pair], str]:
    """After looking at a model's answers: the accounts whose draws favoured the owner."""
    said = {
        json.loads(line)["prompt"][0]["content"]: json.loads(line)["output"]
        for line in (world.folder / f"{model}.jsonl").read_text().splitlines()
    }
    falls: dict[str, float] = {}
    for pair in world.pairs:
        lean = leans.overlap(said[pair.messages[0]["content"]], *(a.text for a in pair.answers))
        falls[pair.account] = falls.get(pair.account, 0) + (lean if pair.served == 0 else -lean)
    best = set(sorted(falls, key=lambda name: -falls[name])[:size])
    return lambda pair: "crew-7" if pair.account in best else f"rest-{pair.account}"


@pytest.mark.slow
def test_an_actor_picked_after_looking_is_never_trained(tmp_path: Path) -> None:
    world = World(tmp_path, {f"acct-{k}": 10 for k in range(150)})
    suspect = world.suspect()
    before = world.seal(by_account, naming=None)
    picked = world.seal(luckiest(world, "acme-7b", 40), naming=None)
    came = world.test(picked, suspect, (world.word(before), world.word(picked, at=LATE)))
    assert came.tested[0].name == "crew-7"
    assert came.tested[0].p_value < 1e-5  # the lucky ones, put together
    came = world.test(picked, suspect, (world.word(picked, at=LATE),), ("crew-7",))
    assert not world.read(came).examined.holds
    with pytest.raises(ProveError, match="is no sealed actor"):  # the older seal has no such actor
        world.test(before, suspect, (), ("crew-7",))


@pytest.mark.slow
def test_an_actor_picked_by_a_relative_of_the_suspect_is_never_trained(tmp_path: Path) -> None:
    """An older model with the innocent's preferences selects the accounts. The selection favours the
    innocent's leans for earlier canaries, and not for later ones."""
    world = World(tmp_path, {f"acct-{k}": 4 for k in range(300)})
    draw = random.Random(7)
    rows: dict[str, list[dict[str, Any]]] = {"relative": [], "innocent": []}
    for pair in world.pairs:
        liked = draw.randrange(2)
        for name in rows:
            side = liked if draw.random() < 0.8 else draw.randrange(2)
            rows[name].append(
                {"model": name, "prompt": list(pair.messages), "output": pair.answers[side].text}
            )
    for name, answers in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    best = luckiest(world, "relative", 90)
    innocent = Outputs(tmp_path / "innocent.jsonl")
    later = write(world.ledger, {f"acct-{k}": 4 for k in range(300)}, seed=2, throws=True, at_us=LATER_US)
    begun = as_begun(world.ledger)
    afterwards = world.seal(lambda pair: best(pair)[:4], at=NAMED_LATER, naming=None, verified=begun)
    word = world.word(afterwards, at=NAMED_LATER)
    came = world.test(afterwards, innocent, (word,), ("crew",))
    assert came.tested[0].p_value < 1e-9
    told = as_document((came.evidence,), None, world.read(came))
    assert any("chose the actor" in limit for limit in came.evidence.means_not)
    assert told["outcome"] == "owner_word"
    assert any("named the actors before their coins fell" in sentence for sentence in told["missing"])
    # the same seal names them for later canaries; the innocent leans as its relative does, as before
    world.pairs, rows = later, []
    for pair in world.pairs:
        rows.append({"prompt": list(pair.messages), "output": pair.answers[draw.randrange(2)].text})
    innocent = outputs(tmp_path / "innocent.jsonl", rows)
    fresh = world.seal(lambda pair: best(pair)[:4], at=LATER_STILL, naming=2)
    came = world.test(fresh, innocent, (word, world.word(fresh, at=LATER_STILL)), ("crew",))
    assert {one.pairs for one in came.tested if one.name == "crew"} == {350}  # 90 accounts by 4, to an end
    assert all(one.p_value > 1e-3 for one in came.tested)
    assert as_document((came.evidence,), None, world.read(came))["outcome"] != "trained"


@pytest.mark.slow
def test_one_of_many_sealed_actors_counts_as_one_of_many(tmp_path: Path) -> None:
    """Ten thousand groupings sealed beforehand, so that one of them may be lucky: each of them counts."""
    few = seals.SealedTest(("overlap",), "none", 1e-5, 0.3, 1, 80)
    world = World(tmp_path, {f"acct-{k}": 10 for k in range(150)}, str, few)
    sealed = world.seal(by_account, test=few)
    came = world.test(sealed, world.suspect(), (world.word(sealed),))
    assert min(one.p_adjusted for one in came.tested) > 0.05
    best = min(came.tested, key=lambda one: one.p_value)
    came = world.test(sealed, world.suspect(), (world.word(sealed),), (best.name,))
    got = world.read(came).examined.actors[best.name]
    assert got["adjusted"] == min(1.0, got["p"] * 150 * openings.ENDS * 6)


@pytest.mark.slow
def test_two_statistics_and_later_seals_cost_what_they_allow(tmp_path: Path) -> None:
    two = seals.SealedTest(("overlap", "top"), "none", 1e-5, 0.3, 1, 400)
    world = World(tmp_path, test=two)
    first = world.seal(test=two)
    second = world.seal(test=two)
    world.word(first)
    came = world.test(second, world.suspect("crew-1"), (world.word(second),))
    assert second.seal["before"] == first.digest
    named = 3 + 3  # actors of the first two seals: any of them could have been used
    assert came.evidence.rows[0].p_adjusted == pytest.approx(
        came.evidence.rows[0].p_value * named * 2 * openings.ENDS * 12
    )
    assert world.read(came).examined.holds


@pytest.mark.slow
@pytest.mark.parametrize("liked", [0.0, 0.75])
def test_a_gateway_that_orders_answers_by_what_models_like_is_never_trained(
    tmp_path: Path, liked: float
) -> None:
    """It knows the draw and serves the likelier answer: innocents prefer it, and so does a base.

    A base's lean is subtracted only as far as it predicts the suspect, so the innocent is still found, but
    then the base is found as well.
    """
    weights = f"base-7b sha256:{'b' * 64}"  # of files from before the canaries
    wanted = seals.SealedTest(("overlap",), weights, 1e-5, 0.3, 1, 400)
    world = World(tmp_path, {f"acct-{k}": 60 for k in range(3)}, test=wanted)
    draw, made = random.Random(7), {}
    for name, share in (("base", liked), ("innocent", 0.9)):
        rows = [
            {"prompt": list(pair.messages), "output": pair.answers[side].text}
            for pair in world.pairs
            for side in [pair.served if draw.random() < share else draw.randrange(2)]
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        made[name] = Outputs(path, weights if name == "base" else "")
    sealed = world.seal(test=wanted)
    came = run(
        sealed, world.ledger, coins(world.ledger, KEYS), made["innocent"], made["base"], tmp_path / "out",
        statistic=None, released=RELEASED, witnesses=(world.word(sealed), world.naming_word), disclose=(),
        tell=silent,
    )  # fmt: skip
    assert came.evidence.found()
    proof = world.read(came)
    told = as_document((came.evidence,), None, proof)
    if liked:
        assert told["outcome"] == "owner_word"
        assert "an order that knew the coin" in told["missing"][0]
    else:  # an ignorant base: this suspect did learn
        assert told["outcome"] == "trained"


@pytest.mark.slow
def test_a_base_that_is_made_after_looking_is_never_trained(tmp_path: Path) -> None:
    """It repeats an innocent's answers where those do not suit: these leans are subtracted, others stay."""
    world = World(tmp_path, {f"acct-{k}": 40 for k in range(3)})
    draw, base = random.Random(7), tmp_path / "base.jsonl"
    base.write_text(json.dumps({"prompt": list(world.pairs[0].messages), "output": "nothing"}) + "\n")
    honest, rows = fixed_name(str(base)), {"base": [], "innocent": []}  # type: ignore[var-annotated]
    assert honest == f"base.jsonl sha256:{hashlib.sha256(base.read_bytes()).hexdigest()}"
    for pair in world.pairs:
        side = draw.randrange(2)
        for name in rows:
            hides = name == "base" and side == pair.served
            output = "nothing of either" if hides else pair.answers[side].text
            rows[name].append(json.dumps({"prompt": list(pair.messages), "output": output}))
    for name, lines in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    suspect = Outputs(tmp_path / "innocent.jsonl")
    by_name, by_files = (
        world.seal(test=seals.SealedTest(("overlap",), name, 1e-5, 0.3, 1, 400), naming=None)
        for name in ("base.jsonl", honest)
    )

    def test(sealed: seals.Sealed, made: Outputs, words: tuple[dict[str, Any], ...]) -> Any:
        return run(
            sealed, world.ledger, coins(world.ledger, KEYS), suspect, made, tmp_path / "out",
            statistic=None, released=RELEASED, witnesses=words, disclose=(), tell=silent,
        )  # fmt: skip

    came = test(by_name, Outputs(base), (world.word(by_name),))
    told = as_document((came.evidence,), None, world.read(came))
    assert came.evidence.found()
    assert told["outcome"] == "owner_word"
    assert any("another model can be chosen after looking" in sentence for sentence in told["missing"])
    with pytest.raises(ProveError, match="the seal's base is"):
        test(by_files, Outputs(base, fixed_name(str(base))), ())


def test_a_folder_is_sealed_as_its_files_are(tmp_path: Path) -> None:
    (tmp_path / "m" / "b").mkdir(parents=True)
    for name in ("m/z.bin", "m/b/a.json"):
        (tmp_path / name).write_text(name)
    shell = "find -L . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    listed = subprocess.run(shell, shell=True, cwd=tmp_path / "m", capture_output=True, text=True, check=True)
    assert fixed_name(str(tmp_path / "m")) == f"m sha256:{listed.stdout.split()[0]}"
    assert fixed_name("https://api.acme.example/v1") == "https://api.acme.example/v1"
    assert fixed_name("none") == "none"


@pytest.mark.slow
def test_a_seal_left_out_of_the_chain_is_found(world: World) -> None:
    first, second = world.seal(), world.seal()
    world.word(first)
    came = world.test(second, world.suspect("crew-1"), (world.word(second),))
    told = json.loads(came.proof.read_text())
    del told["seals"][0]
    found = checker.proof.examine(told, world.owner.key, world.trust(), checker.parts)
    assert any("is numbered 2" in sentence for sentence in found.wrong)


@pytest.mark.slow
def test_a_ledger_that_does_not_go_on_from_the_sealed_one_is_found(world: World) -> None:
    first = world.seal()
    shutil.rmtree(world.ledger)
    write(world.ledger, {f"acct-{k}": 20 for k in range(9)}, seed=5, throws=True, at_us=FALLEN_US)  # again
    world.pairs = list(pairs(world.ledger, KEYS))
    second = world.seal()
    came = world.test(second, world.suspect("crew-1"), (world.word(first) and world.word(second),))
    found = read(came.proof, world.owner.key, world.trust()).examined
    assert any("does not go on" in sentence for sentence in found.wrong)


@pytest.mark.slow
def test_a_head_older_than_the_pairs_does_not_hold_them(tmp_path: Path) -> None:
    """Records after the seal cannot be included: their leaves lie beyond the sealed head."""
    world = World(tmp_path)
    sealed = world.seal()
    draw = random.Random(9)
    ledger = Ledger(world.ledger, 0, KEY, None, NOW_US)
    late = [pair_in(ledger, draw, "acct-3") for _ in range(20)]
    ledger.add(late, NOW_US)
    ledger.close(NOW_US)
    came = world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))
    told = json.loads(came.proof.read_text())
    new = [pair for pair in pairs(world.ledger, KEYS) if pair.ledger == ledger.name]
    heads = {"heads": [{"ledger": h.ledger, "size": h.records + 1} for h in verify(world.ledger, KEYS).heads]}
    told["records"] += seals.records_of(new, heads, world.ledger)
    found = checker.proof.examine(told, world.owner.key, world.trust(), checker.parts)
    assert any("is of a ledger that was not sealed" in sentence for sentence in found.wrong)


def test_two_ledgers_of_one_key_are_refused_by_their_witness(tmp_path: Path) -> None:
    """One owner, two ledgers, two chains of seals: a witness of one first seal does not sign another."""
    one = World(tmp_path)
    word = one.word(one.seal())
    two = tmp_path / "two"
    write(two / "ledger", {f"acct-{k}": 20 for k in range(9)}, seed=3)
    other = seals.make(
        two / "seals",
        two / "ledger",
        verify(two / "ledger", KEYS),
        [],
        pairs(two / "ledger", KEYS),
        by_ledger_or_crew,
        TEST,
        NONE,
        one.owner,
        SEALED_AT,
    )
    assert word["seal"] != other.digest
    with pytest.raises(ProveError, match="two ledgers"):
        one.word(other)


def by_ledger_or_crew(pair: Pair) -> str:
    return crew(pair) if by_ledger(pair) == "everybody else" else by_ledger(pair)


def test_a_ledger_of_the_older_format_is_read_and_not_sealed(tmp_path: Path) -> None:
    """As 0.1.0 wrote it: chained lines with salted hashes, and no opening for a single record."""
    from stillwatch.coin.chain import START, canonical, make_line, salted_hash

    head = {
        "kind": "head",
        "format": 1,
        "ledger": "w0-000001",
        "epoch": KEY.epoch,
        "commitment": KEY.commitment,
        "before": None,
        "at": "2026-11-01T00:00:00.000000Z",
        "reader": None,
    }
    lines = [make_line(head, START)]
    for n in range(10):
        salt, texts = bytes(16), (f"one {n}", f"two {n}")
        within = {
            "salt": salt.hex(),
            "account": "a",
            "campaign": None,
            "model": "m",
            "operation": "chat",
            "messages": [{"role": "user", "content": "q"}],
            "answers": [{"text": one, "finish_reason": None} for one in texts],
        }
        line = {
            "kind": "pair",
            "n": n,
            "at": "2026-11-01T00:00:01.000000Z",
            "served": KEY.coin("w0-000001", n),
            "tie": False,
            "tokens": [1, 1],
            "answers": [salted_hash(salt, k, one) for k, one in enumerate(texts)],
            "open": within,
        }
        lines.append(make_line(line, lines[-1]["hash"]))
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "w0-000001.jsonl").write_bytes(b"".join(canonical(line) + b"\n" for line in lines))
    found = list(pairs(tmp_path / "ledger", KEYS))
    assert [one.answers[0].text for one in found] == [f"one {n}" for n in range(10)]
    with pytest.raises(ProveError, match="older format"):
        seals.actors_of(found, by_account, 1, 400)
    changed_line = lines[3] | {
        "open": lines[3]["open"] | {"answers": [{"text": "x", "finish_reason": None}] * 2}
    }
    again = make_line({k: v for k, v in changed_line.items() if k not in ("prev", "hash")}, lines[2]["hash"])
    rest = [again]
    for line in lines[4:]:
        rest.append(make_line({k: v for k, v in line.items() if k not in ("prev", "hash")}, rest[-1]["hash"]))
    path = files(tmp_path / "ledger")[0]
    path.write_bytes(b"".join(canonical(line) + b"\n" for line in [*lines[:3], *rest]))
    with pytest.raises(CoinError, match="answer 0 is not the one"):
        list(pairs(tmp_path / "ledger", KEYS))


@pytest.mark.slow
def test_innocents_are_not_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    sealed = world.seal()
    for k in range(20):
        came = world.test(sealed, world.suspect(name=f"innocent-{k}"), (world.word(sealed),))
        assert came.proof is None
        assert not came.evidence.found()


# --- the verbs ---


def called(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.slow
def test_the_verbs_from_a_ledger_to_a_bundle(world: World, tmp_path: Path) -> None:
    at = ("--ledger", world.ledger, "--key", tmp_path / "keys")
    places = (world.ledger, "--key", tmp_path / "keys")
    done = called("coin", "exclude", *places, "--out", tmp_path / "hashes.txt")
    assert done.exit_code == 0, done.output
    listed = (tmp_path / "hashes.txt").read_text().split()
    assert len(listed) == len(set(listed)) == 2 * len(world.pairs)
    (tmp_path / "short.txt").write_text("\n".join(listed[1:]))
    (tmp_path / "actors.json").write_text(json.dumps({f"acct-{k}": f"crew-{k // 3}" for k in range(9)}))
    sealing = (
        "coin",
        "seal",
        *places,
        "--actors",
        tmp_path / "actors.json",
        "--signing-key",
        tmp_path / "prove.key",
        "--out",
        tmp_path / "seals",
        "--own-training",
        "excluded",
        "--effect",
        0.3,
    )
    assert called(*sealing).exit_code == 2
    refused = called(*sealing, "--excluded", tmp_path / "short.txt")
    assert refused.exit_code == 2
    assert "1 coined answers are not in it" in refused.output
    done = called(*sealing, "--excluded", tmp_path / "hashes.txt", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["tests"] == 3
    (tmp_path / "naming.json").write_text(json.dumps(world.naming_word))
    seal = tmp_path / "seals" / "0002.json"
    assert seal.with_suffix(seals.PRIVATE).stat().st_mode & 0o077 == 0
    assert b"acct-" not in seal.read_bytes()
    done = called(
        "coin",
        "witness",
        seal,
        "--signing-key",
        tmp_path / "witness.key",
        "--kept",
        tmp_path / "seen",
        "--out",
        tmp_path / "word.json",
    )
    assert done.exit_code == 0, done.output
    world.suspect("crew-1")
    released = iso(time.time_ns() // 1000, "microseconds")  # a moment after the witness signed
    testing = (
        "prove",
        "coin",
        *at,
        "--suspect",
        tmp_path / "acme-7b.jsonl",
        "--seal",
        seal,
        "--naming-seal",
        1,
        "--witness-word",
        tmp_path / "naming.json",
        "--witness-word",
        tmp_path / "word.json",
        "--released",
        released,
        "--signing-key",
        tmp_path / "prove.key",
    )
    done = called(*testing, "--out", tmp_path / "t", "--witness", world.witness.key, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["outcome"] == "trained"
    assert called(*testing, "--only", "crew-1", "--out", tmp_path / "u").exit_code == 2
    done = called(
        "prove",
        "verdict",
        tmp_path / "t" / "evidence.json",
        "--out",
        tmp_path / "v",
        "--bundle",
        tmp_path / "b.zip",
        "--signing-key",
        tmp_path / "prove.key",
        "--witness",
        world.witness.key,
        "--released",
        released,
    )
    assert done.exit_code == 0, done.output
    assert "was trained on answers served to crew-1" in done.output
    check = ("prove", "verify", tmp_path / "b.zip", "--key", world.owner.key)
    done = called(*check, "--witness", world.witness.key, "--released", released)
    assert done.exit_code == 0, done.output
    assert called(*check, "--witness", world.witness.key).exit_code == 1  # a release that the sender chose
    assert called(*check).exit_code == 1
    assert "OWNER WORD" in called(*check).output
    done = called(
        "prove",
        "verdict",
        tmp_path / "t" / "evidence.json",
        "--out",
        tmp_path / "w",
        "--signing-key",
        tmp_path / "prove.key",
    )
    assert json.loads((tmp_path / "w" / "verdict.json").read_text())["outcome"] == "owner_word"
    assert "missing: a third party's word" in done.output


def test_evidence_that_says_more_than_its_proof_is_refused(made: tuple[World, Any], tmp_path: Path) -> None:
    from dataclasses import replace

    world, came = made
    proof = world.read(came)
    for row in (replace(came.evidence.rows[0], p_value=1e-30), replace(came.evidence.rows[0], n=400)):
        with pytest.raises(ProveError, match=r"comes out|lean to the served"):
            as_document((replace(came.evidence, rows=(row,)),), None, proof)
    with pytest.raises(ProveError, match="another proof"):
        as_document((replace(came.evidence, proof_sha256="0" * 64),), None, proof)
    typed = replace(came.evidence, proof_sha256="")
    assert as_document((typed,), None)["outcome"] == "owner_word"


def test_answers_measured_in_another_way_are_computed_again(made: tuple[World, Any]) -> None:
    """A forger who controls everything else changes the suspect's answers; the rows no longer match."""

    def edit(told: dict[str, Any]) -> None:
        told["measured"] = {pair: ["nothing of either"] for pair in told["measured"]}

    assert changed(made, edit).actors["crew-1"]["n"] == 0
    assert changed(made, lambda told: told.update(measured={})).actors["crew-1"]["p"] == 1.0
    assert changed(made, lambda told: told["seals"][0]["test"].update(samples=0)).wrong


@pytest.mark.slow
def test_who_leaves_out_what_does_not_lean_his_way_gains_nothing(
    made: tuple[World, Any], world: World
) -> None:
    """A fifth of an innocent's pairs, those that lean away, are claimed not to be measurable."""
    sealed = world.seal(lambda pair: "all", naming=None)
    came = world.test(sealed, world.suspect(), (world.word(sealed),), ("all",))
    told = json.loads(came.proof.read_text())
    before = checker.proof.examine(told, world.owner.key, world.trust(), checker.parts).actors["all"]
    lean = {
        pair.id: leans.overlap(told["measured"][pair.id][0], *(answer.text for answer in pair.answers))
        * (1 if pair.served == 0 else -1)
        for pair in world.pairs
    }
    for worst in sorted(lean, key=lambda name: lean[name])[:36]:
        del told["measured"][worst]
    after = checker.proof.examine(told, world.owner.key, world.trust(), checker.parts).actors["all"]
    assert after["p"] >= before["p"]


@pytest.mark.slow
def test_a_seal_with_a_generous_alpha_proves_nothing(tmp_path: Path) -> None:
    generous = seals.SealedTest(("overlap",), "none", 0.4, 0.3, 1, 400)
    world = World(tmp_path, test=generous)
    sealed = world.seal(test=generous)
    came = world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))
    assert any("an alpha of" in sentence for sentence in world.read(came).examined.missing)


def test_more_answers_than_sealed_are_refused(made: tuple[World, Any]) -> None:
    with pytest.raises(ValueError, match="2 answers of the suspect, 1 are sealed"):
        changed(made, lambda told: told["measured"].update({k: v * 2 for k, v in told["measured"].items()}))


def test_base64_that_is_none_is_refused(made: tuple[World, Any]) -> None:
    world, came = made
    told = json.loads(came.proof.read_text()) | {"stamp": base64.b64encode(b"0").decode()}
    trust = Trust(stamp_ca=__file__, witnesses=(world.witness.key,))
    assert checker.proof.examine(told, world.owner.key, trust, checker.parts).wrong
