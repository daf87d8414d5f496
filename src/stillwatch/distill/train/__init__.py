"""Training a student: how it is done, and what came of it. It does not know where the examples are from.

What is needed for it (PyTorch and what trains on it) is the extra `train`; this door opens without.
"""

from dataclasses import dataclass
from pathlib import Path

from stillwatch.distill import DistillError

METHODS = {
    "text": "the teacher's words: any teacher, also one behind an API",
    "logits": "the teacher's whole distribution at each token of its words: its weights have to be here",
    "on-policy": "the same at each token of what the student writes",
    "across": "the teacher's distribution where its tokenizer is another one (GOLD)",
}
LEARN = ("traces", "answers")  # the reasoning and the answer, or the answer alone
# Between the distributions of teacher and student at a token, with TRL's beta:
# forward, KL(teacher || student), covers all that the teacher might say; reverse says nothing it would not.
DIVERGENCES = {"forward": 0.0, "js": 0.5, "reverse": 1.0}
CLOCK = "clock"  # the embedded student, from scratch


@dataclass(frozen=True)
class Training:
    """The settings of one training; the plan's section `[train]` has the same names.

    `student` and `teacher` are `clock`, a folder with a Hugging Face model, a GGUF file, or a hub's name; the
    teacher is needed where its distributions are. `epochs` counts where `steps` is 0. `lora_rank` 0 trains
    all weights. `max_length` in tokens, prompt and completion together; 0 is the model's own. More than one
    of `processes`, or an `accelerate_config`, starts them with accelerate. `curve`: further students, each
    on so many examples.

    Raises: DistillError for a value that cannot be.
    """

    student: str = CLOCK
    method: str = "text"
    learn: str = "traces"
    teacher: str | None = None
    divergence: str = "forward"
    on_policy_share: float = 1.0  # on-policy: the share of batches that the student writes itself
    temperature: float = 1.0  # on-policy: at which it writes
    new_tokens: int = 128  # on-policy: how much it may write
    steps: int = 0
    epochs: float = 3.0
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 2e-4
    warmup_steps: int = 30
    weight_decay: float = 0.01
    lora_rank: int = 0
    max_length: int = 0
    too_long: str = "refuse"  # or "drop": never cut in silence
    checkpoint_every: int = 200  # steps; 0 keeps none
    seed: int = 1
    device: str = "auto"  # or "cpu", "cuda"
    bf16: bool = False
    gradient_checkpointing: bool = False
    processes: int = 1
    accelerate_config: str | None = None
    curve: tuple[int, ...] = ()
    usd_per_hour: float = 0.0  # of the machine; 0: the report gives no dollars for training

    def __post_init__(self) -> None:
        for name, allowed in (
            ("method", tuple(METHODS)),
            ("learn", LEARN),
            ("divergence", tuple(DIVERGENCES)),
            ("too_long", ("refuse", "drop")),
            ("device", ("auto", "cpu", "cuda")),
        ):
            if getattr(self, name) not in allowed:
                raise DistillError(
                    f"[train] {name} is {getattr(self, name)!r}; it can be {', '.join(allowed)}"
                )
        for name, least in (
            ("batch", 1),
            ("accumulate", 1),
            ("processes", 1),
            ("new_tokens", 1),
            ("steps", 0),
            ("warmup_steps", 0),
            ("weight_decay", 0),
            ("lora_rank", 0),
            ("max_length", 0),
            ("checkpoint_every", 0),
            ("seed", 0),
            ("usd_per_hour", 0),
        ):
            if getattr(self, name) < least:
                raise DistillError(f"[train] {name} is {getattr(self, name)}; the least is {least}")
        for name in ("epochs", "learning_rate", "temperature"):
            if not 0 < getattr(self, name) < float("inf"):
                raise DistillError(f"[train] {name} is {getattr(self, name)}; it has to be more than 0")
        if not 0 < self.on_policy_share <= 1:
            raise DistillError(f"[train] on_policy_share is {self.on_policy_share}; it lies in (0, 1]")
        if any(n < 1 for n in self.curve) or list(self.curve) != sorted(set(self.curve)):
            raise DistillError(f"[train] curve is {list(self.curve)}; it rises from at least 1")
        if self.method != "text" and self.teacher is None:
            raise DistillError(
                f"[train] method {self.method} needs the teacher's weights: set `teacher` to a folder, "
                'or take method = "text", which needs only what it said'
            )


@dataclass(frozen=True)
class LossPoint:
    """The loss at a step (mean over the steps since the last point)."""

    step: int
    loss: float


@dataclass(frozen=True)
class Trained:
    """What a training came to: `training.json` has the same names.

    `learnt_tokens` are those of the completions, counted once; `resumed_at` the steps from which it went on
    after it was stopped; `cpu_s` is that of the first process, over all tries as far as checkpoints remember.
    """

    model: Path
    fingerprint: str  # of the settings and the examples: the same again is not trained again
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
