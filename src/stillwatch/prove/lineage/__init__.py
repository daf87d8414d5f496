"""Who is said to have come from whom, and when: what a rank among innocents stands on. It measures nothing.

Labels are claims of model cards and papers. A wrong one makes the rank wrong; `contaminated` looks for some.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stillwatch.prove import ProveError


class LineageError(ProveError):
    """A lineage that no candidate can be ranked with."""


class Role(StrEnum):
    """What a model of the pool is to the test."""

    CANDIDATE = "candidate"  # may be the teacher
    STUDENT = "student"  # its teachers are known
    INNOCENT = "innocent"  # audited: no candidate taught it
    COPY = "copy"  # another model of the pool, prompted or tuned otherwise: says nothing of its own
    UNAUDITED = "unaudited"  # nobody knows: left out of every null


@dataclass(frozen=True)
class Model:
    """One model, as the lineage file tells it."""

    name: str
    role: Role
    family: str = ""  # of a candidate: what is accused
    maker: str = ""  # of a candidate: its families are relatives
    released: str = ""  # "2023-03"; empty where unknown
    teachers: frozenset[str] = frozenset()  # families
    base: str = ""  # the family that its weights started from, where known
    kin: str = ""  # models of one kin are one witness


@dataclass(frozen=True)
class Lineage:
    """All that is said, by name."""

    models: Mapping[str, Model]

    def candidates(self) -> tuple[Model, ...]:
        """Those that may be teachers."""
        return tuple(m for m in self.models.values() if m.role is Role.CANDIDATE and m.family)
