"""The test without canaries: exact over all arrangements, uniform on innocents, never above grade B."""

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coin_world import text
from stillwatch.cli.main import app
from stillwatch.prove import Evidence, Grade, Outcome, ProveError, outcome
from stillwatch.prove.coin import leans
from stillwatch.prove.coin.retro import (
    TAKEN_ON_TRUST,
    Block,
    ServedPrompt,
    blocks,
    evidence,
    frozen_check,
    read_log,
    seeded_draws,
)
from stillwatch.prove.suspect import AnswerLikelihood, Messages, Question, Tell, Told, silent


def test_p_is_the_share_of_all_arrangements() -> None:
    draw = random.Random(2)
    for answers, n in ((2, 9), (3, 7), (5, 5)):
        values = [[draw.choice([0.0, draw.gauss(0.3, 1)]) for _ in range(answers)] for _ in range(n)]
        counted = leans.block_levels(values)
        observed = sum(block[0] for block in counted)
        sums = [sum(levels) for levels in itertools.product(*counted)]
        told, p = leans.block_tail(values)
        assert p == pytest.approx(sum(one >= observed for one in sums) / len(sums))
        assert told == sum(len(set(block)) > 1 for block in counted)


def test_two_answers_are_the_coins_test() -> None:
    """With one draw a block is a pair: the levels of a canary, except for rounding."""
    draw = random.Random(5)
    pairs = [(draw.gauss(0.4, 1), draw.gauss(0, 1)) for _ in range(40)]
    assert leans.block_tail(pairs)[1] == pytest.approx(leans.tail([a - b for a, b in pairs])[2], rel=0.7)


def test_an_answer_that_does_not_come_again_only_costs() -> None:
    """A missing answer never helps the owner: with its block omitted or measured, p is no larger."""
    draw = random.Random(6)
    values = [[draw.gauss(0.8, 1), *(draw.gauss(0, 1) for _ in range(4))] for _ in range(20)]
    for _ in range(30):
        more = [draw.gauss(0, 3) for _ in range(5)]
        assert leans.block_tail(values, 1, 4)[1] >= leans.block_tail([*values, more])[1] * 0.99
        assert leans.block_tail(values, 1, 4)[1] >= leans.block_tail(values)[1]


@pytest.mark.slow
def test_innocents_are_uniform() -> None:
    draw = random.Random(3)
    p_values = []
    for _ in range(200):
        found = [[draw.lognormvariate(0, 1) for _ in range(4)] for k in range(30)]
        p_values.append(leans.block_tail(found)[1])
    assert 0.02 <= sum(p <= 0.1 for p in p_values) / 200 <= 0.19
    assert 0.38 <= sum(p <= 0.5 for p in p_values) / 200 <= 0.62


def test_it_is_never_more_than_consistent() -> None:
    found = [Block(str(k), "a", (4.0, 1.0, 2.0, 3.0)) for k in range(40)]
    for frozen in (TAKEN_ON_TRUST, frozen_check(40, 40)):
        said = evidence(found, "likelihood", "s", 1e-3, "0" * 64, frozen)
        assert said.grade is Grade.RANK
        assert outcome((said,)) is Outcome.CONSISTENT
        assert not all(check.clear for check in said.confounds)
    assert said.rows[0].p_value == pytest.approx(4.0**-40)
    with pytest.raises(ProveError, match="no prompt has two different values"):
        evidence([], "likelihood", "s", 1e-3, "")
    assert not frozen_check(35, 40).clear


class Seeded:
    """A small teacher: its text depends on prompt and seed; another one after its weights changed."""

    def __init__(self, weights: str = "one") -> None:
        self.name, self.weights = "teacher", weights

    def seeded_answers(self, asked: Sequence[tuple[Messages, int]], tell: Tell) -> list[str | None]:
        return [text(random.Random(f"{self.weights} {m} {seed}")) for m, seed in asked]


def served_by(teacher: Seeded, n: int = 30) -> list[ServedPrompt]:
    prompts = [({"role": "user", "content": f"Question {k}?"},) for k in range(n)]
    texts = teacher.seeded_answers([(prompt, k) for k, prompt in enumerate(prompts)], silent)
    return [
        ServedPrompt(str(k), "a", prompt, str(said), k)
        for k, (prompt, said) in enumerate(zip(prompts, texts, strict=True))
    ]


class Learned:
    """A suspect that repeats what it learned, without any other lean."""

    name, offers = "suspect", frozenset({"answers"})

    def __init__(self, said: dict[str, str]) -> None:
        self.said = said

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        return {one.id: [self.said[one.id]] for one in questions}


