"""Computes a report's figures from the files of a run.

Tokens are the teacher's output tokens as billed, including reasoning. A student on a part of the samples is
charged the same part of the whole cost, since dropped answers had to be paid for too.
"""

from collections import defaultdict
from math import exp, log
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError, DistillRun, Prompt
from stillwatch.distill.report import Account, ReachedShare, SliceScores, Spot, Wrong
from stillwatch.distill.rows import objects, read_json, read_prompts
from stillwatch.errors import RejectedLine
from stillwatch.stats.intervals import wilson

PARTS = (0.5, 0.75, 0.9)
WRONG = 12  # questions shown
HOUR_S = 3600.0


def account(run: DistillRun) -> Account:
    """Compute the figures from a run's files. Raises: DistillError if a step was not run yet."""
    for path, step in ((run.training, "train"), (run.evaluation, "evaluate")):
        if not path.exists():
            raise DistillError(f"{path} is not there: run `stillwatch distill {step}` first")
    training, marks = read_json(run.training), read_json(run.evaluation)
    spent = read_json(run.spent) if run.spent.exists() else {}
    curation = read_json(run.curation) if run.curation.exists() else {}
    kept = int(curation.get("kept") or training["examples"]) or 1

    def cost_of(samples: int) -> tuple[float, float | None]:
        part = samples / kept
        usd = spent.get("usd")
        return part * float(spent.get("output_tokens") or 0), None if usd is None else part * float(usd)

    def spot(samples: int, of: dict[str, Any]) -> Spot:
        n, right = (sum(int(task[key]) for task in of.values()) for key in ("n", "right"))
        return Spot(samples, *cost_of(samples), n, right, *wilson(right, n))

    before = spot(0, marks["student_before"]) if marks["student_before"] else None
    after = spot(training["examples"], marks["student_after"])
    teacher = spot(0, marks["teacher"]) if marks["teacher"] else None
    smaller = [spot(point["samples"], point["marks"]) for point in marks["curve"]]
    curve = tuple(point for point in (before, *smaller, after) if point is not None)
    gained = None if before is None else 100 * (after.share - before.share)
    per_hour = float(training.get("usd_per_hour") or 0)
    return Account(
        teacher=read_json(run.teacher) if run.teacher.exists() else {},
        training={k: v for k, v in training.items() if k != "fingerprint"},
        spent=spent,
        curation={k: v for k, v in curation.items() if k != "sandbox"},
        before=before,
        after=after,
        teacher_score=teacher,
        curve=curve,
        reached=find_reached(curve, teacher),
        points_per_1000_tokens=gained / after.tokens * 1000 if gained is not None and after.tokens else None,
        points_per_usd=gained / after.usd if gained is not None and after.usd else None,
        training_usd=per_hour * float(training["wall_s"]) / HOUR_S if per_hour else None,
        missing=missing(marks),
        wrong=wrong(run),
        unfinished=sum(int(task["unfinished"]) for task in marks["student_after"].values()),
        lm_eval=marks.get("lm_eval") or {},
        cannot_claim=tuple(cannot_claim(run, marks, curve, after, before)),
    )


def find_reached(curve: tuple[Spot, ...], teacher: Spot | None) -> tuple[ReachedShare, ...]:
    """Return when 50, 75 and 90 % of the way from the first spot to the teacher were reached.

    Null: none; a reading of measurements. Blind to: the spread between seeds (one student per spot).
    Fooled by: few spots: between two of them the value is interpolated linearly. Source: ours.
    """
    if teacher is None or not curve or curve[0].samples:
        return ()
    start, way = curve[0].share, teacher.share - curve[0].share
    if way <= 0:
        return ()
    found = []
    for part in PARTS:
        score = start + part * way
        reached = next((i for i, spot in enumerate(curve) if i and spot.share >= score), None)
        if reached is None:
            found.append(ReachedShare(part, score, None, None, None, None))
            continue
        spot, last = curve[reached], curve[reached - 1]
        found.append(
            ReachedShare(part, score, spot.tokens, spot.usd, spot.samples, _interpolate(last, spot, score))
        )
    return tuple(found)


