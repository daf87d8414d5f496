"""Evaluation: bounds compared with an exact oracle, split texts, marks; with the extra, real models."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from distill_world import clock_run, question
from stillwatch.distill import AnswerVerdict, DistillError, Prompt
from stillwatch.distill.embedded.clock import STEPS, WORDS, is_held_out, problems
from stillwatch.distill.evaluate import Evaluation
from stillwatch.distill.evaluate.generate import GeneratedAnswer, apart
from stillwatch.distill.evaluate.run import judge_answers
from stillwatch.distill.rows import read_json, write_json
from stillwatch.distill.train.wording import Wording
from stillwatch.stats.intervals import clopper_pearson, wilson

QUIET = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)


@pytest.mark.slow
@given(st.integers(0, 400), st.integers(0, 400))
def test_bounds_are_those_of_scipy(one: int, other: int) -> None:
    right, n = min(one, other), max(one, other)
    if n == 0:
        assert wilson(right, n) == clopper_pearson(right, n) == (0.0, 1.0)
        return
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        theirs = binomtest(right, n).proportion_ci(0.95, method=method)
        assert ours(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        assert 0 <= ours(right, n)[0] <= right / n <= ours(right, n)[1] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.93])
@pytest.mark.parametrize("n", [10, 100, 1000])
def test_exact_bounds_hold_as_often_as_they_say(share: float, n: int) -> None:
    covered = sum(
        float(binom.pmf(k, n, share))
        for k in range(n + 1)
        if clopper_pearson(k, n)[0] <= share <= clopper_pearson(k, n)[1]
    )
    assert covered >= 0.95


@pytest.mark.slow
@given(st.text(), st.text())
def test_a_text_comes_apart_where_it_was_joined(reasoning: str, answer: str) -> None:
    if "<think>" in reasoning + answer or "</think>" in reasoning + answer:
        return
    assert apart(f"<think>{reasoning}</think>{answer}") == (reasoning.strip(), answer.strip(), True)
    assert apart(f"{reasoning}</think>{answer}", opened=True) == (reasoning.strip(), answer.strip(), True)


def test_a_text_whose_thinking_never_ends_has_no_answer() -> None:
    assert apart("<think> first 9 + 4") == ("first 9 + 4", "", False)
    assert apart("first 9 + 4", opened=True) == ("first 9 + 4", "", False)


class R1:
    """A tokenizer with the parts that wording needs, whose template opens the reasoning."""

    chat_template = "…"
    unk_token_id = None
    eos_token = "<end>"

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return f"U:{messages[0]['content']} A:<think>\n"


def test_what_is_learnt_is_read_back_where_the_template_opens_the_reasoning() -> None:
    words = Wording(R1(), "<end>", frozenset({1}), ())
    asked = ({"role": "user", "content": "?"},)
    assert words.opens_reasoning(asked)
    for reasoning in ("1 + 1 = 2", None):
        said = words.said_text(asked, reasoning, "2")
        assert "<think>" not in said
        assert apart(said, opened=True) == (reasoning or "", "2", True)


def test_marks_count_by_slice_and_an_answer_without_end_is_wrong() -> None:
    questions = [Prompt(str(i), (), "t", "4", "even" if i % 2 == 0 else "odd") for i in range(4)]
    written = [
        GeneratedAnswer(None, "4", True, 1),
        GeneratedAnswer(None, "4", False, 1),
        GeneratedAnswer(None, "?", True, 1),
        GeneratedAnswer(None, "5", True, 1),
    ]

    def judge(task: str, expected: Any, answer: str) -> AnswerVerdict:
        return AnswerVerdict(None) if answer == "?" else AnswerVerdict(answer == expected)

    (marks,) = judge_answers(questions, written, judge)
    assert (marks.all.right, marks.all.n, marks.unfinished, marks.unclear) == (1, 4, 1, 1)
    assert {name: (of.right, of.n) for name, of in marks.slices.items()} == {"even": (1, 2), "odd": (0, 2)}


def test_the_clock_is_right_and_its_halves_never_meet() -> None:
    taught, tested = problems(3000, 1), problems(500, 2, held_out=True)
    assert not {p.prompt for p in taught} & {p.prompt for p in tested}
    assert all(is_held_out(p) for p in tested)
    assert not any(is_held_out(p) for p in taught)
    signs = {word: sign for sign, words in WORDS.items() for word in words}
    for one in taught[:500]:
        words = one.prompt.split()
        at = int(words[1])
        for i, name in enumerate(STEPS[: one.steps]):
            step, word, by = words[2 + 3 * i : 5 + 3 * i]
            assert step == name
            at = eval(f"({at} {signs[word]} {by}) % 10")
        assert words[-1] == "?"
        assert (one.answer, one.trace[-1]) == (str(at), str(at))
    assert problems(100, 1) == taught[:100]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": -1}, "n is -1"),
        ({"batch": 0}, "batch is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DistillError, match=words):
        Evaluation(**change)


SHORT = Evaluation(new_tokens=60, teacher="skip")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stillwatch.distill.train import Training
    from stillwatch.distill.train.run import train

    folder = clock_run(tmp_path_factory.mktemp("run"))
    train(
        folder,
        Training(steps=3, batch=8, warmup_steps=1, checkpoint_every=0, device="cpu", curve=(30,)),
        lambda _: None,
    )
    return folder


@pytest.mark.train
@QUIET
def test_a_student_is_marked_before_and_after_and_the_curve_too(trained: Path) -> None:
    from stillwatch.distill.evaluate.run import evaluate

    said: list[str] = []
    told = evaluate(trained, SHORT, said.append)
    assert told == read_json(trained / "evaluation.json")
    assert told["student_before"]["clock"]["n"] == told["student_after"]["clock"]["n"] == 20
    assert [one["samples"] for one in told["curve"]] == [30]
    assert sum(of["n"] for of in told["student_after"]["clock"]["slices"].values()) == 20
    rows = (trained / "evaluation" / "student_after.jsonl").read_text().splitlines()
    assert {"id", "answer", "reasoning", "finished", "tokens"} == json.loads(rows[0]).keys()
    kept = (trained / "evaluation" / "student_after.json").stat().st_mtime_ns
    evaluate(trained, SHORT, said.append)  # nothing is generated twice
    assert (trained / "evaluation" / "student_after.json").stat().st_mtime_ns == kept


@pytest.mark.train
@QUIET
def test_a_teacher_that_cannot_be_asked_leaves_the_students_measured(trained: Path) -> None:
    from stillwatch.distill.evaluate.run import evaluate

    told = evaluate(trained, Evaluation(new_tokens=60, teacher="/no/such/model"), lambda _: None)
    assert told["teacher"] is None
    assert "there is no such file" in told["teacher_unmeasured"]
    assert told["student_after"]["clock"]["n"] == 20


@pytest.mark.train
@QUIET
def test_answers_do_not_depend_on_what_stands_beside_them(trained: Path) -> None:
    from stillwatch.distill.evaluate.generate import write
    from stillwatch.distill.train.models import load
    from stillwatch.distill.train.wording import wording

    loaded = load(str(trained / "model"))
    words = wording(loaded.model, loaded.tokenizer)
    asked = [question(p).messages for p in problems(12, 4)]
    together = write(loaded, words, asked, new_tokens=20, batch=12)
    alone = write(loaded, words, asked, new_tokens=20, batch=1)
    assert together == alone
    once, again = (
        write(loaded, words, asked, new_tokens=20, batch=12, temperature=1.0, seed=7) for _ in "12"
    )
    assert once == again != together


@pytest.mark.train
@QUIET
def test_a_question_as_long_as_the_context_is_unanswered_not_fatal(trained: Path) -> None:
    from stillwatch.distill.evaluate.generate import write
    from stillwatch.distill.train.models import load
    from stillwatch.distill.train.wording import wording

    loaded = load(str(trained / "model"))
    words = wording(loaded.model, loaded.tokenizer)
    long = ({"role": "user", "content": "start 1 " * 60},)
    assert write(loaded, words, [long], new_tokens=5, batch=1) == [GeneratedAnswer(None, "", False, 0)]


@pytest.mark.train
@QUIET
def test_what_is_missing_is_said(tmp_path: Path, trained: Path) -> None:
    from stillwatch.distill.evaluate.run import evaluate

    with pytest.raises(DistillError, match="no student stands here"):
        evaluate(clock_run(tmp_path), SHORT, lambda _: None)
    write_json(tmp_path / "training.json", read_json(trained / "training.json"))
    (tmp_path / "heldout.jsonl").unlink()
    with pytest.raises(DistillError, match="no held-out questions"):
        evaluate(tmp_path, SHORT, lambda _: None)


@pytest.mark.train
@QUIET
def test_the_harness_is_asked_for_by_name_where_it_is_missing(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from stillwatch.distill.evaluate.run import evaluate

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(DistillError, match=r"pip install 'lm-eval\[hf\]'"):
        evaluate(trained, Evaluation(new_tokens=60, teacher="skip", lm_eval=("arc_easy",)), lambda _: None)
