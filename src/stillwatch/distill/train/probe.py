"""How fast this machine trains and writes: a few steps of the plan's own student. Nothing of them is kept."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from stillwatch.distill import Example
from stillwatch.distill.evaluate import Evaluation
from stillwatch.distill.evaluate.generate import write_tokens
from stillwatch.distill.train import Training
from stillwatch.distill.train.examples import encode
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.models import context, load, load_to_run
from stillwatch.distill.train.trainers import trainer
from stillwatch.distill.train.wording import wording

STEPS = 5  # of which the first is not counted: it sets things up
WRITTEN = (4, 12)  # tokens of two batches; their difference is the pace


@dataclass(frozen=True)
class TrainingPace:
    """Seconds of each step, the student's size, and the tokens (prompt and completion) of a step."""

    step_s: tuple[float, ...]
    parameters: int
    trained_parameters: int
    tokens_a_step: float
    device: str


@dataclass(frozen=True)
class WritingPace:
    """Seconds to read a batch of questions, and to write one token to each of them."""

    read_s: float
    token_s: float
    questions: int


def training_pace(settings: Training, rows: Sequence[Example]) -> TrainingPace:
    """Train `STEPS` steps on examples like those to come. Raises: DistillError, InputError."""
    from stillwatch.distill.train.run import on_cpu

    torch = need("torch")
    cpu = on_cpu(settings)
    student = load(settings.student, settings.seed, half=settings.bf16 and settings.lora_rank > 0)
    words = wording(student.model, student.tokenizer)
    few = replace(settings, steps=STEPS, checkpoint_every=0, too_long="drop", curve=())
    encoded = encode(rows, words, few, context(student.model))
    ends: list[float] = []
    with tempfile.TemporaryDirectory(prefix="stillwatch-", ignore_cleanup_errors=True) as folder:
        fitting = trainer(few, student, words, encoded, Path(folder), cpu)
        fitting.remove_callback(need("transformers").PrinterCallback)
        fitting.add_callback(_clock(ends))
        fitting.train()
    lengths = [len(row.prompt) + len(row.completion) for row in encoded.rows]
    return TrainingPace(
        tuple(after - before for before, after in pairwise(ends)),
        sum(p.numel() for p in fitting.model.parameters()),
        sum(p.numel() for p in fitting.model.parameters() if p.requires_grad),
        sum(lengths) / len(lengths) * settings.batch * settings.accumulate,
        "this CPU" if cpu else str(torch.cuda.get_device_name()),
    )


def writing_pace(
    settings: Evaluation, training: Training, asked: Sequence[tuple[dict[str, str], ...]]
) -> WritingPace:
    """Let the untrained student begin to answer one batch. Raises: DistillError, InputError."""
    loaded = load_to_run(training.student, training.seed)
    words = wording(loaded.model, loaded.tokenizer)
    tokens = [words.prompt_tokens(messages) for messages in asked[: settings.batch]]
    never = frozenset({loaded.model.get_input_embeddings().weight.shape[0]})  # no token ends it
    took = []
    for many in (WRITTEN[0], *WRITTEN):  # the first is not counted
        began = time.monotonic()
        write_tokens(loaded, replace(words, ends=never), tokens, new_tokens=many, batch=settings.batch)
        took.append(time.monotonic() - began)
    token_s = max(0.0, (took[2] - took[1]) / (WRITTEN[1] - WRITTEN[0]))
    return WritingPace(max(0.0, took[1] - WRITTEN[0] * token_s), token_s, len(tokens))


def _clock(ends: list[float]) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            ends.append(time.monotonic())

    return Clock()
