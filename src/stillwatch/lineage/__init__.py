"""Which family a model name belongs to, and how it came from it. It knows no rules: those are terms.

A name says what somebody called a model. What the table does not know is `UNKNOWN`, never a guess.
"""

from dataclasses import dataclass
from enum import Enum


class Relation(Enum):
    """How a named model stands to the family it is put in."""

    SAME = "same"  # the maker's own weights, whoever hosts them
    FINETUNE = "finetune"
    QUANTIZED = "quantized"
    MERGED = "merged"
    DISTILLED = "distilled"  # another family's weights, trained on this family's answers
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ResolvedName:
    """What a model name resolves to."""

    name: str  # as it was given
    skeleton: str  # the name without disguise: letters and digits only, confusable spellings folded
    family: str | None  # whose weights, e.g. "deepseek"; None where the table does not know
    relation: Relation
    base: str | None = None  # the entry of the table that decided, e.g. "deepseek-r1"
    teachers: tuple[str, ...] = ()  # families whose answers it was trained on, where that is published
    vendor: str | None = None  # who made the weights
    host: str | None = None  # who serves them, where the name says so ("azure_ai/…", "…bedrock…")
    evidence: str = ""  # one sentence: which part of the name decided, and on what source
