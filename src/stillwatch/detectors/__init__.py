"""Detectors: what an actor's traffic shows by itself, one file each.

A detector is a pure function from the feature table to a score with a sentence. `lone_harvest` alone raises
alarms, on single payers; the others describe an alarmed actor's harvest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

MOST_BITS = 20.0
LEAST_BITS = 1.0  # a value that half of the accounts reach is not worth a sentence


Subject = Mapping[str, float | int | None]  # one row of the feature table


@dataclass(frozen=True)
class Statement:
    """A detector's statement about a subject: bits, a sentence, and its numbers."""

    bits: float
    text: str
    actual: float
    baseline: float  # the population's median
    population_p95: float
    n: int  # exchanges it rests on


class Population:
    """The feature table of the accounts with which a subject is compared."""

    def __init__(self, features: pa.Table, least_exchanges: int = 5) -> None:
        self._table = features.filter(pa.compute.greater_equal(features["exchanges"], least_exchanges))

    def quantile(self, feature: str, q: float) -> float:
        """Quantile q of a feature over the population's accounts; 0 if no account has it."""
        values = self._values(feature)
        return float(np.quantile(values, q)) if len(values) else 0.0

    def share_at_least(self, feature: str, value: float) -> float:
        """Share of the population's accounts at or above a value, never 0: (k + 1) / (n + 1)."""
        values = self._values(feature)
        return float(((values >= value).sum() + 1) / (len(values) + 1))

    def _values(self, feature: str) -> np.ndarray:
        column = self._table[feature].drop_null()
        return column.to_numpy().astype(float)


def rarity_bits(population: Population, feature: str, value: float) -> float:
    """Minus log2 of the share of accounts that reach a value, at most MOST_BITS."""
    return min(MOST_BITS, -float(np.log2(population.share_at_least(feature, value))))


class Detector(Protocol):
    """Interface of a module of this package."""

    NAME: str

    def state(self, subject: Subject, population: Population) -> Statement | None: ...


def unusual_share(
    subject: Subject, population: Population, feature: str, least: float, text: str
) -> Statement | None:
    """State that a share is at least `least` and rare among accounts: bits are -log2 of that rarity.

    text: a sentence with {actual}, {p95} and {n} to fill in.
    """
    actual = float(subject[feature] or 0.0)
    if actual < least:
        return None
    bits = rarity_bits(population, feature, actual)
    if bits < LEAST_BITS:
        return None
    p95 = population.quantile(feature, 0.95)
    n = int(subject["exchanges"] or 0)
    return Statement(
        bits,
        text.format(actual=f"{actual:.0%}", p95=f"{p95:.0%}", n=f"{n:,}"),
        actual,
        population.quantile(feature, 0.5),
        p95,
        n,
    )
