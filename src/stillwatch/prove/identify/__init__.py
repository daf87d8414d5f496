"""Which known model answers here? By its answers to known prompts, beside a library of references.

It knows families, not permissions: what a ban says of a family is `terms`.
"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.prove import ProveError


class IdentifyError(ProveError):
    """A library, or outputs, that nobody can be identified with."""


class IdentificationResult(StrEnum):
    """What identification says."""

    NAMED = "named"  # as like a reference as strangers to the library hardly ever are to any
    RESEMBLES = "resembles"  # above what a stranger shows to one reference; pupils and relatives are, too
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reference:
    """One model of the library."""

    name: str
    kin: str  # its family: what a name stands for, and what is not held against itself in calibration
    sha256: str  # of the file of its answers
    prompts: int
    file: str  # beside the manifest
    note: str = ""  # licence and source of the answers


@dataclass(frozen=True)
class Match:
    """The suspect beside one reference."""

    reference: str
    kin: str
    likeness: float
    score: float  # log of likeness over what both show to strangers


@dataclass(frozen=True)
class LikeStrangers:
    """Two references of different kins, and how like the first is to the second."""

    reference: str
    kin: str
    other: str
    other_kin: str
    score: float


@dataclass(frozen=True)
class Identified:
    """What identification found, with all that its threshold stands on."""

    suspect: str
    answer: IdentificationResult
    kin: str  # empty when unknown
    nearest: tuple[Match, ...]  # best first
    prompts: int
    p_comparison: float  # a stranger and one reference that was chosen beforehand do as well: so often
    p_stranger: float  # a stranger does as well with the likest of all references: so often
    floor_comparison: float
    floor_stranger: float
    alpha: float
    # library models with their kin taken away that got an answer other than unknown
    false_alarms: tuple[int, int]
    named_falsely: tuple[int, int]  # of them, that got a name
    named_at: float  # the score above which a name is given
    set_by: LikeStrangers  # whose likeness that is
    doubted: tuple[LikeStrangers, ...]  # left out of the thresholds: they look like one kin under two names
    reservations: tuple[str, ...] = ()  # why less is said than the score would: no threshold holds here
