"""Seals and witnesses' words that a dishonest owner makes up and signs: never *trained* where a condition is
left open. Generators, by a seed; a small part of what was run."""

import copy
import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prove_mutants import mutant_of_json
from stillwatch.coin import openings
from stillwatch.prove import checker, report
from stillwatch.prove.coin import leans
from stillwatch.prove.verdict import as_document
from test_prove_seal import SEALED_AT, World

Proof = dict[str, Any]
# what a seal may say otherwise and still be one: a smaller alpha, other actors, its own date
OTHER_VALUES = {
    "actors", "alpha", "at", "commitment", "effect", "epoch", "excluded", "excluded_sha256", "keys", "most",
    "places", "size",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained_proof(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Proof]:
    """A proof that ends in *trained*."""
    world = World(tmp_path_factory.mktemp("heads"))
    sealed = world.seal()
    came = world.test(sealed, world.suspect("crew-1"), (world.word(sealed),))
    return world, json.loads(came.proof.read_text())


def sign_anew(world: World, proof: Proof) -> Proof:
    """As its owner signs it, and a witness that reads nothing."""
    seal = proof["seals"][-1]
    seal["signature"] = world.owner.sign(openings.signed_of_seal(seal))
    word = {"kind": openings.WITNESS, "seal": openings.seal_digest(seal), "at": SEALED_AT}
    word |= {"witness": world.witness.key}
    return proof | {"witnesses": [word | {"signature": world.witness.sign(openings.signed_of_witness(word))}]}


def is_trained(world: World, proof: Proof) -> bool:
    """Whether it ends in *trained*. What breaks the checker off does not."""
    try:
        found = checker.proof.examine(proof, world.owner.key, world.trust(), checker.parts)
    except checker.CANNOT:
        return False
    return bool(found.holds) and any(one["adjusted"] <= found.alpha for one in found.actors.values())


def differing(one: Any, other: Any, place: str = "all of it") -> Iterator[str]:
    """The names under which two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            yield from differing(one.get(name, "\0"), other.get(name, "\0"), name)
    elif json.dumps(one) != json.dumps(other):
        yield place


@pytest.mark.slow
def test_a_seal_of_any_other_shape_is_none(trained_proof: tuple[World, Proof]) -> None:
    """A name more or less, another type or a value that is none: whatever its owner signs."""
    world, proof = trained_proof
    assert is_trained(world, sign_anew(world, copy.deepcopy(proof)))
    for k in range(700):
        seal = proof["seals"][-1]
        try:
            data = mutant_of_json(json.dumps(seal).encode(), random.Random(f"13 seal {k}"))
            changed = checker.read_json(data)
            made = sign_anew(world, copy.deepcopy(proof) | {"seals": [changed]})
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            continue  # no document, or nothing that can be signed
        places = {*differing(seal, changed)} - {"signature"}
        assert places <= OTHER_VALUES or not is_trained(world, made), (k, places)


def edits(name: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *edits("keys", [], {}, None, [{}], ["x"], [{"epoch": "1", "commitment": ""}], [[]]),
        *edits("heads", [], {}, None, [{}]),
        *edits("note", "Seen by the court."),
        *edits("number", True, 1.0, 2, 0, "1", 2**64),
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
    assert not is_trained(world, made | {"witnesses": [word]})


@pytest.mark.slow
def test_answers_that_are_left_out_of_many_count_as_none(trained_proof: tuple[World, Proof]) -> None:
    """Eight answers are sealed, and of each pair the one is shown that leans to what was served."""
    world, proof = trained_proof
    made = copy.deepcopy(proof)
    made["seals"][-1]["test"]["samples"] = 8
    assert not is_trained(world, sign_anew(world, made))
    for pair, texts in made["measured"].items():
        made["measured"][pair] = texts * 8
    assert is_trained(world, sign_anew(world, made))


@pytest.mark.slow
def test_coins_that_end_where_it_suits_convict_an_innocent(tmp_path: Path) -> None:
    """Of each account the coins up to where an older model of the makers leans most: no gap shows it.

    What nobody can compute is said, in the verdict and by the checker. A seal that named the accounts before
    their coins fell would not help: the ends are chosen afterwards.
    """
    world = World(tmp_path, {f"acct-{k}": 8 for k in range(60)})
    innocent = world.suspect()
    said = {json.loads(line)["prompt"][0]["content"]: json.loads(line)["output"]
            for line in (tmp_path / "acme-7b.jsonl").read_text().splitlines()}  # fmt: skip
    kept: list[str] = []
    for account in sorted({pair.account for pair in world.pairs}):
        mine = sorted((p for p in world.pairs if p.account == account), key=lambda p: p.number)
        leaning = [
            leans.overlap(said[p.messages[0]["content"]], *(a.text for a in p.answers)) * (1 - 2 * p.served)
            for p in mine
        ]
        sums = [0.0, *itertools.accumulate(leaning)]
        kept += [pair.id for pair in mine[: sums.index(max(sums))]]
    sealed = world.seal(lambda pair: "all")
    actor = dict(sealed.actors[0])
    actor["pairs"] = openings.in_order(kept, 1)
    actor["accounts"] = sorted({p.account for p in world.pairs if p.id in set(kept)})
    seal = sealed.seal | {"actors": [openings.actor_commitment(actor)]}
    seal["signature"] = world.owner.sign(openings.signed_of_seal(seal))
    sealed.path.write_bytes(openings.seal_bytes(seal))
    cut = replace(sealed, seal=seal, chain=(seal,), actors=(actor,))
    came = world.test(cut, innocent, (world.word(cut),))
    proof = world.read(came)
    document = as_document((came.evidence,), None, proof)
    assert document["outcome"] == "trained"
    assert report.CHOSEN in document["means_not"]
    assert "their coins end" in report.CHOSEN
    assert any("not picked by a relative" in line for line in checker.sealed_lines(proof.examined))
