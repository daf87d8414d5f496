"""Proof by text alone: the places where answers are cut, agreement, and attempts to gain by it."""

import itertools
import json
import math
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from coin_world import FALLEN_US, KEY, KEY_IN_SEAL, WORDS, name_actors, write
from stillwatch.cases.audit.signing import open_signer
from stillwatch.cli.main import app
from stillwatch.coin import Answer, Pair, openings
from stillwatch.coin.keys import write_key
from stillwatch.coin.ledger import Ledger
from stillwatch.coin.verify import coins, verify
from stillwatch.prove import Outcome, ProveError, bundle, checker, outcome
from stillwatch.prove.coin import leans, seals
from stillwatch.prove.coin.actors import by_account
from stillwatch.prove.coin.choosing import Put
from stillwatch.prove.coin.leaning import TextSampling, begun_answers, lean, statistic_for
from stillwatch.prove.coin.run import CoinRunRequest, ask, judge, plan
from stillwatch.prove.coin.sealed import run
from stillwatch.prove.planner import EFFECTS, power_of, queries
from stillwatch.prove.proof import Trust
from stillwatch.prove.proven import read
from stillwatch.prove.suspect import BegunAnswer, Question, Tell, Told, silent
from stillwatch.prove.suspect.endpoint import Endpoint, Manners
from stillwatch.prove.suspect.outputs import Outputs
from stillwatch.prove.verdict import as_document

KEYS = {KEY.commitment: KEY}
NOW, RELEASED = "2026-06-01T00:00:00Z", "2026-07-15"
TEXTS = st.text(st.sampled_from("ab c.\n水'"), max_size=40)


class Speaker:
    """A suspect reached by text alone: it continues a beginning as its own texts do, `true` of the time."""

    offers = frozenset({"answers", "continuations"})

    def __init__(self, texts: Sequence[str], true: float = 0.6, seed: int = 1) -> None:
        self.name, self.texts, self.true, self.draw = "speaker", texts, true, random.Random(seed)
        self.asked: list[BegunAnswer] = []

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        return {one.id: [self.next_words("")] * n for one in questions}

    def next_words(self, begun: str) -> str:
        known = [text[len(begun) :] for text in self.texts if begun and text.startswith(begun)]
        if known and self.draw.random() < self.true:
            return self.draw.choice(known)
        return " " + " ".join(self.draw.choice(WORDS) for _ in range(6))

    def continuations(self, begun: Sequence[BegunAnswer], n: int, tell: Tell) -> dict[str, list[Any]]:
        self.asked += begun
        return {one.id: [self.next_words(one.text) for _ in range(n)] for one in begun}

    def weigh(self, told: Any, tell: Tell) -> dict[str, Any]:
        raise ProveError("speaks alone")


def served(found: Sequence[Pair], account: str) -> list[str]:
    return [pair.answers[pair.served].text for pair in found if pair.account == account]


def withheld(found: Sequence[Pair], account: str) -> list[str]:
    return [pair.answers[1 - pair.served].text for pair in found if pair.account == account]


# --- where answers are cut -------------------------------------------------------------------------------


@pytest.mark.slow
@given(TEXTS, TEXTS, st.integers(1, 6))
@settings(max_examples=300, deadline=None)
def test_cuts_know_no_order_and_lie_after_as_many_words_in_both(one: str, other: str, places: int) -> None:
    found, turned = leans.cuts([one, other], places), leans.cuts([other, one], places)
    assert len(found) <= 2 * places
    assert {(c.begun, tuple((1 - s, rest) for s, rest in c.rests), c.ahead) for c in found} == {
        (c.begun, tuple(sorted(c.rests, key=lambda r: -r[0])), c.ahead) for c in turned
    }
    for cut in found:
        assert all(cut.begun + rest == (one, other)[slot] for slot, rest in cut.rests)
        assert cut.ahead >= 1
    of_slot = [[len(c.begun.split()) for c in found for s, _ in c.rests if s == slot] for slot in (0, 1)]
    assert len(of_slot[0]) == len(of_slot[1]) <= places
    if "水" not in one + other:
        assert of_slot[0] == of_slot[1]


