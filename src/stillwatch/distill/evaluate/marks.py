"""Judges a model's answers by the tasks they belong to. It does not know how they were written."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from stillwatch.distill import AnswerVerdict, Prompt
from stillwatch.distill.evaluate import ShareRight, TaskScores
from stillwatch.distill.evaluate.generate import GeneratedAnswer
from stillwatch.stats.intervals import wilson

Judge = Callable[[str, Any, str], AnswerVerdict]  # task, what is expected, the answer


def share(right: int, n: int) -> ShareRight:
    low, high = wilson(right, n)
    return ShareRight(n, right, low, high)


def judge_answers(
    questions: Sequence[Prompt], written: Sequence[GeneratedAnswer], judge: Judge
) -> tuple[TaskScores, ...]:
    """The marks by task, in order of first appearance. An answer without an end is wrong."""
    tasks: dict[str, list[tuple[Prompt, GeneratedAnswer]]] = defaultdict(list)
    for question, one in zip(questions, written, strict=True):
        tasks[question.task].append((question, one))
    return tuple(_marks(task, rows, judge) for task, rows in tasks.items())


def _marks(task: str, rows: list[tuple[Prompt, GeneratedAnswer]], judge: Judge) -> TaskScores:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    right = unclear = 0
    for question, one in rows:
        verdict = judge(task, question.expected, one.answer) if one.finished else AnswerVerdict(False)
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
        unfinished=sum(not one.finished for _, one in rows),
        unclear=unclear,
    )
