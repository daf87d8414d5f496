"""Was a model distilled from another? Evidence is graded, and its grades limit what a verdict may state.

The limit is set only here: similarity alone never gets above *indeterminate*, and has no p-value.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from stillwatch.errors import StillwatchError


class ProveError(StillwatchError):
    """An input, a protocol or a ledger that cannot be used to prove anything."""


class Grade(StrEnum):
    """How strong a piece of evidence can be; see docs/provenance.md."""

    COIN = "A"  # exact: the provider's own random choice of the served answer
    MARK = "A'"  # exact: a key in the sampling
    RANK = "B"  # conformal: as good as its audited innocents
    LEAD = "C"  # a score; never a p-value


class Outcome(StrEnum):
    """The outcomes of a verdict, the strongest first."""

    TRAINED = "evidence of training on served answers"  # grade A, sealed, and dated by a third party
    OWNER_WORD = "the owner's word"  # grade A or A' at alpha, but nothing binds the owner beforehand
    CONSISTENT = "consistent with the candidate as its teacher"  # grade B at alpha, never more
    INDETERMINATE = "indeterminate"
    NONE = "none of the candidates"
    NOT_SHOWN = "not shown"  # a test of grade A had the power and found nothing


@dataclass(frozen=True)
class Counts:
    """The counts from which a p-value can be recomputed without the data (`exact.p_of`).

    binomial: P(at least `hits` of n) where each hits with chance `share`. gamma: P(a sum of n unit
    exponentials is at least `hits`). rank: (1 + hits) / (1 + n), where `hits` of n controls, or of n coins
    drawn again, do at least as well.
    """

    test: str
    hits: float
    n: int
    share: float = 0.5


@dataclass(frozen=True)
class Row:
    """One actor, key or candidate under test.

    Raises: ProveError for a p-value outside (0, 1], or one that adjustment has made smaller.
    """

    name: str
    n: int  # coins, scored tokens or prompts
    effect: float  # in the unit that the evidence names
    effect_low: float | None
    effect_high: float | None
    p_value: float | None
    p_adjusted: float | None  # adjusted over the rows
    counts: Counts | None = None  # if p_value follows from them

    def __post_init__(self) -> None:
        for p in (self.p_value, self.p_adjusted):
            if p is not None and not 0 < p <= 1:  # an underflow is stored as the smallest positive value
                raise ProveError(f"{self.name}: a p-value lies above 0 and up to 1; this one is {p}")
        if self.p_value is None and self.p_adjusted is not None:
            raise ProveError(f"{self.name}: an adjusted p-value needs the p-value that was adjusted")
        if self.p_value is not None and self.p_adjusted is not None and self.p_adjusted < self.p_value:
            raise ProveError(f"{self.name}: adjusting made p smaller: {self.p_value} to {self.p_adjusted}")
        if not math.isfinite(self.effect):
            raise ProveError(f"{self.name}: the effect is {self.effect}; a test without one has no row")


@dataclass(frozen=True)
class Checked:
    """An alternative explanation that was checked, and what was found."""

    what: str
    found: str
    clear: bool


@dataclass(frozen=True)
class Evidence:
    """One test's result, complete enough to be printed without the code that made it.

    Raises: ProveError for a lead with a p-value, and for a p-value without its null.
    """

    grade: Grade
    method: str
    suspect: str
    claim: str  # the sentence under test
    null: str  # what would have produced p uniformly; empty for a lead
    alpha: float
    unit: str  # unit of the effect
    rows: tuple[Row, ...]
    p_floor: float | None = None
    power: str = ""
    confounds: tuple[Checked, ...] = ()
    means_not: tuple[str, ...] = ()
    none_of_them: bool = False  # the test can say that none of the candidates is the teacher, and it does
    powered: bool = False  # an effect as large as the protocol names would have been found
    protocol_sha256: str = ""  # the test's result is that no candidate is the teacher
    proof_sha256: str = ""  # of the proof from which every row follows (`prove.proof`)

    def __post_init__(self) -> None:
        p_values = [p for row in self.rows for p in (row.p_value, row.p_adjusted) if p is not None]
        if self.grade is Grade.LEAD and p_values:
            raise ProveError(f"{self.method} is a lead: a similarity has a score and never a p-value")
        if p_values and not self.null:
            raise ProveError(f"{self.method}: a p-value needs its null in words")
        if not 0 < self.alpha < 1:
            raise ProveError(f"{self.method}: alpha is {self.alpha}; it lies between 0 and 1")

    def found(self) -> tuple[Row, ...]:
        """The rows at or below alpha after adjustment."""
        return tuple(r for r in self.rows if r.p_adjusted is not None and r.p_adjusted <= self.alpha)


def outcome(evidence: tuple[Evidence, ...], proven: Collection[str] = ()) -> Outcome:
    """Return the strongest outcome that the evidence supports. A lead never changes it, however strong.

    proven: SHA-256 of the proofs that were verified. A sealed test without one counts as its owner's word.
    """
    exact = [e for e in evidence if e.grade in (Grade.COIN, Grade.MARK)]
    ranks = [e for e in evidence if e.grade is Grade.RANK]
    if any(e.found() and e.grade is Grade.COIN and e.proof_sha256 in proven for e in exact):
        return Outcome.TRAINED
    if any(e.found() for e in exact):
        return Outcome.OWNER_WORD
    if any(e.found() for e in ranks):
        return Outcome.CONSISTENT
    if exact and all(e.powered for e in exact):
        return Outcome.NOT_SHOWN
    if any(e.none_of_them for e in ranks):
        return Outcome.NONE
    return Outcome.INDETERMINATE