def test_what_is_the_same_is_not_asked_about() -> None:
    assert leans.cuts(["the same", "the same"], 8) == []
    assert leans.cuts(["it is", "it is so"], 8) == []  # no difference where both have a word
    assert leans.valued("continuation", {}, ["it is", "it is so"], 1, 8) == (0.0, 0.0)  # a tie, not a gap
    (fork,) = leans.cuts(["go left", "go right"], 8)
    assert (fork.begun, fork.rests) == ("go", ((0, " left"), (1, " right")))  # one question for both
    assert [cut.begun for cut in leans.cuts(["水火土", "水木金"], 2)] == ["水", "水火", "水木"]  # no spaces


@pytest.mark.slow
@given(TEXTS, TEXTS, st.lists(TEXTS, min_size=2, max_size=2), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_a_lean_changes_its_sign_when_the_answers_change_places(
    one: str, other: str, said: list[str], places: int
) -> None:
    def value(answers: list[str]) -> tuple[float, float]:
        told = {c.name: [said[hash_of(c.begun)]] for c in leans.cuts(answers, places)}
        return leans.valued("continuation", told, answers, 1, places)

    assert value([one, other]) == value([other, one])[::-1]


def hash_of(text: str) -> int:
    return sum(map(ord, text)) % 2


@pytest.mark.parametrize(
    ("said", "begun", "rest", "words"),
    [
        (" sat on a mat", "the cat", " sat on a mat", 4),
        ("sat, then left", "the cat", " sat. Then", 1),
        ("", "the cat", " sat", 0),
        ("I cannot help with that.", "the cat", " sat", 0),
        ("the cat sat on", "the cat", " sat on it", 2),  # repeats the beginning, then continues
        ("the cat", "the cat", " sat", 0),  # an echo
        ("Your answer to this begins", "the cat", " sat", 0),
        (" sat" * 50_000, "the cat", " sat sat", 2),
        ([[" sa", math.log(0.5)], [" sat", math.log(0.2)], [" on", 0.0], ["", 0.0]], "the", " sat", 0.7),
        ([[" sat", 9.0]], "the", " sat", 1.0),
        ([], "the", " sat", 0.0),
    ],
)
def test_what_agrees(said: Any, begun: str, rest: str, words: float) -> None:
    assert leans.agreeing_words(said, begun, rest) == pytest.approx(words)


def test_what_is_missing_of_a_pair_is_not_chosen_from() -> None:
    """If one question has no answer, or fewer samples than were fixed, the pair is not measured."""
    answers = ["a b c d", "e f g h"]
    told = {cut.name: ["x", "y"] for cut in leans.cuts(answers, 2)}
    assert leans.continuation_values(told, answers, 2, 2) == (0.0, 0.0)
    for name in told:
        assert (
            leans.continuation_values({n: said for n, said in told.items() if n != name}, answers, 2, 2)
            is None
        )
        assert leans.continuation_values(told | {name: ["x"]}, answers, 2, 2) is None
        assert leans.continuation_values(told | {name: ["x", "y", "z"]}, answers, 2, 2) is None
    assert leans.continuation_values(told, answers, 2, 3) is None  # other places than the requested ones
    assert (
        leans.continuation_values({n: [[["a", -1.0]]] for n in told}, answers, 2, 2) is not None
    )  # likeliest tokens


# --- innocents -------------------------------------------------------------------------------------------


def innocent_p_values(
    made: Callable[[list[Pair]], Any], lengths: tuple[int, int], runs: int, base: Any = None
) -> list[float]:
    """Return p of one innocent, measured once a run; the canaries come from the run's own fair draw."""
    found = []
    for seed in range(runs):
        draw = random.Random(seed)
        both = [
            tuple(" ".join(draw.choice(WORDS) for _ in range(draw.choice(lengths))) for _ in (0, 1))
            for _ in range(40)
        ]
        puts = [
            Put(
                Pair(
                    "w0-000001", k, k, "a", "m", ({"role": "user", "content": f"{k}?"},),
                    (Answer(one), Answer(other)), draw.getrandbits(1),
                ),
                "a",
            )
            for k, (one, other) in enumerate(both)
        ]  # fmt: skip
        suspect = made([put.pair for put in puts])
        statistic = "continuation-ratio" if base else "continuation"
        leaning = lean(puts, statistic, suspect, base, TextSampling(2, 3), silent)
        towards = [v if put.pair.served == 0 else -v for put in puts if (v := leaning[put.id]) is not None]
        found.append(leans.tail(towards)[2])
    return found


INNOCENTS = {
    "knows nothing": lambda found: Speaker([]),
    "knows both answers, as one who has the teacher itself": lambda found: Speaker(
        [a.text for p in found for a in p.answers]
    ),
    "knows the first answers, as a slot order may be learned": lambda found: Speaker(
        [p.answers[0].text for p in found]
    ),
    "knows the longer answers": lambda found: Speaker(
        [max((a.text for a in p.answers), key=len) for p in found], true=0.9
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", INNOCENTS)
def test_innocents_are_found_as_often_as_alpha_says(kind: str) -> None:
    """Null: the draw is independent of the suspect, whatever it knows and whichever length it prefers."""
    runs = 120
    p_values = innocent_p_values(INNOCENTS[kind], (4, 14), runs)
    for alpha in (0.05, 0.2):
        share = sum(p <= alpha for p in p_values) / runs
        assert share <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs), (kind, alpha, share)
    assert kind == "knows nothing" or sum(p <= 0.5 for p in p_values) / runs > 0.35  # few leans: p is large


def test_one_who_learned_what_was_withheld_is_not_found_and_one_who_learned_the_served_is() -> None:
    leaned = {
        what: innocent_p_values(lambda found, of=of: Speaker(of(found, "a")), (8, 12), 3)
        for what, of in {"served": served, "withheld": withheld}.items()
    }
    assert max(leaned["served"]) < 1e-5
    assert min(leaned["withheld"]) > 0.999


# --- end to end, unsealed --------------------------------------------------------------------------------


def put_to(folder: Path, suspect: Any, found: list[Pair], **test: Any) -> Any:
    wanted = CoinRunRequest("continuation", **({"draws": 999_999, "places": 4} | test))
    planned = plan(
        found, verify(folder / "ledger", KEYS), by_account, suspect, None, wanted,
        open_signer(folder / "prove.key"), folder / "out", NOW,
    )  # fmt: skip
    leanings, _ = ask(planned, suspect, None, silent)
    return judge(planned, leanings, suspect, None)


@pytest.mark.slow
def test_a_student_that_only_speaks_is_found_and_the_control_is_not(tmp_path: Path) -> None:
    found = write(tmp_path / "ledger", {"rogue": 60, "other": 60})
    suspect = Speaker(served(found, "rogue"), true=0.4)
    done = put_to(tmp_path, suspect, found, alpha=1e-4)
    assert [row.name for row in done.evidence.found()] == ["rogue"]
    assert {row.name: row.p_value for row in done.evidence.rows}["other"] > 0.01
    assert len(suspect.asked) <= queries("continuation", 1, 4) * 120
    told = json.loads((tmp_path / "out" / "protocol.dsse.json").read_text())
    assert told["payload"]  # signed before any question


@pytest.mark.slow
def test_another_number_of_places_is_another_protocol(tmp_path: Path) -> None:
    found = write(tmp_path / "ledger", {"a": 20})
    put_to(tmp_path, Speaker(served(found, "a")), found, places=4)
    with pytest.raises(ProveError, match="another test"):
        put_to(tmp_path, Speaker(served(found, "a")), found, places=5)


class Silent(Speaker):
    """Refuses, echoes or returns nothing, whatever it has learned."""

    def __init__(self, texts: Sequence[str], way: str) -> None:
        super().__init__(texts)
        self.way = way

    def continuations(self, begun: Sequence[BegunAnswer], n: int, tell: Tell) -> dict[str, list[Any]]:
        says = {"refuses": "I can't continue that.", "nothing": ""}
        return {one.id: [says.get(self.way, one.text)] * n for one in begun if self.way != "missing"}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["refuses", "echoes", "nothing", "missing"])
def test_a_suspect_that_does_not_go_on_is_not_cleared(tmp_path: Path, way: str) -> None:
    """The suspect chooses to refuse: that gives no verdict at all, never *not shown*."""
    found = write(tmp_path / "ledger", {"a": 400})
    with pytest.raises(ProveError, match=r"leans to neither answer|could be measured"):
        put_to(tmp_path, Silent(served(found, "a"), way), found, alpha=1e-3)


@pytest.mark.slow
def test_not_shown_needs_the_power_of_the_statistic_that_was_used(tmp_path: Path) -> None:
    found = write(tmp_path / "ledger", {"a": 60})
    loud = put_to(tmp_path, Speaker([]), found, effect=5.0, places=8)  # the tester chooses what to look for
    assert outcome((loud.evidence,)) is Outcome.INDETERMINATE
    assert "more: this is not enough to tell" in loud.evidence.power
    for statistic in ("likelihood", "continuation"):
        effect = EFFECTS[statistic]
        enough = power_of(statistic, 9.0, round((5.4 / effect) ** 2 * 1.2), 1e-5)
        few = power_of(statistic, 9.0, round((5.1 / effect) ** 2 * 0.5), 1e-5)
        assert enough.enough, enough
        assert not few.enough
        assert "coins" in few.words
    assert power_of("continuation", None, 10**6, 1e-5).enough
    assert not power_of("continuation", None, 10**6, 1e-5, places=7).enough  # weaker than what was measured
    assert not power_of("continuation-by-prompt", 0.5, 10**6, 1e-5).enough  # never measured


# --- sealed, from the questions to the verdict -----------------------------------------------------------


class SealedWorld:
    """A ledger, its owner and a witness; suspects are files of outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder, folder / "ledger"
        self.owner, self.witness = open_signer(folder / "prove.key"), open_signer(folder / "witness.key")
        Ledger(self.ledger, 0, KEY, None, FALLEN_US).close(FALLEN_US)
        self.pairs = write(self.ledger, {"rogue": 60, "other": 60}, throws=True, at_us=FALLEN_US)
        self.words: list[dict[str, Any]] = []
        write_key(folder / "keys", KEY)

    def seal(
        self, places: int = 4, statistics: tuple[str, ...] = ("continuation",), base: str = "none"
    ) -> seals.Sealed:
        test = seals.SealedTest(statistics, base, 1e-5, 0.3, 1, 400, places)
        actors = {name: name for name in ("rogue", "other")}
        self.words.append(name_actors(self.folder, actors, test, self.owner, self.witness))
        sealed = seals.make(
            self.folder / "seals", self.ledger, verify(self.ledger, KEYS), [KEY_IN_SEAL],
            coins(self.ledger, KEYS), by_account, test,
            seals.TrainingStatement("none"), self.owner, NOW, key=KEY,
        )  # fmt: skip
        return seals.with_actors_of(sealed, sealed.seal["number"] - 1)

    def questions(self, *words: str) -> list[dict[str, Any]]:
        out = self.folder / "questions.jsonl"
        where = ["--ledger", str(self.ledger), "--key", str(self.folder / "keys"), "--out", str(out)]
        done = CliRunner().invoke(app, ["prove", "questions", *where, *words])
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in out.read_text().splitlines()]

    def outputs(self, asked: list[dict[str, Any]], suspect: Speaker, name: str = "acme") -> Outputs:
        """For clients that use another form: each line's last message is continued."""
        rows = []
        for line in asked:
            last = line["messages"][-1]
            begun = last["content"] if last["role"] == "assistant" else ""
            texts = [suspect.next_words(begun) for _ in range(line["samples"])]
            rows.append({"prompt_id": line["prompt_id"], "outputs": texts})
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Outputs(path)

    def test(
        self, sealed: seals.Sealed, suspect: Any, name: str = "out", base: Any = None, **other: Any
    ) -> Any:
        word = seals.witness(sealed.path, self.folder / "seen", self.witness, NOW)
        wanted = {
            "statistic": None,
            "released": RELEASED,
            "witnesses": [word, *self.words],
            "disclose": (),
        } | other
        found = coins(self.ledger, KEYS)
        return run(sealed, self.ledger, found, suspect, base, self.folder / name, tell=silent, **wanted)

    def trust(self) -> Trust:
        return Trust(witnesses=(self.witness.key,), released=RELEASED)


@pytest.fixture
def world(tmp_path: Path) -> SealedWorld:
    return SealedWorld(tmp_path)


# --- compared with a base model --------------------------------------------------------------------------


class Guesser(Speaker):
    """A base with available weights: a word of an answer has the probability that `chance` gives."""

    name = f"base sha256:{'0' * 64}"
    offers = frozenset({"chances", "continuations"})

    def __init__(self, chance: Callable[[str], float]) -> None:
        super().__init__([])
        self.name, self.chance = f"base sha256:{'0' * 64}", chance

    def token_chances(self, answers: Sequence[Told], tell: Tell) -> dict[str, list[tuple[int, float]]]:
        return {
            one.id: [(m.end(), math.log(self.chance(m.group()))) for m in re.finditer(r"\s*\S+", one.answer)]
            for one in answers
        }


CHANCES = st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=6)


