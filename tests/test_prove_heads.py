"""Seals and witnesses' statements that a dishonest owner makes up and signs: never *trained* if a condition
is open. Generators, by a seed; a small part of all runs."""

import copy
import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from coin_world import KEY, KEY_IN_SEAL
from prove_mutants import mutant_of_json
from stillwatch.coin import openings
from stillwatch.prove import checker
from stillwatch.prove.coin import leans, seals
from stillwatch.prove.verdict import as_document
from test_prove_seal import SEALED_AT, World

Proof = dict[str, Any]
# the fields in which a valid seal may differ: a smaller alpha, other actors, its own date
OTHER_VALUES = {
    "accounts", "actors", "at", "coins_from", "excluded", "excluded_sha256", "size",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained_proof(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Proof]:
    """A proof that ends in *trained*."""
    world = World(tmp_path_factory.mktemp("heads"))
    sealed = world.seal()
    came = world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))
    return world, json.loads(came.proof.read_text())


def sign_anew(world: World, proof: Proof) -> Proof:
    """As its owner signs it, with a witness that reads nothing."""
    seal = proof["seals"][-1]
    seal["signature"] = world.owner.sign(openings.signed_of_seal(seal))
    word = {"kind": openings.WITNESS, "seal": openings.seal_digest(seal), "at": SEALED_AT}
    word |= {"witness": world.witness.key}
    word["signature"] = world.witness.sign(openings.signed_of_witness(word))
    return proof | {"witnesses": [word, world.naming_word]}


def examined(world: World, proof: Proof) -> Any:
    return checker.proof.examine(proof, world.owner.key, world.trust(), checker.parts)


def is_trained(world: World, proof: Proof) -> bool:
    """Return whether it ends in *trained*. An aborted check does not."""
    try:
        found = examined(world, proof)
    except checker.CANNOT:
        return False
    return bool(found.holds) and any(one["adjusted"] <= found.alpha for one in found.actors.values())


