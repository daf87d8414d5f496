"""PRADA: are the distances between one client's successive queries normally distributed?

Measured is the smallest distance of every query to the client's earlier, spread-out ones (its growing set).
The method assumes that honest queries give normal distances, and synthetic ones do not. Here it is applied to
text: Euclidean distance of hashed words and pairs, one class. The growing set and the number of distances are
bounded, so that each step is too.

Null: an account's distances are normal; the level of Shapiro-Wilk's W is set on the accounts' clean days.
Blind to: an account with fewer than 100 queries; anything spread over accounts.
Fooled by: repeated prompts, templates, batches: everything that honest use does to distances.
Source: Juuti, Szyller, Marchal, Asokan, "PRADA: Protecting Against DNN Model Stealing Attacks", EuroS&P 2019,
    section 5 (algorithm 3): growing set with threshold mean - std, outliers beyond 3 std dropped, |D| > 100.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from stillwatch.range.defences import Accusation, DefenceWatch
from stillwatch.range.defences.calibration import WithLevel
from stillwatch.range.defences.embedding import WIDTH, embed
from stillwatch.range.defences.hours import HourBatch, HourlyLevel
from stillwatch.stats.normality import shapiro_wilk

NAME = "prada"
LEAST = 100  # distances needed for a judgement (section 5.2)
AGAIN = 10  # further ones before W is computed again, at the end of an hour
MOST_DISTANCES = 1000  # only the latest count
MOST_GROWN = 128  # queries in a growing set; no more are added
OUTLIER_STD = 3.0


@dataclass
class ClientStream:
    """One client's growing set and distances."""

    distances: list[float] = field(default_factory=list)  # of every query after the first
    _set: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    _size: int = 0
    _of_set: list[float] = field(default_factory=list)  # distances of the queries added
    _threshold: float = 0.0
    _since: int = LEAST  # distances since W was computed

    def add(self, vector: np.ndarray) -> None:
        """Process the next query: (width,) of length 1, or zero."""
        if self._size == 0:
            self._grow(vector)
            return
        dots = self._set[: self._size].astype(np.float32) @ vector
        nearest = float(np.sqrt(max(0.0, 2.0 - 2.0 * float(dots.max()))))
        self.distances.append(nearest)
        self._since += 1
        if len(self.distances) > 2 * MOST_DISTANCES:
            del self.distances[:-MOST_DISTANCES]
        if nearest > self._threshold and self._size < MOST_GROWN:
            self._grow(vector)
            self._of_set.append(nearest)
            self._threshold = max(self._threshold, float(np.mean(self._of_set) - np.std(self._of_set)))

    def _grow(self, vector: np.ndarray) -> None:
        if self._size == len(self._set):
            room = np.zeros((max(4, 2 * self._size), len(vector)), np.float16)
            room[: self._size] = self._set[: self._size] if self._size else 0
            self._set = room
        self._set[self._size] = vector
        self._size += 1

    def w(self) -> float | None:
        """Return Shapiro-Wilk's W of the distances without outliers, or None if too few are new."""
        if len(self.distances) < LEAST or self._since < AGAIN:
            return None
        self._since = 0
        return normality(np.array(self.distances[-MOST_DISTANCES:]))


def normality(distances: np.ndarray) -> float:
    """Return Shapiro-Wilk's W of distances within three standard deviations; 0 if all are equal."""
    kept = distances[np.abs(distances - distances.mean()) <= OUTLIER_STD * distances.std()]
    if len(kept) < 3 or np.ptp(kept) <= 1e-6:
        return 0.0
    return shapiro_wilk(kept)


class _Prada(WithLevel):
    def __init__(self, clean_until_us: int, dial: float) -> None:
        super().__init__(clean_until_us, dial)
        self.streams: dict[int, ClientStream] = {}

    def see(self, hour: HourBatch) -> Sequence[Accusation]:
        vectors = embed(hour.table["prompt"], WIDTH)
        self.count(hour)
        accusations: list[Accusation] = []
        for account, rows in hour.by_account():
            if account in self.accused:
                continue
            stream = self.streams.setdefault(account, ClientStream())
            for row in rows.tolist():
                stream.add(vectors[row])
            w = stream.w()
            if w is None:
                continue
            accusations += self.judge(account, float(np.log(max(1.0 - w, 1e-6))), hour, "prada")
            if account in self.accused:
                del self.streams[account]
        return accusations


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> DefenceWatch:
    """Start a watch; `dial` is the false-positive budget in cases per 10,000 account-days."""
    return HourlyLevel(_Prada(clean_until_us, dial))
