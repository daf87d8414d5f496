"""Evaluates a run's students, before and after, and its teacher on the held-out questions.

Each model's answers are stored (`evaluation/NAME.jsonl`), so that a killed evaluation continues with the next
model, and a person can read what a student got wrong.
"""

import hashlib
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from stillwatch.distill import AnswerVerdict, DistillError, DistillRun, Prompt
from stillwatch.distill.embedded import EMBEDDED, has_weights
from stillwatch.distill.evaluate import Evaluation, ShareRight, TaskScores
from stillwatch.distill.evaluate.generate import GeneratedAnswer, write
from stillwatch.distill.rows import line, objects, read_json, read_prompts, replace_file, write_json
from stillwatch.distill.tasks.registry import task
from stillwatch.distill.train import CLOCK
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.models import LoadedModel, load_to_run
from stillwatch.distill.train.run import read_training
from stillwatch.distill.train.wording import wording
from stillwatch.errors import InputError, RejectedLine
from stillwatch.stats.intervals import wilson

Say = Callable[[str], None]


def evaluate(path: Path, settings: Evaluation, say: Say) -> dict[str, Any]:
    """Evaluate all models of a run and write `evaluation.json`; return its content.

    Raises: DistillError if there is no student or no held-out question.
    """
    need("torch")
    run = DistillRun(path)
    if not run.training.exists():
        raise DistillError(f"{path}: no student stands here; run `stillwatch distill train` first")
    trained = read_training(run.training)
    questions = held_out(run, settings)
    mark = _Marker(run, settings, questions, say)
    figures: dict[str, Any] = {
        "heldout": {"questions": len(questions), "tasks": sorted({q.task for q in questions})},
        "settings": asdict(settings),
        "student_before": None,
        "student_after": None,
        "teacher": None,
        "teacher_unmeasured": None,
        "curve": [],
        "lm_eval": {},
    }
    if settings.before:
        place = trained.student
        figures["student_before"] = mark(
            "student_before", f"{state(place)} {trained.seed}", lambda: load_to_run(place, trained.seed)
        )
    for samples in trained.curve:
        smaller = read_training(path / "curve" / str(samples) / "training.json")
        marks = mark(f"curve-{samples}", smaller.fingerprint, partial(load_to_run, str(smaller.model)))
        figures["curve"].append(
            {"samples": smaller.examples, "learnt_tokens": smaller.learnt_tokens, "marks": marks}
        )
    figures["student_after"] = mark(
        "student_after", trained.fingerprint, lambda: load_to_run(str(trained.model))
    )
    try:
        figures["teacher"] = _teacher(run, settings, questions, mark, say)
    except DistillError as why:  # budget spent, or unreachable: the students are measured all the same
        figures["teacher_unmeasured"] = str(why)
        say(f"the teacher was not measured: {why}")
    if settings.lm_eval:
        from stillwatch.distill.evaluate.harness import harness

        places = {"student_before": trained.student, "student_after": str(trained.model)}
        figures["lm_eval"] = harness(places, trained.seed, settings, run, say)
    write_json(run.evaluation, figures)
    return read_json(run.evaluation)


def held_out(run: DistillRun, settings: Evaluation) -> list[Prompt]:
    """Return the held-out questions, or a number of them chosen by a seed."""
    if not run.heldout.exists():
        raise DistillError(
            f"{run.heldout}: there are no held-out questions; the plan's [heldout] says where from"
        )
    questions = list(read_prompts(run.heldout))
    if not questions:
        raise DistillError(f"{run.heldout}: holds no question")
    if settings.n and settings.n < len(questions):
        questions = random.Random(f"evaluate/{settings.seed}").sample(questions, settings.n)
    return questions


def state(place: str) -> str:
    """Return a model's place with the size and time of its weights, so that a replaced file is noticed."""
    path = Path(place)
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors")) if path.is_dir() else []
    return " ".join([place, *(f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files)])


def judge(name: str, expected: Any, answer: str) -> AnswerVerdict:
    return task(name).judge(expected, answer)


