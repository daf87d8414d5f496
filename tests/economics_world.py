"""Stored cells of a small experiment for the tests of economics: simulated students, no model is trained."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from distill_world import asked, clock_run, question
from stillwatch.distill import Example
from stillwatch.distill.economics import EconomicsResult, Experiment, cells
from stillwatch.distill.economics.declare import read_experiment
from stillwatch.distill.economics.grid import declaration_hash, place
from stillwatch.distill.embedded.clock import problems
from stillwatch.distill.rows import write_json, write_rows

DECLARATION = """
name = "small"
seeds = [1, 2, 3, 4, 5]
[cpu_hour]
usd = 0.04
source = "a test"
as_of = "2026-11"
[gpu_hour]
usd = 2.0
source = "a test"
as_of = "2026-11"
[[task]]
name = "dial"
about = "A toy."
toy = true
sizes = [10, 20, 40]
spot_checks = [20]
questions = 200
[task.plan.teacher]
base_url = "embedded:clock"
model = "clock-teacher"
[task.plan.prompts]
task = "clock"
n = 60
[task.plan.heldout]
task = "clock"
n = 200
[task.plan.budget]
requests = 200
[[task.arm]]
name = "public"
train = { steps = 3, batch = 8, device = "cpu", checkpoint_every = 0 }
[[task.arm]]
name = "answers"
train = { steps = 3, batch = 8, device = "cpu", checkpoint_every = 0 }
[[task.arm]]
name = "traces"
train = { steps = 3, batch = 8, device = "cpu", checkpoint_every = 0 }
"""


def experiment(folder: Path, declaration: str = DECLARATION) -> Experiment:
    """Return a declared experiment with existing data: no teacher is asked."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "small.toml"
    file.write_text(declaration)
    found = read_experiment(file, "", folder / "run")
    task = found.task[0]
    run = found.data(task)
    if not run.path.exists():
        clock_run(run.path, 60, 200)
        write_rows(run.heldout, [question(p) for p in problems(200, 1, held_out=True)])
        taught = problems(60, 1)
        write_rows(
            found.public(task),
            [Example(p.id, 0, asked(p), None, p.answer, "clock", p.answer) for p in taught],
        )
        write_json(run.curation, {"kept": 60})
        write_json(run.spent, {"usd": 0.03, "answers": 60})
    return found


def expected(arm: str, size: int) -> float:
    """Return the simulated students' average share right."""
    if not size:
        return 0.0
    return 0.1 if arm != "traces" else float(1 / (1 + np.exp(-2 * (np.log(size) - np.log(20)))))


def simulate(one: Experiment, seeds: tuple[int, ...], spread: float = 0.2, draw_seed: int = 1) -> None:
    """Write the cells of some seeds: each student's logit has its own normal error."""
    draw = np.random.default_rng(draw_seed)
    task = one.task[0]
    for cell in cells(one):
        if cell.seed not in (*seeds, one.spot_seed):
            continue
        share = expected(cell.arm, cell.size)
        if share:
            share = 1 / (1 + np.exp(-(np.log(share / (1 - share)) + spread * draw.normal())))
        arm = next(arm for arm in task.arm if arm.name == cell.arm)
        result = EconomicsResult(
            **dataclasses.asdict(cell),
            declared=declaration_hash(one, task, arm),
            right="".join("1" if x < share else "0" for x in draw.random(task.questions)),
            learnt=cell.size,
            parameters=1000,
            steps=3,
            flops=6e6 * (1 + cell.size),
            train_cpu_s=36.0,
            train_wall_s=36.0,
            evaluate_cpu_s=4.0,
            fingerprint=f"{cell.name}",
        )
        path = place(one, cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(result)))
