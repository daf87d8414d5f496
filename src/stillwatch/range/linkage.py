"""How well accounts were clustered: pairs and B-cubed."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Linkage:
    """Agreement of two groupings of the same accounts; None if a denominator is zero."""

    bcubed_precision: float | None
    bcubed_recall: float | None
    bcubed_f1: float | None
    pair_precision: float | None
    pair_recall: float | None


def _pairs(groups: Counter[Hashable]) -> int:
    return sum(n * (n - 1) // 2 for n in groups.values())


def linkage(found: Sequence[Hashable], true: Sequence[Hashable]) -> Linkage:
    """Compare the group assigned to each account (`found`) with its true one (`true`).

    Source: Bagga and Baldwin 1998 (B-cubed), averaged over accounts.

    >>> linkage([1, 1, 2], ["a", "a", "b"]).bcubed_f1
    1.0
    """
    if not found:
        return Linkage(None, None, None, None, None)
    in_found, in_true = Counter(found), Counter(true)
    both = Counter(zip(found, true, strict=True))
    shared, together, belonging = _pairs(Counter(both)), _pairs(in_found), _pairs(in_true)
    pairs = list(zip(found, true, strict=True))
    precision = sum(both[f, t] / in_found[f] for f, t in pairs) / len(pairs)
    recall = sum(both[f, t] / in_true[t] for f, t in pairs) / len(pairs)
    return Linkage(
        precision,
        recall,
        2 * precision * recall / (precision + recall),
        shared / together if together else None,
        shared / belonging if belonging else None,
    )
