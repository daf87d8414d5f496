"""Canaries without a pair: an owner, its clients or a kill cannot use them to select which pairs count.

The innocent suspect prefers one of two answers, as all models do: the later one by the alphabet. Pairs in
which the other one was served are lost in one way or another. The rest convicts the innocent if the lost ones
are ignored.
"""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coin_world import FALLEN_US, KEY, KEY_IN_SEAL, name_actors, pair_in, throw_of
from stillwatch.cases.audit.signing import open_signer
from stillwatch.coin import CoinError, Pair, Throw, Unpaired, openings
from stillwatch.coin.keys import write_key
from stillwatch.coin.ledger import Ledger, files
from stillwatch.coin.verify import Head, Verified, coins, pairs, verify
from stillwatch.prove import ProveError, checker, planner
from stillwatch.prove.coin import leans, seals
from stillwatch.prove.coin.actors import by_account
from stillwatch.prove.coin.sealed import run
from stillwatch.prove.proof import Trust
from stillwatch.prove.suspect import silent
from stillwatch.prove.suspect.outputs import Outputs

KEYS = {KEY.commitment: KEY}
AT, RELEASED = "2026-06-01T00:00:00Z", "2026-07-15"
MANY = 240  # coins
TEST = seals.SealedTest(("overlap",), "none", 1e-5, 0.3, 1, MANY)
Lost = Callable[[Pair], bool]
Write = Callable[[Ledger, list[Pair], Lost], None]


def suits(pair: Pair) -> bool:
    """Return whether the innocent leans to the served answer."""
    return pair.answers[pair.served].text == max(answer.text for answer in pair.answers)


def unpaired(ledger: Ledger, made: list[Pair], lost: Lost) -> None:
    """A gateway that reports for a pair that its second answer failed."""
    none = {pair.id: Unpaired(ledger.name, pair.number, FALLEN_US, "second answer: 429") for pair in made}
    ledger.add(
        [one for pair in made for one in (throw_of(pair), none[pair.id] if lost(pair) else pair)], FALLEN_US
    )
    ledger.close(FALLEN_US)


def killed(ledger: Ledger, made: list[Pair], lost: Lost) -> None:
    """A gateway that dies whenever an unsuitable canary is in progress."""
    ledger.add([one for pair in made for one in (throw_of(pair), *([] if lost(pair) else [pair]))], FALLEN_US)
    ledger.add([Throw(ledger.name, ledger.number(), FALLEN_US + MANY, "somebody else")], FALLEN_US)
    ledger.abandon()


class Owner:
    """An owner with a ledger of one campaign and one innocent suspect."""

    def __init__(self, folder: Path, writes: Write, lost: Lost) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.ledger = folder, folder / "ledger"
        self.signer, self.witness = open_signer(folder / "prove.key"), open_signer(folder / "witness.key")
        crew = {f"acct-{k}": "crew" for k in range(3)}
        Ledger(self.ledger, 0, KEY, None, FALLEN_US).close(FALLEN_US)
        ledger, draw = Ledger(self.ledger, 0, KEY, None, FALLEN_US), random.Random(5)
        self.made = [pair_in(ledger, draw, f"acct-{k % 3}", at_us=FALLEN_US) for k in range(MANY)]
        writes(ledger, self.made, lost)
        self.naming_word = name_actors(folder, crew, TEST, self.signer, self.witness)
        write_key(folder / "keys", KEY)

    def seal(self, kept: Callable[[Throw | Pair], bool] | None = None) -> seals.Sealed:
        """Seal what was drawn since the crew was named; `kept`: the part of it that the owner lists later."""
        some = (one for one in coins(self.ledger, KEYS) if kept is None or kept(one))
        sealed = seals.make(
            self.folder / "seals", self.ledger, verify(self.ledger, KEYS), [KEY_IN_SEAL], some,
            lambda pair: "crew", TEST, seals.TrainingStatement("none"), self.signer, AT, key=KEY,
        )  # fmt: skip
        return sealed if kept else seals.with_actors_of(sealed, 1)

    def suspect(self, says: Callable[[Pair], str]) -> Outputs:
        rows = [{"prompt": list(pair.messages), "output": says(pair)} for pair in self.made]
        path = self.folder / "acme.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Outputs(path)

    def test(self, sealed: seals.Sealed, suspect: Outputs, found: list[Throw | Pair] | None = None) -> Any:
        word = seals.witness(sealed.path, self.folder / "seen", self.witness, AT)
        return run(
            sealed, self.ledger, found or coins(self.ledger, KEYS), suspect, None,
            self.folder / f"out-{sealed.seal['number']}",
            statistic=None, released=RELEASED, witnesses=[word, self.naming_word], disclose=("crew",),
            tell=silent,
        )  # fmt: skip

    def examined(self, came: Any, edit: Callable[[dict[str, Any]], Any] = lambda told: None) -> Any:
        told = json.loads(came.proof.read_text())
        edit(told)
        trust = Trust(witnesses=(self.witness.key,), released=RELEASED)
        return checker.proof.examine(told, self.signer.key, trust, checker.parts)


