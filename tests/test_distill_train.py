"""Training: real trainers on the clock's student, three steps each; a killed training continues."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distill_world import clock_run, example
from stillwatch.distill import DistillError
from stillwatch.distill.embedded.clock import problems
from stillwatch.distill.rows import write_rows
from stillwatch.distill.train import Training
from tiny_models import blank_byte_model

pytestmark = [
    pytest.mark.train,
    # of the libraries that train, about each other: none is ours to mend
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]

SHORT = Training(steps=3, batch=8, learning_rate=5e-3, warmup_steps=1, checkpoint_every=0, device="cpu")


def train(folder: Path, settings: Training, said: list[str] | None = None) -> Any:
    from stillwatch.distill.train.run import train as run

    return run(folder, settings, (said if said is not None else []).append)


def weights(model: Path) -> str:
    return hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def other_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Untrained models: one with the clock's tokenizer, two with their own byte-level BPE tokenizers."""
    from stillwatch.distill.embedded.models import blank_teacher, tokenizer

    found = {}
    same = tmp_path_factory.mktemp("same")
    blank_teacher(2).save_pretrained(same)
    tokenizer().save_pretrained(same)
    found["same"] = str(same)
    texts = [f"{p.prompt} {p.trace} {p.answer}" for p in problems(200, 5)]
    for name, size in (("small", 270), ("large", 330)):
        found[name] = blank_byte_model(tmp_path_factory.mktemp(name), texts, size)
    return found


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"learn": "answers"},
        {"lora_rank": 2},
        {"method": "logits"},
        {"method": "logits", "divergence": "reverse"},
        {"method": "logits", "divergence": "js"},
        {"method": "on-policy"},  # longer than the context leaves room for
        {"method": "on-policy", "new_tokens": 8, "on_policy_share": 0.5, "divergence": "reverse"},
    ],
    ids=lambda change: "-".join(str(value) for value in change.values()) or "text",
)
def test_each_method_trains(change: dict[str, Any], tmp_path: Path, other_models: dict[str, str]) -> None:
    if "method" in change:
        change = change | {"teacher": other_models["same"]}
    trained = train(clock_run(tmp_path), replace(SHORT, **change))
    assert trained.steps == 3
    assert trained.loss[-1].step == 3
    assert 0 < trained.loss[-1].loss < 20
    assert (trained.trained_parameters < trained.parameters) == ("lora_rank" in change)
    told = json.loads((tmp_path / "training.json").read_text())
    assert told["method"] == change.get("method", "text")
    from stillwatch.distill.train.models import load

    assert load(str(trained.model)).model.num_parameters() == 62_784  # LoRA too ends as a whole model
    assert "it is ours" in (tmp_path / "model" / "README.md").read_text()


def test_what_the_student_wrote_is_learnt_at_the_places_where_it_wrote_it() -> None:
    torch = pytest.importorskip("torch")
    from stillwatch.distill.train.trainers import left_aligned

    ids = torch.tensor([[0, 0, 7, 8, 9, 0], [4, 5, 6, 8, 8, 9]])
    asked = torch.tensor([[0, 0, 1], [1, 1, 1]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [1] * 6])
    labels = torch.tensor([[-100, -100, -100, 8, 9, -100], [-100, -100, -100, 8, 8, 9]])
    moved = [one.tolist() for one in left_aligned(ids, mask, labels, asked)]
    assert moved[0] == [[7, 8, 9, 0, 0, 0], [4, 5, 6, 8, 8, 9]]
    assert moved[1] == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert moved[2] == [[-100, 8, 9, -100, -100, -100], [-100, -100, -100, 8, 8, 9]]


def test_across_tokenizers(tmp_path: Path, other_models: dict[str, str]) -> None:
    settings = replace(SHORT, student=other_models["small"], teacher=other_models["large"], method="across")
    assert train(clock_run(tmp_path), settings).steps == 3


def test_across_is_refused_where_tokens_cannot_be_aligned(
    tmp_path: Path, other_models: dict[str, str]
) -> None:
    settings = replace(SHORT, teacher=other_models["large"], method="across")
    with pytest.raises(DistillError, match="WordLevel; across tokenizers works for byte-level BPE only"):
        train(clock_run(tmp_path), settings)


