"""Ranks a suspect among audited models, kin by kin. The rank is a p-value with a floor.

Models of one kin (a data set in three sizes, one maker's versions) count as one: each kin counts by the share
of its members that do at least as well, and the sum is rounded up.

Null: the suspect's kin is exchangeable with the kins of the null. Blind to: anything below 1 / (kins + 1).
Fooled by: a null that was itself taught by the candidate (p too large); a suspect of another kind than every
model of the null (p may be too small, and no ranking can rule that out). Source: Vovk, Gammerman and Shafer
2005, Algorithmic Learning in a Random World, ch. 2; Dunn, Wasserman and Ramdas 2022, JASA 118, for groups;
Westfall and Young 1993 for the maximum over candidates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove import Counts
from stillwatch.prove.exact import rank
from stillwatch.prove.pool.likeness import Floats

_ROUNDING = 1e-9  # for thirds that add up to 2.9999999999


@dataclass(frozen=True)
class Rank:
    """A rank among kins."""

    as_good: int  # kins, rounded up
    kins: int

    @property
    def p_value(self) -> float:
        """(1 + as good) / (1 + kins)."""
        return rank(self.as_good, self.kins)

    def counts(self) -> Counts:
        """The counts from which a checker recomputes it."""
        return Counts("rank", self.as_good, self.kins)


def worse(first: Rank, second: Rank) -> Rank:
    """Return the rank with the larger p-value."""
    return first if first.p_value >= second.p_value else second


def rank_among(value: float, null: Floats, kin: Sequence[str], rows: NDArray[np.bool_]) -> Rank:
    """Rank a value among the models in `rows` that have one; a large value is suspicious.

    >>> null, kin = np.array([3.0, 1.0, 0.0]), ["a", "a", "b"]
    >>> rank_among(2.0, null, kin, np.ones(3, bool)).p_value  # half of kin a, rounded up; of kin b nobody
    0.6666666666666666
    """
    by_kin: dict[str, list[bool]] = {}
    for place in np.flatnonzero(rows & np.isfinite(null)):
        by_kin.setdefault(kin[int(place)], []).append(bool(null[place] >= value))
    shares = sum(sum(ranks) / len(ranks) for ranks in by_kin.values())
    return Rank(math.ceil(shares - _ROUNDING), len(by_kin))