def liked(pair: Pair) -> str:
    return max(answer.text for answer in pair.answers)


def served(pair: Pair) -> str:
    return pair.answers[pair.served].text


def unlucky(pair: Pair) -> bool:
    """A third of the unsuitable pairs are lost."""
    return not suits(pair) and random.Random(pair.id).random() < 0.34


@pytest.mark.slow
@pytest.mark.parametrize("writes", [unpaired, killed])
def test_pairs_that_get_lost_where_they_do_not_suit_convict_nobody(tmp_path: Path, writes: Write) -> None:
    owner = Owner(tmp_path, writes, lambda pair: not suits(pair))
    held = list(pairs(owner.ledger, KEYS))
    assert len(held) > MANY / 3
    towards = [leans.overlap(liked(pair), served(pair), min(a.text for a in pair.answers)) for pair in held]
    assert leans.tail(towards)[2] < 1e-20  # the p-value of the pairs alone
    came = owner.test(owner.seal(), owner.suspect(liked))
    (row,) = came.tested
    assert (row.pairs, row.unpaired) == (MANY, MANY - len(held))
    assert row.p_value > 0.05
    found = owner.examined(came)
    assert found.holds  # all is valid: the innocent is just not found
    assert found.unpaired == MANY - len(held)
    assert found.actors["crew"]["p"] == row.p_value
    assert not came.evidence.found()


@pytest.mark.slow
@pytest.mark.parametrize("writes", [unpaired, killed])
def test_what_is_left_out_of_the_seal_is_found(tmp_path: Path, writes: Write) -> None:
    """The owner seals the suitable pairs, and omits the other canaries of these accounts."""
    owner = Owner(tmp_path, writes, lambda pair: not suits(pair))
    held = {pair.id for pair in pairs(owner.ledger, KEYS)}
    came = owner.test(owner.seal(lambda one: one.id in held), owner.suspect(liked))
    assert came.evidence.found()
    found = owner.examined(came)
    assert any("left out of what was sealed" in sentence for sentence in found.wrong)


@pytest.mark.slow
def test_pairs_that_are_there_and_left_out_of_the_seal_are_found(tmp_path: Path) -> None:
    """No record is lost; the owner seals the suitable canaries."""
    owner = Owner(tmp_path, unpaired, lambda pair: False)
    good = {pair.id for pair in owner.made if suits(pair)}
    came = owner.test(owner.seal(lambda one: one.id in good), owner.suspect(liked))
    assert came.evidence.found()
    assert any("left out of what was sealed" in sentence for sentence in owner.examined(came).wrong)


