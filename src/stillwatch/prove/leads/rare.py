"""Finds phrases that a suspect shares with one model and no other, on the same prompt.

Null: none. Blind to: paraphrase. Fooled by: a text that both memorised, one model under two names, a pool so
small that much is rare in it. Source: paired 3- to 5-grams as measured in docs/provenance.md, grade C.
"""

from dataclasses import dataclass

from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.likeness import tokens

LENGTH = 5  # words; shorter phrases are shared by chance
SHOWN = 3


@dataclass(frozen=True)
class Shared:
    """What the suspect shares with one model alone."""

    model: str
    prompts: int  # both answered
    with_phrase: int  # of these, with at least one phrase that no third model says
    examples: tuple[tuple[str, str], ...]  # (prompt id, the phrase), longest first

    @property
    def share(self) -> float:
        """Share of the prompts."""
        return self.with_phrase / self.prompts if self.prompts else 0.0


def rare_phrases(pool: Pool, suspect: str) -> tuple[Shared, ...]:
    """Count for each model the prompts where it alone says something that the suspect says; most first."""
    counts = dict.fromkeys((m for m in pool.models if m != suspect), 0)
    both = dict(counts)
    examples: dict[str, list[tuple[str, str]]] = {model: [] for model in counts}
    for prompt, mine in pool.answers[suspect].items():
        grams = _grams(tokens(mine[0]))
        holders: dict[tuple[str, ...], list[str]] = {}
        for model in counts:
            answers = pool.answers[model].get(prompt)
            if answers is None:
                continue
            both[model] += 1
            for gram in grams & _grams(tokens(answers[0])):
                holders.setdefault(gram, []).append(model)
        alone: dict[str, list[tuple[str, ...]]] = {}
        for gram, models in holders.items():
            if len(models) == 1:
                alone.setdefault(models[0], []).append(gram)
        for model, found in alone.items():
            counts[model] += 1
            examples[model].append((prompt, _longest_run(tokens(mine[0]), set(found))))
    return tuple(
        Shared(model, both[model], counts[model], _longest(examples[model]))
        for model in sorted(counts, key=lambda m: (-counts[m] / max(1, both[m]), m))
    )


def _grams(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + LENGTH]) for i in range(len(words) - LENGTH + 1)}


def _longest_run(words: list[str], grams: set[tuple[str, ...]]) -> str:
    best, run = "", 0
    for i in range(len(words) - LENGTH + 1):
        run = run + 1 if tuple(words[i : i + LENGTH]) in grams else 0
        if run and len(phrase := " ".join(words[i - run + 1 : i + LENGTH])) > len(best):
            best = phrase
    return best


def _longest(found: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(found, key=lambda item: (-len(item[1]), item))[:SHOWN])
