"""Which family a model name belongs to, and how the model was derived from it.

A name is what somebody called a model. A name that the table does not know is `UNKNOWN`, never a guess.
"""

from dataclasses import dataclass
from enum import Enum


class Relation(Enum):
    """How a named model is related to the family that it is assigned to."""

    SAME = "same"  # the maker's own weights, on any host
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
    family: str | None  # whose weights, e.g. "deepseek"; None if the table does not know
    relation: Relation
    base: str | None = None  # the table entry that decided, e.g. "deepseek-r1"
    teachers: tuple[str, ...] = ()  # families whose answers it was trained on, where that is published
    vendor: str | None = None  # who made the weights
    host: str | None = None  # who serves them, if the name shows it ("azure_ai/…", "…bedrock…")
    evidence: str = ""  # one sentence: which part of the name decided, and the source for it
