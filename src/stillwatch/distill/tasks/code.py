"""Programs that pass their tests: asserts in Python, or pairs of input and output. They run in a sandbox."""

import re
from collections.abc import Iterator
from typing import Any

from stillwatch.distill import AnswerVerdict, DistillError, Prompt
from stillwatch.distill.sandbox import ProgramLimits, run_program

NAME = "code"
EXPECTS = '{"tests": "assert f(2) == 4"} or {"cases": [{"stdin": "2", "stdout": "4"}]}'
OPENS = re.compile(r"```[ \t]*([\w+-]*)")
CLOSES = re.compile(r"\n[ \t]*```")


def make(n: int, seed: int, held_out: bool) -> list[Prompt]:
    raise DistillError("the task code makes no prompts; give a file")


def check(expected: Any) -> str | None:
    if not isinstance(expected, dict):
        return "is no object"
    tests, cases = expected.get("tests", ""), expected.get("cases", [])
    if not isinstance(tests, str) or not isinstance(cases, list) or bool(tests.strip()) == bool(cases):
        return "has not exactly one of tests (a text) and cases (a list)"
    for case in cases:
        if not isinstance(case, dict) or not all(
            isinstance(case.get(key), str) for key in ("stdin", "stdout")
        ):
            return "has a case without stdin and stdout as texts"
    return None


def judge(expected: Any, text: str) -> AnswerVerdict:
    """Run the answer's program as `judge_within` does, within the usual limits."""
    return judge_within(expected, text, ProgramLimits())


def judge_within(expected: Any, text: str, limits: ProgramLimits) -> AnswerVerdict:
    """An answer is right if its program passes all tests within the limits."""
    program = extract(text)
    if program is None:
        return AnswerVerdict(False, None, "there is no program in it")
    ran = run_program(program, expected.get("tests", ""), expected.get("cases", []), limits)
    return AnswerVerdict(ran.ok, None, ran.why)


def extract(text: str) -> str | None:
    """Return the last block of Python in a text, else the last block of any kind, else the whole text.

    >>> extract("So:\\n```python\\nx = 1\\n```\\nDone.")
    'x = 1'
    """
    blocks = list(_blocks(text))
    python = [body for name, body in blocks if name.lower() in ("python", "py", "python3")]
    if python:
        return python[-1]
    if blocks:
        return blocks[-1][1]
    return text if text.strip() else None


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and content of each fenced block; the last may lack its end. Linear time."""
    at = 0
    while opens := OPENS.search(text, at):
        line_ends = text.find("\n", opens.end())
        if line_ends < 0:
            return
        closes = CLOSES.search(text, line_ends)
        yield opens[1], text[line_ends + 1 : closes.start() if closes else len(text)]
        at = closes.end() if closes else len(text)
