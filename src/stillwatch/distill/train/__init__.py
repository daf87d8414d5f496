"""Training a student: settings and results.

PyTorch and the other libraries needed are the extra `train`; this module imports without them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from stillwatch.distill import DistillError
from stillwatch.toml.declared import Bounds, OneOf, out_of_bounds

METHODS = {
    "text": "the teacher's words: any teacher, also one behind an API",
    "logits": "the teacher's whole distribution at each token of its words: its weights have to be here",
    "on-policy": "the same at each token of what the student writes",
    "across": "the teacher's distribution where its tokenizer is another one (GOLD)",
}
LEARN = ("traces", "answers")  # the reasoning and the answer, or the answer alone
# Divergence between teacher and student at a token, as TRL's beta: forward, KL(teacher || student), covers
# everything that the teacher might say; reverse avoids anything that it would not say.
DIVERGENCES = {"forward": 0.0, "js": 0.5, "reverse": 1.0}
CLOCK = "clock"  # the embedded student, from scratch
POSITIVE = Bounds(0, above=True)


@dataclass(frozen=True)
class Training:
    """The settings of one training; the plan's section `[train]` has the same names.

    `student` and `teacher` are `clock`, a folder with a Hugging Face model, a GGUF file, or a hub's name; the
    teacher is needed only by methods that use its distributions. `epochs` counts if `steps` is 0. `lora_rank`
    0 trains all weights. `max_length` in tokens, prompt and completion together; 0 is the model's own. More
    than one of `processes`, or an `accelerate_config`, starts them with accelerate. `curve`: further
    students, each on so many examples.

    Raises: DistillError for an impossible value.
    """

    student: str = CLOCK
    method: Annotated[str, OneOf(*METHODS)] = "text"
    learn: Annotated[str, OneOf(*LEARN)] = "traces"
    teacher: str | None = None
    divergence: Annotated[str, OneOf(*DIVERGENCES)] = "forward"
    on_policy_share: Annotated[float, Bounds(0, 1, above=True)] = 1.0  # of batches that the student generates
    temperature: Annotated[float, POSITIVE] = 1.0  # on-policy: for generating
    new_tokens: Annotated[int, Bounds(1)] = 128  # on-policy: limit of generated tokens
    steps: Annotated[int, Bounds(0)] = 0
    epochs: Annotated[float, POSITIVE] = 3.0
    batch: Annotated[int, Bounds(1)] = 8
    accumulate: Annotated[int, Bounds(1)] = 1
    learning_rate: Annotated[float, POSITIVE] = 2e-4
    warmup_steps: Annotated[int, Bounds(0)] = 30
    weight_decay: Annotated[float, Bounds(0)] = 0.01
    lora_rank: Annotated[int, Bounds(0)] = 0
    max_length: Annotated[int, Bounds(0)] = 0
    too_long: Annotated[str, OneOf("refuse", "drop")] = "refuse"  # examples are never truncated silently
    checkpoint_every: Annotated[int, Bounds(0)] = 200  # steps; 0 keeps none
    seed: Annotated[int, Bounds(0)] = 1
    device: Annotated[str, OneOf("auto", "cpu", "cuda")] = "auto"
    bf16: bool = False
    gradient_checkpointing: bool = False
    processes: Annotated[int, Bounds(1)] = 1
    accelerate_config: str | None = None
    curve: tuple[Annotated[int, Bounds(1)], ...] = ()
    # of the machine; 0: the report gives no dollar cost of training
    usd_per_hour: Annotated[float, Bounds(0)] = 0.0

    def __post_init__(self) -> None:
        wrong = out_of_bounds(self)
        if list(self.curve) != sorted(set(self.curve)) or min(self.curve, default=1) < 1:
            wrong.append(f"curve is {list(self.curve)}; it rises from at least 1")
        if self.method != "text" and self.teacher is None:
            wrong.append(
                f"method {self.method} needs the teacher's weights: set `teacher` to a folder, "
                'or take method = "text", which needs only what it said'
            )
        if wrong:
            raise DistillError("[train] " + "; ".join(wrong))


@dataclass(frozen=True)
class LossPoint:
    """The loss at a step (mean over the steps since the last point)."""

    step: int
    loss: float


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training: `training.json` has the same names.

    `learnt_tokens` are those of the completions, counted once; `resumed_at` the steps at which it was
    resumed; `cpu_s` that of the first process, over all tries as far as checkpoints record it.
    """

    model: Path
    fingerprint: str  # of settings and examples: a repeated call does not train again
    student: str
    method: str
    learn: str
    seed: int
    examples: int
    left_out: dict[str, int]
    learnt_tokens: int
    parameters: int
    trained_parameters: int
    steps: int
    cpu_s: float
    wall_s: float
    usd_per_hour: float
    device: str
    resumed_at: tuple[int, ...]
    curve: tuple[int, ...]  # the smaller students that were trained with it
    notes: tuple[str, ...]
    loss: tuple[LossPoint, ...]