def differing(one: Any, other: Any, place: str = "all of it") -> Iterator[str]:
    """Return the names under which two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            yield from differing(one.get(name, "\0"), other.get(name, "\0"), name)
    elif json.dumps(one) != json.dumps(other):
        yield place


def in_order_of_heads(seal: Any) -> Any:
    """A seal is valid for any order of its heads."""
    heads = seal.get("heads") if isinstance(seal, dict) else None
    return seal | {"heads": sorted(heads, key=json.dumps)} if isinstance(heads, list) else seal


@pytest.mark.slow
def test_a_seal_of_any_other_shape_is_none(trained_proof: tuple[World, Proof]) -> None:
    """A missing or additional name, another type or an invalid value, signed by its owner."""
    world, proof = trained_proof
    assert is_trained(world, sign_anew(world, copy.deepcopy(proof)))
    for k in range(700):
        seal = proof["seals"][-1]
        try:
            data = mutant_of_json(json.dumps(seal).encode(), random.Random(f"13 seal {k}"))
            changed = checker.read_json(data)
            made = sign_anew(world, copy.deepcopy(proof) | {"seals": [proof["seals"][0], changed]})
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            continue  # no document, or nothing that can be signed
        places = {*differing(in_order_of_heads(seal), in_order_of_heads(changed))} - {"signature"}
        assert places <= OTHER_VALUES or not is_trained(world, made), (k, places)


def edits(name: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *edits("keys", [], {}, None, [{}], ["x"], [{"epoch": "1", "commitment": ""}], [[]]),
        *edits("heads", [], {}, None, [{}]),
        *edits("note", "Seen by the court."),
        *edits("number", True, 2.0, 3, 1, 0, "2", 2**64),
        *edits("actors", [], ["x"] * 2, {}, None, [["x"]], [1, 2]),
        *edits(
            "test.base", "relative", "relative sha256:", "relative sha256:later", "a\nb sha256:" + "0" * 64, 7
        ),
        *edits(
            "test.statistics", "overlap", ["overlap"] * 2, ["overlap", "a court's own"], [], {"overlap": 1}
        ),
        *edits("test.most", -1, 0, True, None, 4.0, "400", 10**400),
        *edits("test.samples", 0, -1, True, 1.0, None, 2, 8),
        *edits("test.alpha", 0.4, 0, -1, True, None, "1e-5"),
        *edits("test.exclusion", "", "what the owner leaves out", ["ties"], None),
        *edits("test.more", 1),
        *edits("own_training.coined_answers", "not said", "excluded", "", True, ["none"]),
        *edits("own_training.excluded_sha256", 0, "x", True),
        *edits("own_training.audited_by", "NIST"),
    ],
)
def test_a_seal_that_leaves_a_condition_open_is_never_trained(
    trained_proof: tuple[World, Proof], name: str, value: Any
) -> None:
    world, proof = trained_proof
    made = copy.deepcopy(proof)
    held = made["seals"][-1]
    *way, last = name.split(".")
    for step in way:
        held = held[step]
    assert held.get(last, "nothing") != value or type(held[last]) is not type(value)
    held[last] = value
    if name == "test.base":
        made |= {"base": value, "measured_base": {pair: ["x"] for pair in made["measured"]}}
    assert not is_trained(world, sign_anew(world, made))


WORDS: dict[str, Callable[[World, Proof], Any]] = {
    "more": lambda world, word: word.update(note="and it is true"),
    "less": lambda world, word: word.pop("at"),
    "other kind": lambda world, word: word.update(kind=openings.SEAL),
    "no time zone": lambda world, word: word.update(at="2026-06-01T00:00:00"),
    "late": lambda world, word: word.update(at="2026-07-15T00:00:00Z"),
    "a list": lambda world, word: word.update(at=["2026-06-01T00:00:00Z"]),
    "capitals": lambda world, word: word.update(witness=world.witness.key.upper()),
    "blanks": lambda world, word: word.update(witness=f" {world.witness.key}"),
    "other seal": lambda world, word: word.update(seal="0" * 64),
}


@pytest.mark.parametrize("edit", WORDS)
def test_a_witness_that_signs_something_else_is_none(trained_proof: tuple[World, Proof], edit: str) -> None:
    world, proof = trained_proof
    made = sign_anew(world, copy.deepcopy(proof))
    word = {name: value for name, value in made["witnesses"][0].items() if name != "signature"}
    WORDS[edit](world, word)
    word["signature"] = world.witness.sign(openings.signed_of_witness(word))
    assert not is_trained(world, made | {"witnesses": [word, world.naming_word]})


@pytest.mark.slow
def test_answers_that_are_left_out_of_many_count_as_none(trained_proof: tuple[World, Proof]) -> None:
    """Eight answers are sealed, and of each pair the one is shown that leans to the served answer."""
    world, proof = trained_proof
    made = copy.deepcopy(proof)
    made["seals"][-1]["test"]["samples"] = 8
    assert not is_trained(world, sign_anew(world, made))
    assert "the test that seal 1 fixed" in " ".join(examined(world, sign_anew(world, made)).missing)


@pytest.fixture(scope="module")
def many_accounts(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("ends"), {f"acct-{k}": 8 for k in range(60)}, lambda account: "all")


def best_ends(world: World) -> set[str]:
    """Per account, the canaries up to the largest lean of the innocent's relative (here the innocent)."""
    lines = (world.folder / "acme-7b.jsonl").read_text().splitlines()
    said = {row["prompt"][0]["content"]: row["output"] for row in map(json.loads, lines)}
    kept: set[str] = set()
    for account in {pair.account for pair in world.pairs}:
        mine = sorted((p for p in world.pairs if p.account == account), key=lambda p: p.number)
        leaning = [
            leans.overlap(said[p.messages[0]["content"]], *(a.text for a in p.answers)) * (1 - 2 * p.served)
            for p in mine
        ]
        sums = [0.0, *itertools.accumulate(leaning)]
        kept |= {pair.id for pair in mine[: sums.index(max(sums))]}
    return kept