def test_other_tokens_are_refused_before_anything_is_trained(
    tmp_path: Path, other_models: dict[str, str]
) -> None:
    settings = replace(SHORT, teacher=other_models["large"], method="logits")
    with pytest.raises(DistillError, match=r"tokens differ.*across"):
        train(clock_run(tmp_path), settings)
    assert not (tmp_path / "model").exists()


def test_only_the_completion_is_learnt(tmp_path: Path) -> None:
    from stillwatch.distill.train.examples import encode, pad_batch
    from stillwatch.distill.train.models import load
    from stillwatch.distill.train.trainers import dataset
    from stillwatch.distill.train.wording import wording

    torch = pytest.importorskip("torch")
    student = load("clock")
    words = wording(student.model, student.tokenizer)
    (one,) = problems(1, 3)
    encoded = encode([example(one)], words, SHORT, 96)
    row = dataset(encoded)[0]
    asked = student.tokenizer("<bos> " + one.prompt).input_ids
    assert row["input_ids"][: len(asked)] == asked
    assert row["labels"][: len(asked)] == [-100] * len(asked)
    learnt = student.tokenizer.decode(row["labels"][len(asked) :])
    assert learnt == f"<think> {one.trace} </think> {one.answer} <eos>"
    batch = pad_batch(torch, [row, row], 0)
    assert batch["prompts"].tolist() == [asked, asked]


def test_losses_are_those_of_the_formula() -> None:
    """TRL's divergences compared with NumPy, at beta 0, 1 and one half."""
    import numpy as np

    torch = pytest.importorskip("torch")
    from trl.experimental.gkd import GKDTrainer

    from stillwatch.distill.train import DIVERGENCES

    draw = np.random.default_rng(1)
    student, teacher = draw.normal(size=(2, 1, 4, 7))
    p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (teacher, student))

    def kl(a: Any, b: Any) -> float:
        return float((a * np.log(a / b)).sum(-1).mean())

    middle = (p + q) / 2
    wanted = {"forward": kl(p, q), "reverse": kl(q, p), "js": (kl(p, middle) + kl(q, middle)) / 2}
    for name, beta in DIVERGENCES.items():
        labels = torch.zeros((1, 4), dtype=torch.long)
        loss = GKDTrainer.generalized_jsd_loss(
            torch.tensor(student), torch.tensor(teacher), labels, beta=beta
        )
        assert float(loss) == pytest.approx(wanted[name], rel=1e-9)


def test_examples_that_were_paid_for_and_not_looked_at_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    trained = train(clock_run(tmp_path), replace(SHORT, steps=2), said)
    words = "2 steps look at 16 of the 60 examples: the rest taught nothing"
    assert trained.notes == (words,)
    assert f"note: {words}" in said


def test_the_same_seed_gives_the_same_student(tmp_path: Path) -> None:
    one = train(clock_run(tmp_path / "a"), SHORT)
    two = train(clock_run(tmp_path / "b"), SHORT)
    other = train(clock_run(tmp_path / "c"), replace(SHORT, seed=2))
    assert weights(one.model) == weights(two.model) != weights(other.model)


def test_what_stands_is_not_trained_again(tmp_path: Path) -> None:
    clock_run(tmp_path)
    said: list[str] = []
    train(tmp_path, SHORT)
    before = (tmp_path / "training.json").read_bytes()
    train(tmp_path, SHORT, said)
    assert any("stands" in text for text in said)
    assert (tmp_path / "training.json").read_bytes() == before
    write_rows(tmp_path / "curated.jsonl", [example(p) for p in problems(50, 9)])
    assert train(tmp_path, SHORT).examples == 50


def test_two_trainings_at_once_are_one_too_many(tmp_path: Path) -> None:
    from stillwatch.distill.train.run import lock_training

    with lock_training(tmp_path), pytest.raises(DistillError, match="another training"):
        train(clock_run(tmp_path), SHORT)


def test_the_curve_is_nested(tmp_path: Path) -> None:
    clock_run(tmp_path, examples=40)
    train(tmp_path, replace(SHORT, curve=(10, 20)))
    told = {n: json.loads((tmp_path / "curve" / n / "training.json").read_text()) for n in ("10", "20")}
    assert [told[n]["examples"] for n in ("10", "20")] == [10, 20]
    from stillwatch.distill.train.examples import choose_examples

    few, more = (choose_examples(tmp_path / "curated.jsonl", n, 1) for n in (10, 20))
    assert more[:10] == few


