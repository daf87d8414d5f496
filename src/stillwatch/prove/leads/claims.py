"""Finds which model a suspect claims to be: "I was made by ...". The claim is not trusted.

Null: none. Blind to: a suspect that was instructed what to say. Fooled by: data sets that quote others,
prompts that suggest an answer, and anybody who writes a system prompt. Source: self-reports never carry
beyond a lead (docs/provenance.md, grade C).
"""

import re
from dataclasses import dataclass

from stillwatch.lineage.table import table
from stillwatch.prove.pool import Pool

_CLAIM = re.compile(
    r"\b(?:i am|i'm|i’m|as) (?:an? |the )?(?:[\w-]+ ){0,6}?(?:model|assistant|ai|chatbot)\b[^.!?\n]{0,80}?"
    r"\b(?:by|from|named|called)\b (?P<by>[^.!?\n]{2,60})|\bmy name is (?P<name>[^.!?\n]{2,40})"
    r"|\b(?:i am|i'm|i’m) (?P<is>chatgpt|claude|gemini|llama|qwen|deepseek|grok|mistral|kimi|bard)\b",
    re.IGNORECASE,
)
SHOWN = 3


@dataclass(frozen=True)
class SelfIdentification:
    """A family or maker that the suspect names as its own."""

    family: str
    prompts: int
    examples: tuple[tuple[str, str], ...]  # (prompt id, the words)


def claims(pool: Pool, suspect: str) -> tuple[SelfIdentification, ...]:
    """Find the families that a suspect claims to be, most frequent first."""
    words = _words()
    found: dict[str, list[tuple[str, str]]] = {}
    for prompt, answers in pool.answers[suspect].items():
        claims_of = {}
        for match in _CLAIM.finditer(answers[0][:4000]):
            text = next(group for group in match.groups() if group)
            for word, family in words.items():
                if re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", text.lower()):
                    claims_of[family] = " ".join(match.group().split())
        for family, words_said in claims_of.items():
            found.setdefault(family, []).append((prompt, words_said))
    return tuple(
        SelfIdentification(family, len(where), tuple(where[:SHOWN]))
        for family, where in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _words() -> dict[str, str]:
    """Makers and families of the lineage table, with their common names."""
    known = {"chatgpt": "gpt", "openai": "gpt", "bard": "gemini"}
    for family in table().families.values():
        known[family.id] = family.id
        if family.vendor:
            known[family.vendor.lower()] = family.id
    return known
