"""Trains and scores the cells of an experiment; each finished cell is one file, so a kill loses only one.

Students are trained by `distill.train.run`, which has checkpoints of its own.
"""

import dataclasses
import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError, Example, Prompt
from stillwatch.distill.economics import (
    UNTRAINED,
    EconomicsArm,
    EconomicsCell,
    EconomicsResult,
    EconomicsTask,
    Experiment,
    cells,
)
from stillwatch.distill.plan import text
from stillwatch.distill.prepare import prepare
from stillwatch.distill.rows import read_json, read_prompts, write_json, write_rows
from stillwatch.errors import StillwatchError

Say = Callable[[str], None]
ADAM_FLOPS = 6  # for each weight and token: 2 forward, 4 backward (Kaplan et al. 2020, arXiv 2001.08361)


def gather(experiment: Experiment, task: EconomicsTask, who: str, now_us: int, say: Say) -> None:
    """Collect and curate a task's answers with distill, unless they exist.

    Raises: DistillError if there are too few examples or held-out questions.
    """
    from stillwatch.distill.collect.ask import collect_run
    from stillwatch.distill.curate.run import curate_run

    run = experiment.data(task)
    plan = dataclasses.replace(task.plan, folder=str(run.path))
    is_same = run.plan.exists() and run.plan.read_text(encoding="utf-8") == text(plan)
    if not (is_same and run.curation.exists() and experiment.public(task).exists()):
        say(f"{task.name}: the teacher's answers are collected into {run.path}")
        prepare(plan, who, now_us)
        collected = collect_run(run, plan, lambda progress: None, say)
        if collected.answers < collected.wanted:
            raise DistillError(
                f"{task.name}: {collected.answers:,} of {collected.wanted:,} answers were collected: "
                f"{collected.stopped or 'some failed for good'}; "
                f"`stillwatch distill collect {run.path}` says more"
            )
        curate_run(run, plan, lambda stage, done, total: None)
        public = [_public(prompt) for prompt in read_prompts(run.prompts)]
        write_rows(experiment.public(task), public)
    most = max(*task.sizes, *task.spot_checks)
    kept = int(read_json(run.curation)["kept"])
    if kept < most:
        raise DistillError(f"{task.name}: {kept:,} examples are kept, a size is {most:,}: raise prompts.n")
    held_out = sum(1 for _ in read_prompts(run.heldout))
    if held_out < task.questions:
        raise DistillError(
            f"{task.name}: {held_out:,} questions are held out, {task.questions:,} are declared: raise "
            "heldout.n"
        )


def _public(prompt: Prompt) -> Example:
    if not isinstance(prompt.expected, str | int | float) or prompt.expected == "":
        raise DistillError(
            f"{prompt.id}: has no right answer in words, which the arm `public` learns; leave that arm out"
        )
    return Example(prompt.id, 0, prompt.messages, None, str(prompt.expected), prompt.task, prompt.expected)


def declaration_hash(experiment: Experiment, task: EconomicsTask, arm: EconomicsArm) -> str:
    """Return a hash of what a cell of this arm depends on besides its size and seed."""
    inert = {"checkpoint_every", "usd_per_hour", "seed", "curve", "learn"}
    train = {k: v for k, v in dataclasses.asdict(arm.train).items() if k not in inert}
    # a file's folder does not matter, its name does
    train["student"] = Path(train["student"]).name
    run = experiment.data(task)
    digest = hashlib.sha256(
        json.dumps([arm.name, train, task.questions, task.new_tokens], sort_keys=True).encode()
    )
    for path in (experiment.public(task) if arm.name == "public" else run.curated_file, run.heldout):
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:16]


def place(experiment: Experiment, cell: EconomicsCell) -> Path:
    return Path(experiment.folder) / "cells" / f"{cell.name}.json"


def finished_cells(experiment: Experiment) -> dict[EconomicsCell, EconomicsResult]:
    """Return every finished cell of this declaration. Raises: DistillError for a damaged file."""
    hashes: dict[tuple[str, str], str] = {
        (task.name, arm.name): declaration_hash(experiment, task, arm)
        for task in experiment.task
        for arm in task.arm
    }
    found = {}
    for cell in cells(experiment):
        path = place(experiment, cell)
        if not path.exists():
            continue
        try:
            result = EconomicsResult(**read_json(path))
        except (StillwatchError, TypeError) as why:
            raise DistillError(f"{path}: is no cell of this version: {why}; move it away") from why
        if (
            result.declared == hashes[cell.task, cell.arm]
            and set(result.right) <= {"0", "1"}
            and result.right
        ):
            found[cell] = result
    return found


def run(
    experiment: Experiment, wanted: Sequence[EconomicsCell], jobs: int, until_s: float | None, say: Say
) -> int:
    """Train the missing cells, `jobs` at once, starting none after `until_s` seconds.

    Returns how many of them are finished at the end.
    """
    others = [
        multiprocessing.get_context("spawn").Process(
            target=_work, args=(experiment, wanted, until_s, _silent, os.getpid())
        )
        for _ in range(jobs - 1)
    ]
    for result in others:
        result.start()
    try:
        _work(experiment, wanted, until_s, say, None)
        for result in others:
            result.join()
    finally:
        for result in others:
            result.terminate()
    stand = finished_cells(experiment)
    return sum(cell in stand for cell in wanted)


def _silent(words: str) -> None: ...