@given(CHANCES)
def test_whoever_writes_as_the_base_does_has_a_mean_of_nothing(chances: list[float]) -> None:
    said = [*itertools.accumulate(chances, initial=1.0, func=lambda a, b: a * b), 0.0]
    mean = sum((said[k] - said[k + 1]) * leans.surprise(k, chances) for k in range(len(chances) + 1))
    assert mean == pytest.approx(0.0, abs=1e-9)
    grows = [leans.surprise(k, chances) for k in range(len(chances) + 1)]
    assert grows == sorted(grows)


@pytest.mark.slow
@given(TEXTS, TEXTS, st.lists(TEXTS, min_size=2, max_size=2), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_a_ratio_changes_its_sign_with_the_answers_and_a_base_is_measured_as_one(
    one: str, other: str, said: list[str], places: int
) -> None:
    base = Guesser(lambda word: 1 / (1 + len(word)))

    def both(answers: list[str]) -> tuple[Any, Any]:
        of_base = base.token_chances([Told(str(k), (), text) for k, text in enumerate(answers)], silent)
        chances = [of_base["0"], of_base["1"]]
        told = {c.name: [said[hash_of(c.begun)]] for c in leans.cuts(answers, places)}
        values = leans.valued(leans.RATIO, told, answers, 1, places, chances)
        assert leans.valued(leans.RATIO, told, answers, 1, places) is None  # without a base
        assert leans.valued(leans.RATIO, chances, answers, 1, places, chances) is None  # numbers are no texts
        return values, leans.valued(leans.RATIO, chances, answers, 1, places)

    for mine, turned in zip(both([one, other]), both([other, one]), strict=True):
        assert mine == turned[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", INNOCENTS)
def test_innocents_beside_a_wrong_base_are_found_as_often_as_alpha_says(kind: str) -> None:
    runs, wrong = 120, Guesser(lambda word: 0.9 if hash_of(word) else 0.001)
    p_values = innocent_p_values(INNOCENTS[kind], (4, 14), runs, wrong)
    for alpha in (0.05, 0.2):
        share = sum(p <= alpha for p in p_values) / runs
        assert share <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs), (kind, alpha, share)


def test_a_ratio_needs_a_base_that_says_how_likely_words_are(world: SealedWorld) -> None:
    with pytest.raises(ProveError, match="needs a base"):
        world.seal(statistics=("continuation-ratio",))
    suspect = Speaker([])
    for base in (None, suspect):
        with pytest.raises(ProveError, match="offers no"):
            statistic_for("continuation-ratio", suspect, base)
    assert statistic_for("continuation-ratio", suspect, Guesser(lambda word: 0.5)) == "continuation-ratio"
    assert statistic_for(None, suspect, Guesser(lambda word: 0.5)) == "continuation"


@pytest.mark.slow
def test_a_ratio_is_sealed_tested_and_computed_again_by_the_stand_alone_checker(world: SealedWorld) -> None:
    base = Guesser(lambda word: 0.12)
    sealed = world.seal(statistics=("continuation-ratio",), base=base.name)
    asked = world.questions(
        "--naming-seal", str(sealed.naming), "--seal", str(sealed.path), "--statistic", "continuation-ratio"
    )
    came = world.test(sealed, world.outputs(asked, Speaker(served(world.pairs, "rogue"))), base=base)
    proof = read(came.proof, world.owner.key, world.trust())
    assert proof.examined.holds, proof.examined
    assert as_document((came.evidence,), None, proof)["outcome"] == "trained"
    folder = world.folder / "bundle"
    bundle.write(bundle.make((came.evidence,), world.owner, None, None, proof), folder)
    words = ["--key", world.owner.key, "--witness", world.witness.key, "--released", RELEASED]
    checked = [sys.executable, "-I", "-S", str(folder / "verify.py"), *words]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    told = json.loads(came.proof.read_text())
    for one in told["measured_base"].values():  # a base's numbers are part of the computation
        one[0], one[1] = one[1], one[0]
    found = checker.proof.examine(told, world.owner.key, world.trust(), checker.parts)
    assert found.actors["rogue"]["p"] != proof.examined.actors["rogue"]["p"]
    told["measured_base"].clear()
    found = checker.proof.examine(told, world.owner.key, world.trust(), checker.parts)
    assert found.actors["rogue"]["p"] > 0.999


@pytest.mark.slow
def test_from_sealed_places_by_text_alone_to_trained(world: SealedWorld) -> None:
    sealed = world.seal()
    asked = world.questions("--naming-seal", str(sealed.naming), "--seal", str(sealed.path))
    assert {line["samples"] for line in asked} == {1}
    suspect = world.outputs(asked, Speaker(served(world.pairs, "rogue")))
    came = world.test(sealed, suspect)
    proof = read(came.proof, world.owner.key, world.trust())
    assert proof.examined.holds, proof.examined
    assert as_document((came.evidence,), None, proof)["outcome"] == "trained"
    assert proof.examined.actors["rogue"]["p"] == came.evidence.rows[0].p_value < 1e-5
    innocent = world.outputs(asked, Speaker(withheld(world.pairs, "rogue"), seed=3), "innocent")
    told = world.test(sealed, innocent, "innocent")
    assert told.proof is None
    assert outcome((told.evidence,)) is Outcome.INDETERMINATE


@pytest.mark.slow
def test_places_and_prompts_are_the_seals_and_not_chosen_after_looking(world: SealedWorld) -> None:
    """An owner that asks at other places, or by prompt, has no measurement of the sealed test."""
    sealed = world.seal(places=4)
    suspect = Speaker(served(world.pairs, "rogue"))
    other = world.outputs(world.questions("--each-account", "--places", "5"), suspect)
    came = world.test(sealed, other, disclose=("rogue",))
    assert came.tested[1].name == "rogue"
    assert min(one.p_value for one in came.tested) > 0.999  # missing measurements count against it
    assert came.evidence.powered is False
    with pytest.raises(ProveError, match="the seal has continuation"):
        world.test(sealed, other, "prompted", statistic="continuation-by-prompt")
    (world.folder / "two").mkdir()
    two = SealedWorld(world.folder / "two")
    both = two.seal(statistics=("continuation", "continuation-by-prompt"))
    asked = two.questions(
        "--naming-seal", str(both.naming), "--seal", str(both.path), "--statistic", "continuation"
    )
    paid = two.test(both, two.outputs(asked, suspect), statistic="continuation")
    rogue = next(one for one in paid.tested if one.name == "rogue")
    # two actors that were named, both ways, each end, the second seal
    assert rogue.p_adjusted == pytest.approx(min(1.0, rogue.p_value * 2 * 2 * openings.ENDS * 6))


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit",
    [
        lambda told: [one.pop(next(iter(one))) for one in told.values()],  # the unsuitable ones, omitted
        lambda told: [one.update({name: said * 2 for name, said in one.items()}) for one in told.values()],
        lambda told: told.clear(),
    ],
)
def test_questions_left_out_of_a_proof_count_against(world: SealedWorld, edit: Callable[..., Any]) -> None:
    sealed = world.seal()
    asked = world.questions("--naming-seal", str(sealed.naming), "--seal", str(sealed.path))
    came = world.test(sealed, world.outputs(asked, Speaker(served(world.pairs, "rogue"))))
    told = json.loads(came.proof.read_text())
    edit(told["measured"])
    found = checker.proof.examine(told, world.owner.key, world.trust(), checker.parts)
    assert found.actors["rogue"]["p"] > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("said", [3, "text", [1, 2], {"0": 5}, {"0": [3]}, {"0": [[1]]}, {"0": [["a", "b"]]}])
