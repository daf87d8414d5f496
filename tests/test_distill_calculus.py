"""The calculus task with SymPy as its teacher: its answers are right, and it reads only its own questions."""

import json
import math
import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from stillwatch.distill import DistillError
from stillwatch.distill.collect.ask import collect_run
from stillwatch.distill.curate.run import curate_run
from stillwatch.distill.embedded import EMBEDDED, SOLVER
from stillwatch.distill.embedded.calculus import solve
from stillwatch.distill.evaluate.run import evaluate
from stillwatch.distill.plan import Budget, DistillPlan, PromptSource, Teacher
from stillwatch.distill.prepare import prepare
from stillwatch.distill.rows import read_examples
from stillwatch.distill.tasks.registry import tasks
from stillwatch.distill.train.run import train

pytestmark = [pytest.mark.train, pytest.mark.slow]


def at(formula: str, x: float) -> float:
    """Return the value of a formula of this task, with a parser independent of SymPy."""
    text = formula.replace("^{", "^(").replace("}", ")").replace("e^(", "E(").replace("^", "**")
    text = text.replace("\\sin", "S").replace("\\cos", "C")
    text = re.sub(r"(?<=[\dx)])(?=[xESC(])", "*", text)
    return float(eval(text, {"E": math.exp, "S": math.sin, "C": math.cos, "x": x}))


def test_every_answer_is_an_antiderivative() -> None:
    for one in tasks()["calculus"].make(60, 3, False):
        integrand = one.messages[0]["content"].removeprefix("Integrate ").removesuffix(".")
        answer = str(one.expected).removeprefix("\\boxed{").removesuffix("}")
        for x in (0.3, 0.7, 1.1):
            slope = (at(answer, x + 1e-5) - at(answer, x - 1e-5)) / 2e-5
            assert slope == pytest.approx(at(integrand, x), rel=1e-4, abs=1e-4), one


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (r"\boxed{3x^2-2\cos(x)}", True),
        (r"So it is \boxed{-2\cos(x)+3 x^{2}}", True),
        (r"\boxed{3x^2-2\cos(x)+1}", False),
        (r"\boxed{3x^2+2\cos(x)}", False),
        ("I do not know.", False),
    ],
)
def test_a_right_answer_is_the_same_formula_in_any_form(text: str, right: bool) -> None:
    _, expected = solve(r"Integrate 6x+2\sin(x).")
    assert tasks()["calculus"].judge(expected, text).right is right


def test_taught_and_held_out_never_meet_whatever_the_seeds() -> None:
    task = tasks()["calculus"]
    taught, tested = task.make(40, 1, False), task.make(20, 2, True)
    assert len({one.messages[0]["content"] for one in [*taught, *tested]}) == 60
    assert task.make(10, 1, False) == taught[:10]
    assert {one.slice for one in tested} == {"term by term", "linear inside"}


HOSTILE = [
    "Integrate __import__('os').system('id').",
    "Integrate 9^9^9^9.",
    "Integrate (1000000x+1)^9.",
    "Integrate e^{e^{x}}.",
    "Integrate .",
    "Integrate " + "+".join(["x"] * 1000) + ".",
    "What is 2 + 2?",
    "",
]


@pytest.mark.parametrize("question", HOSTILE)
def test_what_is_no_question_of_its_own_is_refused(question: str) -> None:
    with pytest.raises(DistillError, match="does not ask to integrate"):
        solve(question)


def test_the_solver_refuses_over_http_what_it_does_not_know() -> None:
    from stillwatch.distill.embedded.serve.run import start_server

    with start_server(SOLVER) as url:
        for change in ({"messages": [{"role": "user", "content": HOSTILE[0]}]}, {"stream": True}, {"n": 2}):
            asked = {"messages": [{"role": "user", "content": "Integrate 2x+3e^{x}."}]} | change
            body = json.dumps(asked).encode()
            sent = Request(f"{url}/chat/completions", body, {"content-type": "application/json"})
            with pytest.raises(HTTPError) as refused, urlopen(sent, timeout=30):
                pass
            assert refused.value.code == 400
            refused.value.close()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_run_collects_trains_and_measures_the_solver(tmp_path: Path) -> None:
    from stillwatch.distill.evaluate import Evaluation
    from stillwatch.distill.train import Training

    plan = DistillPlan(
        folder=str(tmp_path / "run"),
        teacher=Teacher(base_url=EMBEDDED + SOLVER, model=SOLVER),
        prompts=PromptSource(task="calculus", n=12),
        heldout=PromptSource(task="calculus", n=6, seed=2),
        budget=Budget(requests=60),
    )
    run = prepare(plan, "a test", 1).run
    assert json.loads(run.teacher.read_text())["licence"] == "BSD-3-Clause"
    assert collect_run(run, plan, lambda progress: None, lambda words: None).answers == 12
    curate_run(run, plan, lambda stage, done, total: None)
    kept = list(read_examples(run.curated_file))
    assert kept
    assert all(one.reasoning and one.answer == one.expected for one in kept)
    _tiny_student(tmp_path / "student")
    student = Training(
        student=str(tmp_path / "student"), learn="answers", steps=1, batch=2, device="cpu", checkpoint_every=0
    )
    train(run.path, student, lambda words: None)
    told = evaluate(run.path, Evaluation(new_tokens=4), lambda words: None)
    assert told["teacher"]["calculus"]["right"] == 6, "it is asked, for it has no weights"
    assert told["student_after"]["calculus"]["right"] == 0


def _tiny_student(folder: Path) -> None:
    """An untrained student that reads single letters."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    signs = ["<pad>", "<eos>", *sorted({*"\n 0123456789+-*/^(){}.\\", *"abcdefghijklmnopqrstuvwxyzI"})]
    level = Tokenizer(models.WordLevel({sign: i for i, sign in enumerate(signs)}, "<pad>"))
    level.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=level, eos_token="<eos>", pad_token="<pad>").save_pretrained(
        folder
    )
    shape = {"n_positions": 128, "n_embd": 16, "n_layer": 1, "n_head": 1}
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(signs), bos_token_id=1, eos_token_id=1, pad_token_id=0, **shape)
    ).save_pretrained(folder)
