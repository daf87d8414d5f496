"""Finds answers that many different prompts get: refusals in languages that no list covers.

Null: different prompts get different answers, or one in which the task finds an answer.
Blind to: refusals that are worded differently each time.
Fooled by: a fixed answer that is right, if no task judges it (`free`): it stays, and is reported.
"""

from collections import defaultdict
from dataclasses import dataclass

from stillwatch.distill import Prompt, Sample
from stillwatch.distill.curate.words import in_words, words
from stillwatch.distill.tasks.code import NAME as CODE
from stillwatch.distill.tasks.registry import task

LEAST_WORDS = 4  # fewer may be the right answer to many questions
LEAST_PROMPTS = 3


@dataclass(frozen=True)
class StockAnswers:
    """`declined`: (id, sample) -> why. `unclear`: an answer that no task judges -> its prompts."""

    declined: dict[tuple[str, int], str]
    unclear: dict[str, int]


def stock_answers(samples: list[Sample], prompts: dict[str, Prompt]) -> StockAnswers:
    """Find answers that many prompts got and in which their tasks find no answer."""
    alike: dict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.answer.strip():
            alike[words(sample.answer)].append(sample)
    found = StockAnswers({}, {})
    for answer, group in alike.items():
        different = len({sample.id for sample in group})
        if different < LEAST_PROMPTS or in_words(answer) < LEAST_WORDS:
            continue
        for sample in group:
            prompt = prompts[sample.id]
            if prompt.task == CODE:  # its tests decide
                continue
            verdict = task(prompt.task).judge(prompt.expected, sample.answer)
            if verdict.right is None:
                found.unclear[group[0].answer] = different
            elif not verdict.right and verdict.said is None:
                why = f"{different:,} different prompts got these words, and they hold no answer"
                found.declined[sample.id, sample.sample] = why
    return found