def test_a_proof_with_something_else_measured_is_no_proof(world: SealedWorld, said: Any) -> None:
    sealed = world.seal()
    asked = world.questions("--naming-seal", str(sealed.naming), "--seal", str(sealed.path))
    came = world.test(sealed, world.outputs(asked, Speaker(served(world.pairs, "rogue"))))
    told = json.loads(came.proof.read_text())
    pair = next(name for name, one in told["measured"].items() if "0" in one)
    told["measured"][pair] = said
    came.proof.write_text(json.dumps(told))
    try:
        found = read(came.proof, world.owner.key, world.trust()).examined
    except ProveError as why:
        assert "is no proof" in str(why)  # noqa: PT017
    else:
        assert found.actors["rogue"]["p"] > came.evidence.rows[0].p_value  # a pair that is not measured


@pytest.mark.slow
def test_a_suspect_that_refuses_a_sealed_test_is_not_cleared(world: SealedWorld) -> None:
    sealed = world.seal()
    half = world.outputs(
        world.questions("--naming-seal", str(sealed.naming), "--seal", str(sealed.path)), Speaker([], seed=5)
    )
    for name in list(half._said)[20:]:
        del half._said[name]
    came = world.test(sealed, half)
    assert came.tested[0].n > 40  # missing measurements count against it
    assert came.tested[0].measured < 20  # and shows no power
    assert outcome((came.evidence,)) is Outcome.INDETERMINATE
    assert "not enough to tell" in came.evidence.power


