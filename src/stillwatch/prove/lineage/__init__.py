"""Which model is said to come from which, and when: the labels behind a rank among innocent models.

The labels are claims of model cards and papers. A wrong one makes the rank wrong; `contaminated` looks for
some.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stillwatch.prove import ProveError


class LineageError(ProveError):
    """A lineage with which no candidate can be ranked."""


class Role(StrEnum):
    """The role of a model in the test."""

    CANDIDATE = "candidate"  # may be the teacher
    STUDENT = "student"  # its teachers are known
    INNOCENT = "innocent"  # audited: no candidate taught it
    COPY = "copy"  # another model of the pool, with another prompt or tuning: no information of its own
    UNAUDITED = "unaudited"  # unknown: left out of every null


@dataclass(frozen=True)
class Model:
    """One model, as the lineage file describes it."""

    name: str
    role: Role
    family: str = ""  # of a candidate: the unit of accusation
    maker: str = ""  # of a candidate: its families are relatives
    released: str = ""  # "2023-03"; empty where unknown
    teachers: frozenset[str] = frozenset()  # families
    base: str = ""  # the family that its weights started from, where known
    kin: str = ""  # models of one kin count as one


@dataclass(frozen=True)
class Lineage:
    """All models of the lineage, by name."""

    models: Mapping[str, Model]

    def candidates(self) -> tuple[Model, ...]:
        """The models that may be teachers."""
        return tuple(m for m in self.models.values() if m.role is Role.CANDIDATE and m.family)
