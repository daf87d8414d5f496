"""The MMD window test: is a window of all accounts' queries distributed like benign ones?

Windows of 1,500 successive exchanges are compared with a sample of the first half of the clean days by the
maximum mean discrepancy; the level is set on the windows of the second half. The published test names nobody.
Here, for comparison, an alarmed window accuses the accounts whose queries are furthest on its own side (by
their mean witness), above a level from the clean windows; consecutive windows are one case.

Null: windows to come are drawn like the clean ones.
Blind to: a harvest that is a small part of its windows; which accounts it uses.
Fooled by: any shift in what honest accounts ask: a large customer, a weekday, a release.
Source: Liu, Guo, Dong, "An Embarrassingly Simple Detector for Model Extraction Attacks in LLM API Traffic"
    (arXiv 2606.05725): window 1,500, threshold from benign against benign. There with a trained encoder, here
    with hashed words. Statistic: Gretton et al. 2012, "A Kernel Two-Sample Test", lemma 6; Gaussian kernel,
    median width.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.range.defences import Accusation, DefenceWatch
from stillwatch.range.defences.calibration import WithLevel
from stillwatch.range.defences.embedding import embed
from stillwatch.range.defences.hours import HourBatch, HourlyLevel

NAME = "mmd_window"
WINDOW = 1500  # exchanges
REFERENCE = 1500  # of the clean days
LEAST_REFERENCE = 100
FEWEST = 3  # queries in a window needed for an account's mean witness
NAMED_SHARE = 0.01  # of the accounts in clean windows, the share with a witness above the naming level


def gamma_of(points: np.ndarray) -> float:
    """The Gaussian kernel's 1 / (2 width²), the width being the median distance (of 500 points at most)."""
    some = points[:: max(1, len(points) // 500)].astype(np.float64)
    far = squared_distances(some, some)[np.triu_indices(len(some), 1)]
    median = float(np.median(np.sqrt(far)))
    return 1.0 / max(2.0 * median**2, 1e-12)


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x, y) squared Euclidean distances of vectors."""
    far: np.ndarray = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2.0 * (x @ y.T)
    return np.maximum(far, 0.0)


def kernel(x: np.ndarray, y: np.ndarray, gamma: float) -> np.ndarray:
    """(x, y) Gaussian kernel of vectors."""
    values: np.ndarray = np.exp(-gamma * squared_distances(x, y))
    return values


def mmd2(
    x: np.ndarray, y: np.ndarray, gamma: float, within_y: float | None = None
) -> tuple[float, np.ndarray]:
    """Return the unbiased squared MMD, and the witness of each x: how much more similar it is to x than to y.

    within_y: the mean kernel within y, if already known.
    """
    n = len(x)
    own = kernel(x, x, gamma)
    rows = (own.sum(1) - own.diagonal()) / max(n - 1, 1)
    across = kernel(x, y, gamma).mean(1)
    inside = mean_within(y, gamma) if within_y is None else within_y
    return float(rows.mean() + inside - 2.0 * across.mean()), rows - across


def mean_within(y: np.ndarray, gamma: float) -> float:
    """Return the mean kernel of pairs of different y."""
    own = kernel(y, y, gamma)
    return float((own.sum() - own.trace()) / max(len(y) * (len(y) - 1), 1))


class _MmdWindow(WithLevel):
    def __init__(self, clean_until_us: int, seed: int, dial: float, window: int) -> None:
        super().__init__(clean_until_us, dial)
        self.window = window
        self.rng = np.random.default_rng(seed)
        self.sample: list[np.ndarray] = []
        self.keys: list[np.ndarray] = []  # random ranks: the sample consists of the smallest
        self.reference: np.ndarray | None = None
        self.gamma = self.within = 0.0
        self.vectors: list[np.ndarray] = []
        self.accounts: list[np.ndarray] = []
        self.waiting = self.windows = 0
        self.witnesses: list[float] = []  # mean witnesses of accounts in clean windows
        self.levels: tuple[float, float] | None = None
        self.case: str | None = None  # of consecutive windows

    def see(self, hour: HourBatch) -> Sequence[Accusation]:
        middle_us = self.halve(hour)
        clean = self.clean.holds(hour)
        if clean:
            self.clean.see(hour)
        vectors = embed(hour.table["prompt"])
        if hour.until_us <= middle_us:
            self._learn(vectors)
            return []
        if self.reference is None:
            self.reference = np.concatenate(self.sample) if self.sample else np.zeros((0, 1), np.float32)
            if len(self.reference) >= LEAST_REFERENCE:
                self.gamma = gamma_of(self.reference)
                self.within = mean_within(self.reference, self.gamma)
        if len(self.reference) < LEAST_REFERENCE:
            return []
        if not clean and self.levels is None:
            self.vectors, self.accounts, self.waiting = [], [], 0  # no window spans both
            ranked = np.sort(self.witnesses)
            naming = ranked[int((1 - NAMED_SHARE) * len(ranked))] if len(ranked) else np.inf
            self.levels = (self.clean.level(), float(naming))
        self.vectors.append(vectors)
        self.accounts.append(hour.account)
        self.waiting += len(vectors)
        accusations: list[Accusation] = []
        while self.waiting >= self.window:
            accusations += self._window(hour)
        return accusations

    def calibrate(self, other: Any) -> None:
        """Take the levels of clean windows of other people, each against their own sample."""
        super().calibrate(other)
        self.witnesses = list(other.witnesses)

    def cannot_fire(self) -> str:
        """Return why no window can raise an alarm; empty if one can."""
        if self.reference is not None and len(self.reference) < LEAST_REFERENCE:
            return f"{len(self.reference)} clean exchanges to compare with, {LEAST_REFERENCE} are the least"
        return super().cannot_fire()

    def _learn(self, vectors: np.ndarray) -> None:
        """Keep a uniform sample: those with the smallest random ranks."""
        self.sample.append(vectors)
        self.keys.append(self.rng.random(len(vectors)))
        if sum(map(len, self.keys)) > REFERENCE:
            keys, every = np.concatenate(self.keys), np.concatenate(self.sample)
            least = np.sort(np.argsort(keys, kind="stable")[:REFERENCE])
            self.keys, self.sample = [keys[least]], [every[least]]

    def _window(self, hour: HourBatch) -> list[Accusation]:
        assert self.reference is not None
        vectors, accounts = np.concatenate(self.vectors), np.concatenate(self.accounts)
        x, who = vectors[: self.window], accounts[: self.window]
        self.vectors, self.accounts = [vectors[self.window :]], [accounts[self.window :]]
        self.waiting -= self.window
        self.windows += 1
        score, witness = mmd2(x, self.reference, self.gamma, self.within)
        codes, at, many = np.unique(who, return_inverse=True, return_counts=True)
        mean = np.bincount(at, weights=witness) / many
        enough = many >= FEWEST
        if self.levels is None:
            self.clean.score(self.windows, score)
            if not self.clean.adopted:
                self.witnesses += mean[enough].tolist()
            return []
        if score <= self.levels[0]:
            self.case = None
            return []
        named = codes[enough & (mean > self.levels[1])]
        if len(named) == 0:
            named = codes[enough][np.argsort(-mean[enough], kind="stable")[:1]]
        if len(named) == 0:
            return []
        self.case = self.case or f"mmd-{self.windows:05}"
        return [Accusation(self.case, hour.until_us, {hour.names[c]: hour.until_us for c in named.tolist()})]


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> DefenceWatch:
    """Start a watch; `dial` is the false-positive budget in cases per 10,000 account-days."""
    return HourlyLevel(_MmdWindow(clean_until_us, seed, dial, WINDOW))