@pytest.mark.parametrize("weights", ["one", "another"])
def test_served_answers_are_drawn_again_from_their_seeds(weights: str) -> None:
    served = served_by(Seeded())
    fresh, again = seeded_draws(served, Seeded(weights), 4, "ab" * 32, silent)
    assert seeded_draws(served, Seeded(weights), 4, "ab" * 32, silent) == (fresh, again)
    assert (
        seeded_draws(served, Seeded(weights), 4, "cd" * 32, silent)[0] != fresh
    )  # by the log, not by selection
    assert len(again) == (30 if weights == "one" else 0)
    student = Learned({one.id: one.answer for one in served})
    found = blocks(served, fresh, {}, "overlap", student, 1, silent, again)
    if weights == "another":  # the served texts cannot be reproduced: a perfect student is not found
        with pytest.raises(ProveError, match="nothing can be said"):
            evidence(found, "overlap", "s", 1e-3, "")
        return
    said = evidence(found, "overlap", "s", 1e-3, "", frozen_check(len(again), len(served)))
    assert said.found()
    assert said.confounds[0].clear


def test_an_owner_who_changes_its_log_loses_by_it() -> None:
    """It writes an innocent suspect's answers into the log: those answers cannot be reproduced."""
    served = served_by(Seeded())
    suspect = Learned({one.id: text(random.Random(f"innocent {one.id}")) for one in served})
    forged = [replace(one, answer=suspect.said[one.id]) if k % 2 else one for k, one in enumerate(served)]
    fresh, again = seeded_draws(forged, Seeded(), 4, "ab" * 32, silent)
    found = blocks(forged, fresh, {}, "overlap", suspect, 1, silent, again)
    said = evidence(found, "overlap", "s", 1e-3, "", frozen_check(len(again), len(forged)))
    assert not said.found()
    assert said.rows[0].p_value > 0.5
    assert not said.confounds[0].clear


def test_prompts_chosen_by_their_answers_show_in_the_base() -> None:
    """The owner knows the seeds, and sends the one of three wordings whose answer every model prefers."""
    draw, served, fresh = random.Random(8), [], {}
    liked: dict[str, float] = {}
    for k in range(80):
        tries = [text(draw) for _ in range(3)]
        fresh[str(k)] = [text(draw) for _ in range(4)]
        liked |= {one: draw.gauss(0, 1) for one in (*tries, *fresh[str(k)])}
        best = max(tries, key=liked.__getitem__)
        served.append(ServedPrompt(str(k), "a", ({"role": "user", "content": f"{k}?"},), best))

    class Likes:
        """A model that learned nothing of it, and has the common preferences."""

        offers = frozenset({"likelihood"})

        def __init__(self, name: str) -> None:
            self.name = name

        def weigh(self, told: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
            own = random.Random(self.name)
            return {one.id: AnswerLikelihood(liked[one.answer] + own.gauss(0, 0.3), 1, 0) for one in told}

    def test(base: Likes | None) -> Evidence:
        found = blocks(served, fresh, {}, "likelihood", Likes("innocent"), 1, silent, None, base)
        return evidence(found, "likelihood", "s", 1e-5, "", base=base.name if base else "")

    assert test(None).found()  # without a base an innocent is found
    told = test(Likes("teacher"))
    assert not told.found()
    assert not told.confounds[-1].clear
    assert "teacher itself leans" in told.confounds[-1].found
    served = [replace(one, answer=fresh[one.id].pop()) for one in served]  # since nobody selected them
    assert test(Likes("teacher")).confounds[-1].clear


def test_from_files_to_evidence(tmp_path: Path) -> None:
    draw = random.Random(4)
    served, fresh, said = [], [], []
    for k in range(60):
        account = "rogue" if k % 2 else "honest"
        prompt, answer = f"Question {k}?", text(draw)
        served.append({"id": k, "prompt": prompt, "output": answer, "account": account})
        fresh.append({"prompt_id": k, "outputs": [text(draw) for _ in range(4)]})
        said.append({"prompt_id": k, "output": answer if account == "rogue" else text(draw)})
    for name, rows in (("log", served), ("fresh", fresh), ("said", said)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["prove", "retro", str(tmp_path / "log.jsonl"), "--suspect", str(tmp_path / "said.jsonl")]
    words += ["--out", str(tmp_path / "out"), "--signing-key", str(tmp_path / "k"), "--json"]
    done = CliRunner().invoke(app, [*words, "--draws", str(tmp_path / "fresh.jsonl")])
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["rogue"]["p_adjusted"] < 1e-4
    assert rows["honest"]["p_value"] > 0.01
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "either --draws FILE or --teacher" in done.output


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"prompt": "a"}], ":1: has prompt; output is needed"),
        ([{"id": 1, "output": "b"}], ":1: a served answer needs its prompt and its output"),
        (
            [{"id": 1, "prompt": "a", "output": "b"}, {"id": 1, "prompt": "c", "output": "d"}],
            "'1' is there twice",
        ),
        ([{"messages": [1], "output": "b"}], "messages are no objects"),
        ([3], ":1: is no JSON object"),
        ([{"prompt": "a", "output": "b", "seed": "x"}], "a seed is a whole number"),
        ([], "holds no served answers"),
    ],
)
def test_a_bad_log_is_refused(tmp_path: Path, rows: list[object], told: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ProveError, match=told):
        read_log(path)
