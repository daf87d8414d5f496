"""Rejection sampling: every answer is judged by its task. Programs run apart, a few at a time."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stillwatch.distill import AnswerVerdict, Prompt, Sample
from stillwatch.distill.plan import CurationRules
from stillwatch.distill.sandbox import ProgramLimits, confinement
from stillwatch.distill.tasks.code import NAME as CODE
from stillwatch.distill.tasks.code import judge_within
from stillwatch.distill.tasks.registry import task

Tell = Callable[[str, int, int | None], None]


def verify(
    samples: list[Sample], prompts: dict[str, Prompt], settings: CurationRules, tell: Tell
) -> tuple[list[AnswerVerdict], dict[str, Any] | None]:
    """A verdict for each sample, and how programs were confined (None where there were none)."""
    limits = ProgramLimits(settings.code_seconds, settings.code_mib)
    runs_code = any(prompts[one.id].task == CODE for one in samples)
    sandbox = confinement() if runs_code else None

    def judge(sample: Sample) -> AnswerVerdict:
        prompt = prompts[sample.id]
        if prompt.task == CODE:
            return judge_within(prompt.expected, sample.answer, limits)
        return task(prompt.task).judge(prompt.expected, sample.answer)

    verdicts: list[AnswerVerdict] = []
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) if runs_code else 1)) as pool:
        for verdict in pool.map(judge, samples):
            verdicts.append(verdict)
            tell("verify", len(verdicts), len(samples))
    return verdicts, sandbox