def _interpolate(last: Spot, spot: Spot, score: float) -> float | None:
    if last.tokens <= 0 or spot.tokens <= last.tokens or spot.share <= last.share:
        return None
    part = (score - last.share) / (spot.share - last.share)
    return exp(log(last.tokens) + part * (log(spot.tokens) - log(last.tokens)))


def missing(marks: dict[str, Any]) -> tuple[SliceScores, ...]:
    """Return what the student still gets wrong, the widest gap to its teacher first."""

    def share(of: dict[str, Any] | None) -> tuple[float, float, float] | None:
        return None if of is None else (float(of["share"]), float(of["low"]), float(of["high"]))

    rows = []
    for task, after in marks["student_after"].items():
        slices: dict[str, dict[str, Any]] = after["slices"] or {"": after}
        for name, of in slices.items():
            others = []
            for who in ("student_before", "teacher"):
                mark = (marks[who] or {}).get(task)
                others.append(None if mark is None else (mark["slices"].get(name) if name else mark))
            now = (float(of["share"]), float(of["low"]), float(of["high"]))
            rows.append(SliceScores(task, name, int(of["n"]), share(others[0]), now, share(others[1])))
    return tuple(sorted(rows, key=lambda row: (-row.gap, row.task, row.slice)))


def wrong(run: DistillRun) -> tuple[Wrong, ...]:
    """Return some questions that the student got wrong, in the order of the held-out set."""
    from stillwatch.distill.evaluate.run import judge

    path = run.path / "evaluation" / "student_after.jsonl"
    if not path.exists() or not run.heldout.exists():
        return ()
    questions: dict[str, Prompt] = {q.id: q for q in read_prompts(run.heldout)}
    bad: list[RejectedLine] = []
    found: list[Wrong] = []
    for _, row in objects(path, bad.append):
        question = questions.get(row.get("id", ""))
        if question is None or len(found) == WRONG:
            continue
        verdict = judge(question.task, question.expected, row["answer"])
        if verdict.right is not True or not row["finished"]:
            prompt = question.messages[-1]["content"] if question.messages else ""
            found.append(Wrong(prompt, str(question.expected), row["answer"], bool(row["finished"])))
    return tuple(found)


def cannot_claim(
    run: DistillRun, marks: dict[str, Any], curve: tuple[Spot, ...], after: Spot, before: Spot | None
) -> list[str]:
    """Return the limits that are printed with the figures."""
    limits = ["One student a point, one seed: another seed gives other figures, widest apart in mid-curve."]
    if before is None:
        limits.append(
            "The student was not measured before training: nothing can be said to have been gained."
        )
    if marks["teacher"] is None:
        why = marks.get("teacher_unmeasured")
        limits.append("The teacher was not measured: how much of it the student has cannot be said.")
        limits += [f"Why it was not: {why}"] if why else []
    if len(curve) < 4:
        limits.append(
            "Too few points for a curve: set `curve` in the plan's [train] to train smaller students as well."
        )
    if after.n < 300:
        limits.append(f"{after.n:,} held-out questions are few: the bounds are that wide for that reason.")
    unclear: dict[str, int] = defaultdict(int)
    for task, of in marks["student_after"].items():
        unclear[task] += int(of["unclear"])
    for task, count in unclear.items():
        if count:
            limits.append(f"Of {count:,} answers the task {task} cannot tell; they count as wrong.")
    for path, section in ((run.spent, "teacher"), (run.curation, "")):
        told_there = read_json(path) if path.exists() else {}
        odd = (told_there.get(section) or {}) if section else told_there
        limits += [f"About the teacher: {words}." for words in odd.get("warnings") or []]
    if not Path(run.spent).exists():
        limits.append("What the teacher cost is not on record: nothing was collected in this run.")
    return limits