def test_a_file_without_continuations_says_what_to_do(tmp_path: Path) -> None:
    found = write(tmp_path / "ledger", {"a": 20})
    path = tmp_path / "o.jsonl"
    path.write_text(json.dumps({"prompt": found[0].messages[0]["content"], "output": "x"}) + "\n")
    with pytest.raises(ProveError, match="prove questions"):
        put_to(tmp_path, Outputs(path), found)
    puts = [Put(pair, "a") for pair in found]
    with pytest.raises(ProveError, match="has no row for any of"):
        lean(puts, "continuation-by-prompt", Outputs(path), None, TextSampling(), silent)


# --- an endpoint -----------------------------------------------------------------------------------------


class Api(BaseHTTPRequestHandler):
    """Continues the assistant's last message; each answer is different."""

    seen: list[dict[str, Any]]
    said = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Api.seen.append(body)
        Api.said += 1
        choice: dict[str, Any] = {
            "index": 0, "message": {"role": "assistant", "content": f" word {Api.said}"},
            "finish_reason": "length",
        }  # fmt: skip
        if body.get("logprobs"):
            top = [{"token": " word", "logprob": -0.1}, {"token": " no", "logprob": -3.0}]
            choice["logprobs"] = {"content": [{"token": " word", "logprob": -0.1, "top_logprobs": top}]}
        told = {
            "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        }  # fmt: skip
        raw = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *given: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    Api.seen, Api.said = [], 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


USER = {"role": "user", "content": "Why?"}
BEGUN = [
    BegunAnswer("p@0", (USER,), ""),
    BegunAnswer("p@2.0", (USER,), "so it"),
    BegunAnswer("q@2.0", (USER,), "so it"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "body", "last"),
    [
        ("last", {}, {}),
        ("vllm", {"continue_final_message": True, "add_generation_prompt": False}, {}),
        ("prefix", {}, {"prefix": True}),
    ],
)
def test_an_endpoint_is_asked_in_its_own_way_and_once(
    tmp_path: Path, api: str, way: str, body: dict[str, Any], last: dict[str, Any]
) -> None:
    manners = Manners("m", prefill=way, concurrency=1)
    first = Endpoint(api, manners, tmp_path / "a.db", weighs=False).continuations(BEGUN, 2, silent)
    assert len(Api.seen) == 4  # two questions, two samples: a repeated one is sent once
    assert first["p@2.0"] == first["q@2.0"]
    assert all(len(said) == 2 for said in first.values())
    begun = [sent for sent in Api.seen if len(sent["messages"]) == 2]
    assert len(begun) == 2
    for sent in begun:
        assert sent["messages"][-1] == {"role": "assistant", "content": "so it"} | last
        assert {name: sent.get(name) for name in body} == body
        assert sent["max_tokens"] == 16
    assert all("continue_final_message" not in sent for sent in Api.seen if len(sent["messages"]) == 1)
    # it answers differently the second time: the first answer stays, and nobody can select
    again = Endpoint(api, manners, tmp_path / "a.db", weighs=False).continuations(BEGUN, 2, silent)
    assert again == first
    assert len(Api.seen) == 4


@pytest.mark.slow
def test_likeliest_tokens_are_asked_for_once(tmp_path: Path, api: str) -> None:
    manners = Manners("m", prefill="last", top_logprobs=2, concurrency=1)
    found = Endpoint(api, manners, tmp_path / "a.db", weighs=False).continuations(BEGUN, 5, silent)
    assert len(Api.seen) == 2
    assert Api.seen[0]["top_logprobs"] == 2
    assert found["p@2.0"] == [[[" word", -0.1], [" no", -3.0]]]
    assert leans.agreeing_words(found["p@2.0"][0], "so it", " wordy") == pytest.approx(math.exp(-0.1))


@pytest.mark.slow
def test_an_endpoint_that_takes_no_beginning_is_asked_in_words(tmp_path: Path, api: str) -> None:
    bare = Endpoint(api, Manners("m", concurrency=1), tmp_path / "a.db", weighs=False)
    assert bare.offers == {"answers"}
    asked = [replace(one, prompted=True) for one in BEGUN]
    assert set(bare.continuations(asked, 1, silent)) == {"p@0", "p@2.0", "q@2.0"}
    (prompted,) = (sent for sent in Api.seen if sent["messages"][-1]["content"] != "Why?")
    assert len(prompted["messages"]) == 1
    assert prompted["messages"][0]["content"].startswith("Why?")
    assert prompted["messages"][0]["content"].endswith("\n\nso it")
    found = write(tmp_path / "ledger", {"a": 20})
    with pytest.raises(ProveError, match="--prefill"):
        put_to(tmp_path, bare, found)
    with pytest.raises(ProveError, match="give one of last, vllm, prefix"):
        Endpoint(api, Manners("m", prefill="x"), tmp_path / "a.db")


@pytest.mark.slow
def test_the_verb_asks_an_endpoint_and_says_how_many_more_are_needed(world: SealedWorld, api: str) -> None:
    where = ["--ledger", str(world.ledger), "--key", str(world.folder / "keys"), "--each-account"]
    folder = ["--out", str(world.folder / "out"), "--signing-key", str(world.folder / "prove.key")]
    words = [
        "prove",
        "coin",
        "--suspect",
        api,
        "--model",
        "m",
        "--statistic",
        "continuation",
        "--prefill",
        "last",
    ]
    asked = [*words, *where, *folder, "--places", "2", "--most", "8", "--samples", "2", "--draws", "999"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 2, done.output  # it has no text of either answer
    assert "leans to neither answer" in done.output
    assert {sent["max_tokens"] for sent in Api.seen} == {16}
    assert len(Api.seen) <= 16 * queries("continuation", 2, 2)
    outputs = world.outputs(
        world.questions("--each-account"), Speaker(served(world.pairs, "rogue"), true=0.2)
    )
    words = [
        "prove",
        "coin",
        "--suspect",
        str(outputs._path),
        "--statistic",
        "continuation",
        "--draws",
        "9999",
    ]
    done = CliRunner().invoke(app, [*words, *where, "--out", str(world.folder / "file"), *folder[2:]])
    assert done.exit_code == 0, done.output
    assert "indeterminate" in done.output
    assert "not enough to tell" in done.output


@pytest.mark.slow
def test_questions_say_what_is_asked(world: SealedWorld) -> None:
    asked = world.questions("--each-account", "--statistic", "continuation-by-prompt", "--samples", "3")
    puts = [Put(pair, pair.account) for pair in world.pairs]
    begun = begun_answers(puts, "continuation-by-prompt", 8)
    assert {line["prompt_id"] for line in asked} == {b.id for of in begun.values() for b in of.values()}
    assert all(line["messages"][-1]["role"] == "user" for line in asked)
    free = world.questions("--each-account", "--statistic", "overlap")
    assert len(free) == len(world.pairs)
    refused = CliRunner().invoke(
        app,
        [
            "prove",
            "questions",
            "--statistic",
            "top",
            "--ledger",
            str(world.ledger),
            "--key",
            str(world.folder / "keys"),
        ],
    )
    assert refused.exit_code == 2


# --- a model ---------------------------------------------------------------------------------------------


@pytest.mark.train
def test_a_served_model_goes_on_from_a_beginning_as_the_weights_do(tmp_path: Path) -> None:
    """By HTTP and in this process: the likeliest words after a beginning are the same."""
    pytest.importorskip("torch")
    from stillwatch.distill.embedded.models import blank_student, tokenizer
    from stillwatch.distill.embedded.serve.run import start_server
    from stillwatch.prove.suspect.weights import open_weights

    folder = tmp_path / "model"
    blank_student(3).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    user = {"role": "user", "content": "start 3 first add 4 ?"}
    begun = [
        BegunAnswer(str(k), (user,), text)
        for k, text in enumerate(("", "first 3", "first 3 + 4", "first 3 + 4 = 7"))
    ]
    here = open_weights(str(folder), temperature=0.0).continuations(begun, 1, silent)
    with start_server(folder, reasoning="inline") as url:
        manners = Manners("model", prefill="vllm", temperature=0.0)
        there = Endpoint(url, manners, tmp_path / "a.db", weighs=False).continuations(begun, 1, silent)
    assert here.keys() == there.keys() == {"0", "1", "2", "3"}
    for name, said in here.items():
        assert said[0].split() == there[name][0].split()
    assert len({said[0] for said in here.values()}) > 1