@pytest.mark.slow
def test_coins_that_end_where_it_suits_are_never_trained(many_accounts: World) -> None:
    """Canaries drawn before their actor was sealed: no gap shows where they end, so they prove nothing.

    Later canaries: the seal's tally has the number per account, so an omitted one is noticed.
    """
    world = many_accounts
    innocent, kept = world.suspect(), best_ends(world)
    sealed = world.seal(lambda pair: "all", naming=None)
    actor = dict(sealed.actors[0])
    actor["pairs"] = openings.in_order(kept, 2)
    actor["accounts"] = sorted({p.account for p in world.pairs if p.id in kept})
    actor["secrets"] = [KEY.secret_of_account(account) for account in actor["accounts"]]
    seal = sealed.seal | {"actors": [openings.actor_commitment(actor)]}
    seal["signature"] = world.owner.sign(openings.signed_of_seal(seal))
    sealed.path.write_bytes(openings.seal_bytes(seal))
    cut = replace(sealed, seal=seal, chain=(sealed.chain[0], seal), actors=(actor,))
    came = world.test(cut, innocent, (world.word(cut),))
    assert came.evidence.found()
    document = as_document((came.evidence,), None, world.read(came))
    assert document["outcome"] == "owner_word"
    assert any("which ends of their coins, suit" in sentence for sentence in document["missing"])
    named = seals.with_actors_of(replace(cut, actors=sealed.actors), 1)
    came = world.test(named, innocent, (world.word(cut),), ("all",))
    assert not came.evidence.found()
    proof = json.loads(came.proof.read_text())
    assert world.read(came).examined.holds
    proof["records"] = [
        one for one in proof["records"] if f"{one['ledger']}/{json.loads(one['leaf'])['n']}" in kept
    ]
    proof["measured"] = {pair: texts for pair, texts in proof["measured"].items() if pair in kept}
    assert "coins of an account are disclosed; since it was named 8 fell" in " ".join(
        examined(world, proof).wrong
    )


def lose_tags(proof: Proof) -> None:
    """An account is claimed to have no canaries, by two leaves that do not enclose it."""
    tag, shown = next(iter(proof["naming"]["later"].items()))
    others = [one for name, one in proof["naming"]["later"].items() if name != tag]
    proof["naming"]["later"][tag] = [others[0][0], others[1][0]]
    assert shown


TAMPERED: dict[str, Callable[[Proof], Any]] = {
    "no naming": lambda proof: proof.update(naming=None),
    "an older kind": lambda proof: (proof.update(kind="stillwatch proof 1"), proof.pop("naming")),
    "the same seal": lambda proof: proof["naming"].update(seal=2),
    "a later seal": lambda proof: proof["naming"].update(seal=3),
    "no seal": lambda proof: proof["naming"].update(seal=0),
    "true": lambda proof: proof["naming"].update(seal=True),
    "a count": lambda proof: next(iter(proof["naming"]["later"].values()))[0].update(coins=3),
    "a tag": lambda proof: next(iter(proof["naming"]["earlier"].values()), [{}]).append(
        {"index": 0, "tag": "0" * 32, "coins": 0, "path": []}
    ),
    "no leaf": lambda proof: proof["naming"].update(later={tag: [] for tag in proof["naming"]["later"]}),
    "other neighbours": lose_tags,
    "other secrets": lambda proof: proof["actors"][0].update(secrets=["00" * 32] * 3),
    "no secrets": lambda proof: proof["actors"][0].pop("secrets"),
    "no throw": lambda proof: proof["records"].pop(),
    "no word on the naming": lambda proof: proof["witnesses"].pop(),
}


@pytest.mark.parametrize("edit", TAMPERED)
def test_actors_whose_naming_is_tampered_with_are_never_trained(
    trained_proof: tuple[World, Proof], edit: str
) -> None:
    world, proof = trained_proof
    assert is_trained(world, proof)
    made = copy.deepcopy(proof)
    TAMPERED[edit](made)
    assert not is_trained(world, made)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ({"keys": [KEY_IN_SEAL, {"epoch": "2", "commitment": "c" * 64}]}, "one key of the coin"),
        ({"coins_from": "2026-01-31T00:00:00Z"}, "its coins count from"),
        ({"tally": {"accounts": 0, "root": openings.root([]), "untagged": 4}}, "some bear no tag"),
    ],
)
def test_a_naming_seal_that_leaves_the_coins_open_is_never_trained(
    trained_proof: tuple[World, Proof], edit: dict[str, Any], sentence: str
) -> None:
    """The owner signs such a first seal, and its witness and the later seals continue from it."""
    world, proof = trained_proof
    made = copy.deepcopy(proof)
    first, last = made["seals"]
    first |= edit
    first["signature"] = world.owner.sign(openings.signed_of_seal(first))
    last["before"] = openings.seal_digest(first)
    words = []
    for word in (sign_anew(world, made)["witnesses"][0], made["witnesses"][1] | {"seal": last["before"]}):
        word.pop("signature")
        words.append(word | {"signature": world.witness.sign(openings.signed_of_witness(word))})
    found = examined(world, made | {"witnesses": words})
    assert any(sentence in one for one in found.missing), found
