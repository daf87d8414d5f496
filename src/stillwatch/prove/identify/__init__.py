"""Identifies which known model answers. It compares answers to known prompts with those of a library.

It names model families; whether a family is banned is up to `terms`.
"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.prove import ProveError


class IdentifyError(ProveError):
    """A library, or outputs, that cannot be used for identification."""


class IdentificationResult(StrEnum):
    """The answer of an identification."""

    NAMED = "named"  # so similar to a reference as models unrelated to the library hardly ever are
    RESEMBLES = "resembles"  # more similar to one reference than unrelated models are
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reference:
    """One model of the library."""

    name: str
    kin: str  # its family; references of one kin do not count as unrelated to each other in calibration
    sha256: str  # of the file of its answers
    prompts: int
    file: str  # beside the manifest
    note: str = ""  # licence and source of the answers


@dataclass(frozen=True)
class Match:
    """The suspect compared with one reference."""

    reference: str
    kin: str
    likeness: float
    score: float  # log of the similarity, relative to what both show to unrelated models


@dataclass(frozen=True)
class LikeStrangers:
    """Two references of different kins, and how similar the first is to the second."""

    reference: str
    kin: str
    other: str
    other_kin: str
    score: float


@dataclass(frozen=True)
class Identified:
    """The result of an identification, with everything that its threshold is based on."""

    suspect: str
    answer: IdentificationResult
    kin: str  # empty when unknown
    nearest: tuple[Match, ...]  # best first
    prompts: int
    p_comparison: float  # chance that an unrelated model scores as high with one reference chosen beforehand
    p_stranger: float  # chance that an unrelated model scores as high with the most similar of all references
    floor_comparison: float
    floor_stranger: float
    alpha: float
    # library models, tested without their kin, that got an answer other than unknown
    false_alarms: tuple[int, int]
    named_falsely: tuple[int, int]  # of these, those that got a name
    named_at: float  # the score above which a name is given
    set_by: LikeStrangers  # the pair that sets that score
    doubted: tuple[LikeStrangers, ...]  # left out of the thresholds: they look like one kin under two names
    reservations: tuple[str, ...] = ()  # reasons why no threshold holds here