@pytest.mark.slow
def test_the_lines_of_the_throws_cannot_be_kept_back(tmp_path: Path) -> None:
    """Neither for all canaries (then the owner's word), nor for some, nor for those said to have no pair."""
    owner = Owner(tmp_path, unpaired, unlucky)
    came = owner.test(owner.seal(), owner.suspect(served))

    def without(told: dict[str, Any], which: Callable[[dict[str, Any]], bool]) -> None:
        told["records"] = [one for one in told["records"] if not which(json.loads(one["leaf"]))]

    def all_throws(told: dict[str, Any]) -> None:
        without(told, lambda leaf: leaf["kind"] == "throw")

    def one_throw(told: dict[str, Any]) -> None:
        without(told, lambda leaf: leaf["kind"] == "throw" and leaf["n"] == owner.made[0].number)

    assert owner.examined(came).holds
    assert owner.examined(came, all_throws).wrong  # canaries without a pair are no longer disclosed
    assert owner.examined(came, one_throw).wrong
    whole = Owner(tmp_path / "whole", unpaired, lambda pair: False)
    came = whole.test(whole.seal(), whole.suspect(served))
    assert whole.examined(came).holds
    assert whole.examined(came, all_throws).wrong
    came = whole.test(whole.seal(lambda one: True), whole.suspect(served))
    found = whole.examined(came, all_throws)
    assert "whose the coins without two answers were" in found.missing[1]


@pytest.mark.slow
def test_a_pair_that_is_not_shown_counts_against(tmp_path: Path) -> None:
    owner = Owner(tmp_path, unpaired, lambda pair: False)
    came = owner.test(owner.seal(), owner.suspect(liked))
    before = owner.examined(came).actors["crew"]["p"]

    def hide(told: dict[str, Any]) -> None:
        hidden = {pair.number for pair in owner.made if not suits(pair)}
        told["records"] = [
            one
            for one in told["records"]
            if (leaf := json.loads(one["leaf"]))["kind"] == "throw" or leaf["n"] not in hidden
        ]

    assert owner.examined(came, hide).actors["crew"]["p"] >= before


@pytest.mark.slow
def test_a_student_is_found_though_some_coins_come_to_nothing(tmp_path: Path) -> None:
    owner = Owner(tmp_path, unpaired, lambda pair: random.Random(pair.id).random() < 0.1)
    came = owner.test(owner.seal(), owner.suspect(served))
    assert came.evidence.found()
    assert owner.examined(came).holds


@pytest.mark.slow
def test_ties_count_for_nothing_and_are_shown(tmp_path: Path) -> None:
    """An owner that reports a pair as a tie would have to show two equal answers."""

    def tied(ledger: Ledger, made: list[Pair], lost: Lost) -> None:
        same = [
            Pair(p.ledger, p.number, p.at_us, p.account, p.model, p.messages, (p.answers[0],) * 2, p.served)
            if lost(p)
            else p
            for p in made
        ]
        ledger.add([one for pair in same for one in (throw_of(pair), pair)], FALLEN_US)
        ledger.close(FALLEN_US)

    owner = Owner(tmp_path, tied, lambda pair: pair.number % 4 == 0)
    came = owner.test(owner.seal(), owner.suspect(served))
    assert (came.tested[0].pairs, came.tested[0].unpaired) == (MANY * 3 // 4, 0)
    assert owner.examined(came).holds


def test_a_throw_for_another_account_is_no_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, 0, KEY, None, FALLEN_US)
    pair = pair_in(ledger, random.Random(1), "acct-1")
    ledger.add([Throw(ledger.name, pair.number, FALLEN_US, "acct-2"), pair], FALLEN_US)
    ledger.close(FALLEN_US)
    with pytest.raises(CoinError, match="another account than the one that its coin was thrown for"):
        list(pairs(tmp_path, KEYS))


