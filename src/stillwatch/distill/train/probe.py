"""Measures how fast this machine trains and generates, by a few steps of the plan's own student."""

import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError, Example
from stillwatch.distill.evaluate import Evaluation
from stillwatch.distill.evaluate.generate import write_tokens
from stillwatch.distill.train import CLOCK, Training
from stillwatch.distill.train.examples import encode
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.models import context, load, load_to_run
from stillwatch.distill.train.trainers import trainer
from stillwatch.distill.train.wording import wording

STEPS, LEAST_STEPS = 40, 4  # at most; and at least, however long they take
SECONDS = 15.0  # after which no further step is started
UNCOUNTED = 1  # first step, which includes set-up
MEMORY_A_BYTE = 30  # of a file with weights in 4 bits: 32-bit weights, gradients and two moments of Adam
WRITTEN = (2, 6)  # tokens of two batches; their difference gives the speed


@dataclass(frozen=True)
class TrainingPace:
    """Seconds and CPU-seconds of each step, the student's size, and the tokens of a step."""

    step_s: tuple[float, ...]
    step_cpu_s: tuple[float, ...]
    parameters: int
    trained_parameters: int
    tokens_a_step: float
    device: str


@dataclass(frozen=True)
class WritingPace:
    """Seconds to read a batch of questions, and to generate one token for each."""

    read_s: float
    token_s: float


def training_pace(settings: Training, rows: Sequence[Example]) -> TrainingPace:
    """Train some steps on examples like those of the run. Raises: DistillError, InputError."""
    from stillwatch.distill.train.run import on_cpu

    torch = need("torch")
    cpu = on_cpu(settings)
    _refuse_what_is_not_here(settings.student)
    student = load(settings.student, settings.seed, half=settings.bf16 and settings.lora_rank > 0)
    words = wording(student.model, student.tokenizer)
    short = replace(settings, steps=STEPS, checkpoint_every=0, too_long="drop", curve=())
    encoded = encode(rows, words, short, context(student.model))
    ends: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="stillwatch-", ignore_cleanup_errors=True) as folder:
        hf_trainer = trainer(short, student, words, encoded, Path(folder), cpu)
        hf_trainer.remove_callback(need("transformers").PrinterCallback)
        hf_trainer.add_callback(_note_times(ends))
        hf_trainer.train()
    lengths = [len(row.prompt) + len(row.completion) for row in encoded.rows]
    return TrainingPace(
        tuple(after[0] - before[0] for before, after in pairwise(ends[UNCOUNTED - 1 :])),
        tuple(after[1] - before[1] for before, after in pairwise(ends[UNCOUNTED - 1 :])),
        sum(p.numel() for p in hf_trainer.model.parameters()),
        sum(p.numel() for p in hf_trainer.model.parameters() if p.requires_grad),
        sum(lengths) / len(lengths) * settings.batch * settings.accumulate,
        "this CPU" if cpu else str(torch.cuda.get_device_name()),
    )


def writing_pace(
    settings: Evaluation, training: Training, prompts: Sequence[tuple[dict[str, str], ...]]
) -> WritingPace:
    """Let the untrained student begin to answer one batch. Raises: DistillError, InputError."""
    loaded = load_to_run(training.student, training.seed)
    words = wording(loaded.model, loaded.tokenizer)
    tokens = [words.prompt_tokens(messages) for messages in prompts[: settings.batch]]
    never = frozenset({loaded.model.get_input_embeddings().weight.shape[0]})  # no token ends it
    took = []
    for batch in WRITTEN:
        began = time.monotonic()
        write_tokens(loaded, replace(words, ends=never), tokens, new_tokens=batch, batch=settings.batch)
        took.append(time.monotonic() - began)
    token_s = max(0.0, (took[1] - took[0]) / (WRITTEN[1] - WRITTEN[0]))
    return WritingPace(max(0.0, took[0] - WRITTEN[0] * token_s), token_s)


def _refuse_what_is_not_here(place: str) -> None:
    """Raises: DistillError for a student that would have to be downloaded, or does not fit this memory."""
    path = Path(place).expanduser()
    if place == CLOCK:
        return
    if not path.exists():
        raise DistillError(f"{place} is not on this machine, and an estimate fetches nothing")
    files = [path] if path.is_file() else [*path.glob("*.safetensors"), *path.glob("*.bin")]
    weights = sum(file.stat().st_size for file in files)
    if sys.platform == "linux" and weights * MEMORY_A_BYTE > _free_memory():
        raise DistillError(f"{place} may not fit into this machine's free memory: try it where it is trained")


def _free_memory() -> int:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else sys.maxsize


def _note_times(ends: list[tuple[float, float]]) -> Any:
    from transformers import TrainerCallback

    class StepTimes(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            ends.append((time.monotonic(), time.process_time()))
            if len(ends) >= LEAST_STEPS and ends[-1][0] - ends[0][0] > SECONDS:
                control.should_training_stop = True

    return StepTimes()