def test_examples_longer_than_the_context_are_counted_never_cut(tmp_path: Path) -> None:
    clock_run(tmp_path)
    with pytest.raises(DistillError, match=r"of 60 examples are longer than the 40 tokens.*none is cut"):
        train(tmp_path, replace(SHORT, max_length=40))
    trained = train(tmp_path, replace(SHORT, max_length=40, too_long="drop"))
    assert trained.left_out == {"longer than the context": 60 - trained.examples}
    assert 0 < trained.examples < 60


def test_words_that_the_student_lacks_are_counted(tmp_path: Path) -> None:
    clock_run(tmp_path)
    rows = [example(p) for p in problems(10, 1)]
    strange = [
        replace(rows[0], answer="Sorry, I cannot help"),
        replace(rows[1], reasoning=None),
        replace(rows[2], answer="\ud800"),
    ]
    write_rows(tmp_path / "curated.jsonl", [*rows, *strange])
    trained = train(tmp_path, SHORT)
    assert trained.left_out == {
        "is no Unicode": 1,
        "has words that the student's tokenizer lacks": 1,
        "has no reasoning": 1,
    }


def test_a_run_without_reasoning_cannot_be_learnt_with_it(tmp_path: Path) -> None:
    clock_run(tmp_path)
    write_rows(tmp_path / "curated.jsonl", [replace(example(p), reasoning=None) for p in problems(5, 1)])
    with pytest.raises(DistillError, match='take learn = "answers"'):
        train(tmp_path, SHORT)


def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DistillError, match="sees no GPU"):
        train(clock_run(tmp_path), replace(SHORT, device="cuda"))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DistillError, match="no model can be loaded from"):
        train(clock_run(tmp_path), replace(SHORT, student=str(tmp_path / "empty")))
    with pytest.raises(DistillError, match="there is no such file or folder"):
        train(tmp_path, replace(SHORT, student=str(tmp_path / "nowhere")))


def test_a_damaged_record_is_trained_anew(tmp_path: Path) -> None:
    train(clock_run(tmp_path), SHORT)
    (tmp_path / "training.json").write_text('{"loss": []}')
    assert train(tmp_path, SHORT).steps == 3


def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    """kill -9 in the middle, and half a checkpoint on disk: the final weights are the same."""
    settings = replace(SHORT, steps=24, checkpoint_every=4)
    whole = train(clock_run(tmp_path / "whole"), settings)
    folder = clock_run(tmp_path / "killed")
    code = (
        "import sys, time; from pathlib import Path\n"
        "from stillwatch.distill.train import Training; from stillwatch.distill.train.run import train\n"
        "def say(text):\n"
        "    print(text, flush=True)\n"
        "    if 'step 10' in text: time.sleep(60)\n"
        f"train(Path(sys.argv[1]), Training(**{vars(settings)!r}), say)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    ) as going:
        assert going.stdout is not None
        for text in going.stdout:
            if "step 10" in text:
                break
        os.kill(going.pid, signal.SIGKILL)
    half = folder / "checkpoints" / "checkpoint-12"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    said: list[str] = []
    again = train(folder, settings, said)
    assert again.resumed_at == (8,)
    assert "going on from step 8" in said
    assert weights(again.model) == weights(whole.model)
    assert [p.step for p in again.loss] == [p.step for p in whole.loss]


def test_a_full_disk_is_said_and_what_is_whole_stays(tmp_path: Path) -> None:
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path]).returncode
    ):
        pytest.skip("a small disk is mounted by root only")
    try:
        settings = replace(SHORT, steps=24, checkpoint_every=4)
        with pytest.raises(DistillError, match=r"cannot be written.*goes on from the last"):
            train(clock_run(tmp_path / "run"), settings)
        subprocess.run(["mount", "-o", "remount,size=64m", tmp_path], check=True)
        said: list[str] = []
        assert train(tmp_path / "run", settings, said).resumed_at == (4,)
    finally:
        subprocess.run(["umount", tmp_path], check=False)