class _Marker:
    """Lets a model answer, unless its answers are stored, and returns its results by task."""

    def __init__(self, run: DistillRun, settings: Evaluation, questions: Sequence[Prompt], say: Say) -> None:
        self.folder = run.path / "evaluation"
        self.settings = settings
        self.questions = questions
        self.say = say
        keyed = {k: v for k, v in asdict(settings).items() if k in ("new_tokens", "temperature", "seed")}
        self._same = hashlib.sha256(json.dumps(keyed).encode())
        for question in questions:
            self._same.update(line(asdict(question)))

    def __call__(self, name: str, which: str, model: Callable[[], LoadedModel]) -> dict[str, Any]:
        fingerprint = self._fingerprint(which)
        written = self._kept(name, fingerprint)
        if written is None:
            began = time.process_time()
            loaded = model()
            words = wording(loaded.model, loaded.tokenizer)
            written = write(
                loaded,
                words,
                [q.messages for q in self.questions],
                new_tokens=self.settings.new_tokens,
                batch=self.settings.batch,
                temperature=self.settings.temperature,
                seed=self.settings.seed,
                tell=lambda done: self.say(f"{name}: {done:,} of {len(self.questions):,} questions"),
            )
            self.keep(name, fingerprint, written, time.process_time() - began)
        return self.marks(name, written)

    def marks(self, name: str, written: Sequence[GeneratedAnswer]) -> dict[str, Any]:
        found = judge_answers(self.questions, written, judge)
        for scores in found:
            self.say(f"{name}: {scores.all.right:,} of {scores.all.n:,} right in {scores.task}")
        return {scores.task: plain(scores) for scores in found}

    def keep(self, name: str, fingerprint: str, written: Sequence[GeneratedAnswer], cpu_s: float) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [
            line(asdict(answer) | {"id": q.id}) for q, answer in zip(self.questions, written, strict=True)
        ]
        replace_file(self.folder / f"{name}.jsonl", rows)
        write_json(self.folder / f"{name}.json", {"fingerprint": fingerprint, "cpu_s": round(cpu_s, 1)})

    def _fingerprint(self, which: str) -> str:
        record = self._same.copy()
        record.update(which.encode())
        return record.hexdigest()[:32]

    def _kept(self, name: str, fingerprint: str) -> list[GeneratedAnswer] | None:
        mark, rows = self.folder / f"{name}.json", self.folder / f"{name}.jsonl"
        bad: list[RejectedLine] = []
        try:
            if not rows.exists() or read_json(mark).get("fingerprint") != fingerprint:
                return None
            kept = [
                GeneratedAnswer(row["reasoning"], row["answer"], row["finished"], row["tokens"])
                for _, row in objects(rows, bad.append)
            ]
        except (InputError, KeyError):  # missing or damaged: it is asked again
            return None
        return kept if not bad and len(kept) == len(self.questions) else None


def _teacher(
    run: DistillRun, settings: Evaluation, questions: list[Prompt], mark: _Marker, say: Say
) -> dict[str, Any] | None:
    if settings.teacher == "skip":
        return None
    place = settings.teacher
    if place == "ask":
        url = str(read_json(run.teacher).get("base_url", "")) if run.teacher.exists() else ""
        if not has_weights(url):
            say(f"teacher: asked {len(questions):,} held-out questions")
            return _ask_teacher(run, questions, mark)
        place = url.removeprefix(EMBEDDED)
    seed = 1
    return mark("teacher", state(place), lambda: load_to_run(place, seed, blank=place != CLOCK))


def _ask_teacher(run: DistillRun, questions: list[Prompt], mark: _Marker) -> dict[str, Any]:
    """Grade the teacher through its API, within the run's budget; no answer is paid twice."""
    from stillwatch.distill.collect.ask import answers

    samples = {sample.id: sample for sample in answers(run.path, questions)}
    written = []
    for question in questions:
        sample = samples.get(question.id)
        if sample is None:
            written.append(GeneratedAnswer(None, "", False, 0))
        else:
            tokens = int(sample.usage.get("output_tokens") or 0)
            written.append(
                GeneratedAnswer(sample.reasoning, sample.answer, sample.finish_reason != "length", tokens)
            )
    mark.keep("teacher", "asked", written, 0.0)
    return mark.marks("teacher", written)


def plain(scores: TaskScores) -> dict[str, Any]:
    """Return results as evaluation.json has them."""

    def share(of: ShareRight) -> dict[str, Any]:
        bounds = {"low": round(of.low, 4), "high": round(of.high, 4)}
        return {"n": of.n, "right": of.right, "share": round(of.share, 4)} | bounds

    return {
        **share(scores.all),
        "unfinished": scores.unfinished,
        "unclear": scores.unclear,
        "slices": {name: share(of) for name, of in scores.slices.items()},
    }


Judge = Callable[[str, Any, str], AnswerVerdict]  # task, what is expected, the answer


def share(right: int, n: int) -> ShareRight:
    low, high = wilson(right, n)
    return ShareRight(n, right, low, high)


def judge_answers(
    questions: Sequence[Prompt], written: Sequence[GeneratedAnswer], judge: Judge
) -> tuple[TaskScores, ...]:
    """Return the results by task, in order of first appearance. An unfinished answer is wrong."""
    tasks: dict[str, list[tuple[Prompt, GeneratedAnswer]]] = defaultdict(list)
    for question, answer in zip(questions, written, strict=True):
        tasks[question.task].append((question, answer))
    return tuple(_marks(task, rows, judge) for task, rows in tasks.items())


def _marks(task: str, rows: list[tuple[Prompt, GeneratedAnswer]], judge: Judge) -> TaskScores:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    right = unclear = 0
    for question, answer in rows:
        verdict = judge(task, question.expected, answer.answer) if answer.finished else AnswerVerdict(False)
        ok = verdict.right is True
        unclear += verdict.right is None
        right += ok
        if question.slice:
            counts[question.slice][0] += ok
            counts[question.slice][1] += 1
    return TaskScores(
        task=task,
        all=share(right, len(rows)),
        slices={name: share(*counts[name]) for name in sorted(counts)},
        unfinished=sum(not answer.finished for _, answer in rows),
        unclear=unclear,
    )
