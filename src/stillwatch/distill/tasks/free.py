"""Questions that no program can judge: every answer is kept as far as the other filters go."""

from typing import Any

from stillwatch.distill import AnswerVerdict, DistillError, Prompt

NAME = "free"
EXPECTS = ""


def make(n: int, seed: int, held_out: bool) -> list[Prompt]:
    raise DistillError("the task free makes no prompts; give a file")


def check(expected: Any) -> str | None:
    return None


def judge(expected: Any, text: str) -> AnswerVerdict:
    return AnswerVerdict(None, None, "this task cannot be judged")
