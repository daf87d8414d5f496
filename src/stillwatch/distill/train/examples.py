"""A run's examples as tokens, with a count of unusable ones."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError, Example
from stillwatch.distill.rows import read_examples
from stillwatch.distill.train import Training
from stillwatch.distill.train.wording import TemplateRefuses, Wording

TOO_LONG = "longer than the context"
UNKNOWN = "has words that the student's tokenizer lacks"
NO_REASONING = "has no reasoning"
EMPTY = "has no answer"
BROKEN = "is no Unicode"


@dataclass(frozen=True)
class TokenizedExample:
    """One example: the prompt's tokens, then the completion's. Only the completion is learned."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]


@dataclass(frozen=True)
class EncodedExamples:
    """All examples; `left_out` counts the unused ones by reason; `longest` is of those used."""

    examples: tuple[Example, ...]
    rows: tuple[TokenizedExample, ...]
    left_out: dict[str, int]
    longest: int

    @property
    def learnt_tokens(self) -> int:
        return sum(len(row.completion) for row in self.rows)


def choose_examples(path: Path, samples: int, seed: int) -> list[Example]:
    """Return the first `samples` examples (0: all) in an order set by the seed: fewer are a part of more.

    Raises: DistillError if there are not enough, or none.
    """
    rows = list(read_examples(path))
    if not rows:
        raise DistillError(f"{path}: holds no example; curation kept nothing: look into curation.json")
    random.Random(f"examples/{seed}").shuffle(rows)
    if samples > len(rows):
        raise DistillError(f"{path}: holds {len(rows):,} examples, {samples:,} were asked for")
    return rows[: samples or None]


def encode(rows: Sequence[Example], wording: Wording, settings: Training, context: int) -> EncodedExamples:
    """Tokenize examples; leave out, and count, those that cannot be learned whole.

    `context` is the student's, in tokens (0: unlimited).
    Raises: DistillError if nothing is left, or if examples are too long and the plan says to refuse.
    """
    limit = min(n for n in (settings.max_length or 1 << 40, context or 1 << 40))
    left_out: Counter[str] = Counter()
    pairs: list[tuple[Example, TokenizedExample]] = []
    longest_seen = 0
    for row in rows:
        reasoning = row.reasoning if settings.learn == "traces" else None
        if settings.learn == "traces" and not reasoning:
            left_out[NO_REASONING] += 1
            continue
        if not row.answer.strip():
            left_out[EMPTY] += 1
            continue
        try:
            tokens = TokenizedExample(
                tuple(wording.prompt_tokens(row.prompt)),
                tuple(wording.completion_tokens(row.prompt, reasoning, row.answer)),
            )
        except TemplateRefuses as refused:
            left_out[str(refused)] += 1
            continue
        except (UnicodeError, TypeError):  # an unpaired surrogate: the tokenizer rejects it
            left_out[BROKEN] += 1
            continue
        longest_seen = max(longest_seen, len(tokens.prompt) + len(tokens.completion))
        if wording.count_unknown(tokens.completion) or wording.count_unknown(tokens.prompt):
            left_out[UNKNOWN] += 1
        elif len(tokens.prompt) + len(tokens.completion) > limit:
            left_out[TOO_LONG] += 1
        else:
            pairs.append((row, tokens))
    if left_out[TOO_LONG] and settings.too_long == "refuse":
        raise DistillError(
            f"{left_out[TOO_LONG]:,} of {len(rows):,} examples are longer than the {limit:,} tokens that fit "
            f"(the longest has {longest_seen:,}): raise [train] max_length where the model allows it, or say "
            'too_long = "drop"; none is cut in silence'
        )
    if not pairs:
        why = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items())
        raise DistillError(
            f"no example is left to learn from: {why}"
            + ('; take learn = "answers"' if left_out[NO_REASONING] == len(rows) else "")
        )
    return EncodedExamples(
        examples=tuple(row for row, _ in pairs),
        rows=tuple(tokens for _, tokens in pairs),
        left_out={reason: count for reason, count in left_out.items() if count},
        longest=max(len(t.prompt) + len(t.completion) for _, t in pairs),
    )


def pad_batch(torch: Any, rows: Sequence[dict[str, list[int]]], padding: int) -> dict[str, Any]:
    """Return a batch for GKD: whole texts (batch, longest) padded on the right, their prompts on the left.

    rows: {input_ids, labels}, where the labels of the prompt are -100 and no others.
    """
    longest = max(len(row["input_ids"]) for row in rows)
    starts = [row["labels"].count(-100) for row in rows]
    ids = torch.full((len(rows), longest), padding)
    labels = torch.full((len(rows), longest), -100)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    prompts = torch.full((len(rows), max(starts)), padding)
    prompt_mask = torch.zeros((len(rows), max(starts)), dtype=torch.long)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        end = len(row["input_ids"])
        ids[i, :end] = torch.tensor(row["input_ids"])
        labels[i, :end] = torch.tensor(row["labels"])
        mask[i, :end] = 1
        prompts[i, max(starts) - start :] = torch.tensor(row["input_ids"][:start])
        prompt_mask[i, max(starts) - start :] = 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        "prompts": prompts,
        "prompt_attention_mask": prompt_mask,
    }
