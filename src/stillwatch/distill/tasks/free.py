"""Questions that no program can judge: every answer that passes the other filters is kept."""

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
