"""Estimates the cost of an experiment, from the plans and a few steps of each student on this machine.

Null, Blind to: see `distill.forecast`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from stillwatch.distill.collect.ask import estimate as bound_bill
from stillwatch.distill.economics import EconomicsCell, EconomicsResult, EconomicsTask, Experiment
from stillwatch.distill.economics.grid import time_to_go
from stillwatch.distill.evaluate import Evaluation
from stillwatch.distill.forecast import examples_alike
from stillwatch.distill.prepare import prepare
from stillwatch.distill.rows import read_prompts
from stillwatch.errors import StillwatchError

Say = Callable[[str], None]


@dataclass(frozen=True)
class ToDo:
    """The remaining work of one arm, or, if `arm` is empty, of collecting a task's answers."""

    task: str
    arm: str
    wanted: int
    left: int
    cpu_s: float | None
    usd: float | None
    rests_on: str


def estimate(
    experiment: Experiment,
    wanted: Sequence[EconomicsCell],
    stand: dict[EconomicsCell, EconomicsResult],
    who: str,
    now_us: int,
    probe: bool,
    say: Say,
) -> list[ToDo]:
    """Return the remaining work, by task and arm. Raises: DistillError, PlanError."""
    found = []
    for task in experiment.task:
        cells = [cell for cell in wanted if cell.task == task.name]
        if not cells:
            continue
        run = experiment.data(task)
        plan = replace(task.plan, folder=str(run.path))
        if not run.prompts.exists():
            prepare(plan, who, now_us)
        bill = bound_bill(plan, list(read_prompts(run.prompts)))
        requests, usd = (0, 0.0) if run.curation.exists() else (bill["requests"], bill["most_usd"])
        found.append(ToDo(task.name, "", task.plan.prompts.n, requests, None, usd, "bounds"))
        for arm in task.arm:
            every = [cell for cell in cells if cell.arm == arm.name]
            left = [cell for cell in every if cell not in stand]
            cpu_s = time_to_go(
                {c: r for c, r in stand.items() if (c.task, c.arm) == (task.name, arm.name)}, left
            )
            ground = "students that stand"
            if left and cpu_s is None:
                cpu_s, ground = (
                    _try_steps(experiment, task, arm.name, left, say) if probe else (None, "--no-probe")
                )
            found.append(ToDo(task.name, arm.name, len(every), len(left), cpu_s, None, ground))
    return found


def _try_steps(
    experiment: Experiment, task: EconomicsTask, name: str, left: Sequence[EconomicsCell], say: Say
) -> tuple[float | None, str]:
    """Return the CPU-seconds of these cells, by a few steps of their student and two batches of questions."""
    from stillwatch.distill.train.probe import training_pace, writing_pace

    settings = next(arm for arm in task.arm if arm.name == name).settings(experiment.seeds[0])
    run = experiment.data(task)
    say(f"{task.name}, {name}: a few steps are tried here (--no-probe leaves that out)")
    try:
        prompts = list(read_prompts(run.prompts))
        plan = replace(task.plan, train=settings)
        paces = [training_pace(settings, rows) for rows in examples_alike(plan, run, prompts, None)]
        scoring = Evaluation(new_tokens=task.new_tokens, batch=task.batch)
        writing = writing_pace(scoring, settings, [prompt.messages for prompt in prompts])
    except StillwatchError as why:
        return None, f"unknown: {why}"
    a_step = settings.batch * settings.accumulate * settings.processes
    steps = sum(settings.steps or -(-settings.epochs * cell.size // a_step) for cell in left if cell.size)
    batches = -(-task.questions // task.batch)
    answers = len(left) * batches * (writing.read_s + task.new_tokens * writing.token_s)
    cpu_s = max(fmean(pace.step_cpu_s) for pace in paces) * steps + answers
    return cpu_s, f"{len(paces[0].step_cpu_s)} steps here; answers as long as may be"