def _work(
    experiment: Experiment,
    wanted: Sequence[EconomicsCell],
    until_s: float | None,
    say: Say,
    parent: int | None,
) -> None:
    """Train missing cells one after the other, skipping those that another process has taken."""
    from stillwatch.distill.train.extra import need

    torch = need("torch")
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    began = time.monotonic()
    for cell in wanted:
        if until_s is not None and time.monotonic() - began > until_s:
            return
        if parent is not None and os.getppid() != parent:  # the parent was killed: nothing waits for the rest
            return
        stand = finished_cells(experiment)
        if cell in stand:
            continue
        folder = Path(experiment.folder) / "work" / cell.name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "cell.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if place(experiment, cell).exists() and cell in finished_cells(experiment):
                continue
            result = _train_cell(experiment, cell, folder, stand)
            path = place(experiment, cell)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, dataclasses.asdict(result))
            shutil.rmtree(folder, ignore_errors=True)
        stand = finished_cells(experiment)
        say(f"{cell.name}: {result.share:.1%} right, {_count(stand, wanted)}")


def _count(stand: dict[EconomicsCell, EconomicsResult], wanted: Sequence[EconomicsCell]) -> str:
    missing = [cell for cell in wanted if cell not in stand]
    done = len(wanted) - len(missing)
    if not missing:
        return f"all {done:,} cells stand"
    to_go = minutes(time_to_go(stand, missing))
    return f"{done:,} of {len(wanted):,} cells, about {to_go} of processor time to go"


def minutes(seconds: float | None) -> str:
    """
    >>> minutes(None), minutes(90), minutes(9000)
    ('an unknown time', '2 min', '2.5 h')
    """
    if seconds is None:
        return "an unknown time"
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


def time_to_go(stand: dict[EconomicsCell, EconomicsResult], missing: Sequence[EconomicsCell]) -> float | None:
    """Return the CPU-seconds for the remaining cells, by those of the nearest cell of the same arm."""
    total = 0.0
    for cell in missing:
        alike = [
            result for result in stand if (result.task, result.arm) == (cell.task, cell.arm) and result.size
        ]
        if not alike:
            alike = [result for result in stand if result.task == cell.task and result.size] or [
                result for result in stand if result.size
            ]
        if not alike:
            return None
        nearest = min(alike, key=lambda result: abs(result.size - cell.size))
        total += stand[nearest].train_cpu_s * (cell.size > 0) + stand[nearest].evaluate_cpu_s
    return total


def _train_cell(
    experiment: Experiment, cell: EconomicsCell, folder: Path, stand: dict[EconomicsCell, EconomicsResult]
) -> EconomicsResult:
    from stillwatch.distill.train.examples import choose_examples, encode
    from stillwatch.distill.train.models import context, load_to_run
    from stillwatch.distill.train.run import fingerprint, train
    from stillwatch.distill.train.wording import wording

    task = next(t for t in experiment.task if t.name == cell.task)
    arm = next(a for a in task.arm if a.name == cell.arm)
    settings = arm.settings(cell.seed)
    learnt: dict[str, Any] = {"learnt": 0}
    if cell.size == UNTRAINED:
        loaded = load_to_run(settings.student, cell.seed)
        words = wording(loaded.model, loaded.tokenizer)
    else:
        source = experiment.public(task) if arm.name == "public" else experiment.data(task).curated_file
        rows = choose_examples(source, cell.size, cell.seed)
        if settings.learn == "answers":
            rows = [dataclasses.replace(row, reasoning=None) for row in rows]
        same = fingerprint(settings, rows)
        for other, result in stand.items():
            if result.fingerprint == same and (other.task, other.size) == (cell.task, cell.size):
                record = dataclasses.asdict(cell) | {"declared": declaration_hash(experiment, task, arm)}
                return dataclasses.replace(result, **record)
        write_rows(folder / "curated.jsonl", rows)
        trained = train(folder, settings, _silent)
        loaded = load_to_run(str(trained.model))
        words = wording(loaded.model, loaded.tokenizer)
        encoded = encode(rows, words, settings, context(loaded.model)).rows
        examples_seen = trained.steps * settings.batch * settings.accumulate * settings.processes
        tokens = (
            examples_seen
            * sum(len(example.prompt) + len(example.completion) for example in encoded)
            / len(encoded)
        )
        learnt = {
            "fingerprint": same,
            "learnt": trained.examples,
            "parameters": trained.parameters,
            "steps": trained.steps,
            "flops": ADAM_FLOPS * trained.parameters * tokens,
            "train_cpu_s": trained.cpu_s,
            "train_wall_s": trained.wall_s,
            "device": trained.device,
            "left_out": trained.left_out,
        }
    began = time.process_time()
    right = _answers_right(experiment, task, loaded, words)
    return EconomicsResult(
        **dataclasses.asdict(cell),
        declared=declaration_hash(experiment, task, arm),
        right=right,
        evaluate_cpu_s=round(time.process_time() - began, 1),
        **learnt,
    )


def _answers_right(experiment: Experiment, task: EconomicsTask, loaded: Any, words: Any) -> str:
    """Return 1 for each held-out question that the student answers right, else 0, in their order."""
    from stillwatch.distill.evaluate.generate import write
    from stillwatch.distill.evaluate.run import judge

    questions = list(read_prompts(experiment.data(task).heldout))[: task.questions]
    written = write(
        loaded,
        words,
        [question.messages for question in questions],
        new_tokens=task.new_tokens,
        batch=task.batch,
    )
    return "".join(
        "1" if answer.finished and judge(question.task, question.expected, answer.answer).right else "0"
        for question, answer in zip(questions, written, strict=True)
    )