@pytest.mark.slow
def test_kills_at_any_moment(tmp_path: Path) -> None:
    """Killed about every second until it finishes: the same weights as without kills."""
    settings = replace(SHORT, steps=30, checkpoint_every=5)
    whole = train(clock_run(tmp_path / "whole"), settings)
    folder = clock_run(tmp_path / "killed")
    code = (
        "import sys; from pathlib import Path\n"
        "from stillwatch.distill.train import Training; from stillwatch.distill.train.run import train\n"
        f"train(Path(sys.argv[1]), Training(**{vars(settings)!r}), lambda text: print(text, flush=True))\n"
    )
    draw, kills = random.Random(1), 0
    while not (folder / "training.json").exists() and kills < 4:
        with subprocess.Popen(
            [sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True
        ) as going:
            assert going.stdout is not None
            going.stdout.readline()  # it has started now
            time.sleep(draw.uniform(0, 1.5))
            going.kill()
        kills += 1
    again = train(folder, settings)
    assert kills > 1
    assert weights(again.model) == weights(whole.model)


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    said: list[str] = []
    trained = train(clock_run(tmp_path), replace(SHORT, processes=2, steps=12), said)
    assert trained.steps == 12
    assert any("step 10 of 12" in text for text in said)
    with pytest.raises(DistillError, match="longer than the 40 tokens"):
        train(tmp_path, replace(SHORT, processes=2, max_length=40))


@pytest.mark.slow
def test_steps_teach_what_answers_do_not(tmp_path: Path) -> None:
    """The same 1,000 samples, with and without their steps: about two CPU-minutes."""
    from stillwatch.distill.evaluate import Evaluation
    from stillwatch.distill.evaluate.run import evaluate

    shares = {}
    for learn in ("traces", "answers"):
        folder = clock_run(tmp_path / learn, examples=1000, questions=300)
        train(folder, replace(SHORT, learn=learn, steps=1400, batch=48, warmup_steps=30))
        told = evaluate(folder, Evaluation(new_tokens=64, teacher="skip"), lambda _: None)
        shares[learn] = told["student_after"]["clock"]
    assert shares["traces"]["low"] > 0.7
    assert shares["answers"]["high"] < 0.25


@pytest.mark.slow
def test_a_forecast_tries_a_few_steps_and_leaves_nothing(tmp_path: Path) -> None:
    from stillwatch.distill.forecast import forecast
    from stillwatch.distill.plan import DistillPlan
    from stillwatch.distill.rows import read_prompts, write_json

    folder = clock_run(tmp_path / "run", examples=60, questions=8)
    write_json(folder / "curation.json", {"kept": 60})
    before = sorted(folder.rglob("*"))
    plan = DistillPlan(folder=str(folder), train=replace(SHORT, steps=40, curve=(30,), usd_per_hour=1.0))
    told = forecast(plan, list(read_prompts(folder / "heldout.jsonl")), None, probe=True)
    found = {(one.what, one.unit): one for one in told}
    seconds, dollars = found["training", "seconds"], found["training", "US dollars"]
    assert seconds.low is not None
    assert seconds.high is not None
    assert 0 <= seconds.low <= seconds.high
    assert dollars.high == pytest.approx(seconds.high / 3600)
    flops = found["training", "FLOPs"]
    assert flops.low is not None
    assert 80 * 8 * 6 * 60_000 * 20 < flops.low < 80 * 8 * 6 * 65_000 * 200, (
        "80 steps of 8 of 20 to 200 tokens"
    )
    assert found["students on disk", "bytes"].low == 2 * 4 * 62_784
    assert found["evaluation", "seconds"].high
    assert sorted(folder.rglob("*")) == before


def test_a_killed_training_of_the_embedded_teacher_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stillwatch.distill.embedded import teacher

    for name, value in (
        ("STEPS", 12),
        ("BATCH", 4),
        ("PROBLEMS", 60),
        ("WARMUP", 2),
        ("CHECKPOINT_STEPS", 4),
    ):
        monkeypatch.setattr(teacher, name, value)

    def killed(words: str) -> None:
        if "step 8 of" in words:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teacher.make(tmp_path / "a", 1, killed, tmp_path / "checkpoint")
    said: list[str] = []
    teacher.make(tmp_path / "a", 1, said.append, tmp_path / "checkpoint")
    assert said[0] == "teacher: going on from step 8 of 12"
    teacher.make(tmp_path / "b", 1, lambda _: None)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
