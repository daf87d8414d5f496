"""Judges a model's answers by the tasks they belong to. It does not know how they were written."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from stillwatch.distill import Prompt, Verdict
from stillwatch.distill.evaluate import Marks, Share
from stillwatch.distill.evaluate.generate import Written
from stillwatch.distill.evaluate.intervals import wilson

Judge = Callable[[str, Any, str], Verdict]  # task, what is expected, the answer


def share(right: int, n: int) -> Share:
    low, high = wilson(right, n)
    return Share(n, right, low, high)


def judged(questions: Sequence[Prompt], written: Sequence[Written], judge: Judge) -> tuple[Marks, ...]:
    """The marks by task, in order of first appearance. An answer without an end is wrong."""
    tasks: dict[str, list[tuple[Prompt, Written]]] = defaultdict(list)
    for question, one in zip(questions, written, strict=True):
        tasks[question.task].append((question, one))
    return tuple(_marks(task, rows, judge) for task, rows in tasks.items())


def _marks(task: str, rows: list[tuple[Prompt, Written]], judge: Judge) -> Marks:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    right = unclear = 0
    for question, one in rows:
        verdict = judge(task, question.expected, one.answer) if one.finished else Verdict(False)
        ok = verdict.right is True
        unclear += verdict.right is None
        right += ok
        if question.slice:
            counts[question.slice][0] += ok
            counts[question.slice][1] += 1
    return Marks(
        task=task,
        all=share(right, len(rows)),
        slices={name: share(*counts[name]) for name in sorted(counts)},
        unfinished=sum(not one.finished for _, one in rows),
        unclear=unclear,
    )