@pytest.mark.slow
def test_throws_that_were_written_after_their_pairs_are_found(tmp_path: Path) -> None:
    """A canary's account must be recorded before its answers: here an owner had already seen them."""

    def late(ledger: Ledger, made: list[Pair], lost: Lost) -> None:
        ledger.add([one for pair in made for one in (pair, throw_of(pair))], FALLEN_US)
        ledger.close(FALLEN_US)

    owner = Owner(tmp_path, late, lambda pair: False)
    path = files(owner.ledger)[-1]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    made = {pair.number: pair for pair in owner.made}
    found: list[Throw | Pair] = []
    for index, line in enumerate(lines):
        at = {"opening": line.get("open", ""), "leaf": openings.leaf_of(line), "index": index}
        if line["kind"] in ("pair", "throw"):
            one = made[line["n"]] if line["kind"] == "pair" else throw_of(made[line["n"]])
            found.append(replace(one, **at))
    tree = openings.root([openings.leaf_hash(openings.leaf_of(line)) for line in lines])
    head = Head(path.stem, len(lines) - 1, lines[-1]["hash"], tree)
    first = verify(owner.ledger / "w0-000001.jsonl", KEYS).heads[0]
    sealed = seals.make(
        tmp_path / "seals", owner.ledger, Verified((first, head), (), MANY, 0, 0, 0, (), 0), [KEY_IN_SEAL],
        found, lambda pair: "crew", TEST,
        seals.TrainingStatement("none"), owner.signer, AT,
    )  # fmt: skip
    came = owner.test(sealed, owner.suspect(served), found)
    assert came.evidence.found()
    assert any("or after it" in sentence for sentence in owner.examined(came).wrong)


def test_a_coin_is_thrown_once_and_before_its_record(tmp_path: Path) -> None:
    for folder, order in ((tmp_path / "a", "tt"), (tmp_path / "b", "pt")):
        ledger = Ledger(folder, 0, KEY, None, FALLEN_US)
        pair = pair_in(ledger, random.Random(1), "acct-1")
        ledger.add([throw_of(pair) if kind == "t" else pair for kind in order], FALLEN_US)
        with pytest.raises(CoinError, match="has a record already"):
            verify(folder, KEYS)


@pytest.mark.slow
def test_ledgers_of_before_are_sealed_and_stay_the_owners_word(tmp_path: Path) -> None:

    def older(ledger: Ledger, made: list[Pair], lost: Lost) -> None:
        ledger.add(made, FALLEN_US)
        ledger.close(FALLEN_US)

    owner = Owner(tmp_path / "new", older, lambda pair: False)
    came = owner.test(owner.seal(lambda one: True), owner.suspect(served))
    assert came.evidence.found()
    found = owner.examined(came)
    assert not found.wrong
    assert len(found.missing) == 2
    # with both kinds in one folder, the canaries with complete records are sealed
    draw, ledger = random.Random(2), Ledger(owner.ledger, 0, KEY, None, FALLEN_US)
    unpaired(ledger, [pair_in(ledger, draw, "acct-0") for _ in range(20)], lambda pair: False)
    (actor,) = seals.actors_of(coins(owner.ledger, KEYS), by_account, 1, 400)
    assert len(actor["pairs"]) == 20
    assert all(name.startswith(f"{ledger.name}/") for name in actor["pairs"])


def test_nobody_is_cleared_by_a_test_that_lost_too_many_coins() -> None:
    words = planner.power_of("likelihood", 0.24, 2000, 1e-5)
    assert words.enough
    assert planner.power_of("likelihood", 0.24, 2000, 1e-5, against=40).enough
    few = planner.power_of("likelihood", 0.24, 2000, 1e-5, against=200)
    assert not few.enough
    assert "200 coins without a measured pair count against" in few.words


@pytest.mark.slow
def test_a_plan_says_what_lost_coins_cost() -> None:
    none, some = (planner.needed_coins(0.48, 1e-5, 0.8, lost=share).coins for share in (0.0, 0.05))
    assert none * 1.5 < some < none * 2.5
    with pytest.raises(ProveError, match="never found where 40% of the coins are lost"):
        planner.needed_coins(0.1, 1e-5, 0.8, lost=0.4)


def test_an_actor_needs_pairs_and_not_only_throws(tmp_path: Path) -> None:
    owner = Owner(tmp_path, unpaired, lambda pair: True)
    with pytest.raises(ProveError, match="nothing to seal"):
        owner.seal(lambda one: True)
