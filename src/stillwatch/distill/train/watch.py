"""Monitors a training: its loss, its cost, its checkpoints."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stillwatch.distill.train.checkpoints import mark
from stillwatch.distill.train.extra import need

Say = Callable[[str], None]
SILENT_S = 30.0  # a step may take minutes: each that ends later than this is reported


class TrainingMeter:
    """The cost of a training so far, reported at each point of the loss curve and in each checkpoint."""

    def __init__(self, cpu_s: float, wall_s: float, resumed_at: tuple[int, ...], say: Say) -> None:
        self._cpu_0 = time.process_time() - cpu_s
        self._wall_0 = time.monotonic() - wall_s
        self.resumed_at = resumed_at
        self._say = say
        self._said = time.monotonic()

    def say(self, words: str) -> None:
        self._said = time.monotonic()
        self._say(words)

    @property
    def silent_s(self) -> float:
        return time.monotonic() - self._said

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._cpu_0

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self._wall_0


def callback(watch: TrainingMeter) -> Any:
    """Return the callback for the trainer, called at each step, save and point of the loss curve."""
    need("transformers")
    from transformers import TrainerCallback

    class Callback(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                mark(folder, watch.cpu_s, watch.wall_s, watch.resumed_at)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step >= state.max_steps:
                control.should_log = True  # the last point of the curve, at whatever step
            elif state.is_world_process_zero and watch.silent_s > SILENT_S:
                watch.say(f"step {state.global_step:,} of {state.max_steps:,}, {watch.cpu_s:,.0f} CPU-s")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if state.is_world_process_zero and logs and "loss" in logs:
                watch.say(
                    f"step {state.global_step:,} of {state.max_steps:,}, loss {float(logs['loss']):.3f}"
                )

    return Callback()
