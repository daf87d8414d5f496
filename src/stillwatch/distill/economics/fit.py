"""Fits a learning curve through the cells of one arm, with an interval over seeds and held-out questions.

The share right at n examples is floor + (1 - floor) * logistic(a + b * log n). The floor is the untrained
student's share. It is evaluated only between the smallest and the largest trained size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.distill.economics import EconomicsResult
from stillwatch.stats.tails import student_bound

Floats = NDArray[np.float64]
REPLICATES = 1000
PRIOR_SD = 5.0  # of a and b, normal around 0: keeps a curve finite if every answer is right or wrong
STEPS, LONGEST_STEP = 60, 2.0  # of Fisher scoring
POINTS = 61  # at which a curve is stored
CONFIDENCE = 0.95
CLIP = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A share with its 95 % interval. The bounds are None if only one seed was trained."""

    share: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class LearningCurve:
    """The fitted curve of one arm: shares and bounds at `POINTS` sizes, evenly spaced in log size.

    `misfit` is the largest distance between a size's mean over seeds and the curve.
    """

    task: str
    arm: str
    seeds: tuple[int, ...]
    floor: float
    sizes: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    misfit: float

    def at(self, n: float) -> Estimate | None:
        """Return the curve's value at a size. None below the trained sizes; the last value above them."""
        if n < self.sizes[0] * (1 - CLIP):
            return None
        return Estimate(
            self._read(self.share, n),
            None if self.low is None else self._read(self.low, n),
            None if self.high is None else self._read(self.high, n),
        )

    def size_for(self, share: float) -> tuple[float | None, float | None, float | None]:
        """Return the sizes at which the curve, its upper and its lower bound reach a share; None: nowhere."""
        crossed = [
            next((n for n, y in zip(self.sizes, line, strict=True) if y >= share), None) if line else None
            for line in (self.share, self.high, self.low)
        ]
        low = None if crossed[1] == self.sizes[0] else crossed[1]  # below the trained sizes: unknown
        return crossed[0], low, crossed[2]

    def _read(self, line: tuple[float, ...], n: float) -> float:
        return float(np.interp(np.log(n), np.log(self.sizes), line))


def fit_curve(results: Sequence[EconomicsResult], floor: float, random_seed: int = 1) -> LearningCurve | None:
    """Fit the cells of one arm; None if fewer than two sizes were trained.

    Null: seeds are drawn alike, and so are questions. Every seed answers the same questions, so both are
    resampled, each separately. The bounds use Student's t with seeds - 1 degrees of freedom, on the logit
    scale.
    Blind to: what all seeds share (the recipe, the teacher, the wording of the questions).
    Fooled by: a curve that is not logistic in log n; `misfit` shows that.
    Source: Owen 2007, Ann. Appl. Stat. 1:386 (bootstrap of crossed random effects); Cameron, Gelbach and
    Miller 2008, Rev. Econ. Stat. 90:414 (few clusters).
    """
    seeds = sorted({result.seed for result in results})
    sizes = np.array([result.size for result in results], float)
    if len(set(sizes)) < 2:
        return None
    right = np.array([[mark == "1" for mark in result.right] for result in results], float)
    questions = right.shape[1]
    middle = float(np.log(sizes).mean())
    x = np.log(sizes) - middle
    of_seed = np.array([seeds.index(result.seed) for result in results])
    at = np.geomspace(sizes.min(), sizes.max(), POINTS)
    point = _solve(x, right.sum(axis=1)[None], np.ones((1, len(x))), questions, floor)
    line = point[0, 0] + point[0, 1] * (np.log(at) - middle)
    low = high = None
    if len(seeds) > 1:
        draw = np.random.default_rng(random_seed)
        drawn = draw.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), REPLICATES)
        weights = draw.multinomial(questions, np.full(questions, 1 / questions), REPLICATES)
        some = _solve(x, weights @ right.T, drawn[:, of_seed].astype(float), questions, floor)
        lines = some[:, :1] + some[:, 1:] * (np.log(at) - middle)
        few = np.sqrt(len(seeds) / (len(seeds) - 1)) * student_bound(CONFIDENCE, len(seeds) - 1)
        half = few * lines.std(axis=0)
        low, high = (tuple(_share(line + sign * half, floor)) for sign in (-1, 1))
    means = {n: right[sizes == n].mean() for n in set(sizes)}
    fitted = {n: _share(point[0, 0] + point[0, 1] * (np.log(n) - middle), floor) for n in means}
    return LearningCurve(
        task=results[0].task,
        arm=results[0].arm,
        seeds=tuple(seeds),
        floor=floor,
        sizes=tuple(at.tolist()),
        share=tuple(_share(line, floor).tolist()),
        low=low and tuple(float(y) for y in low),
        high=high and tuple(float(y) for y in high),
        misfit=float(max(abs(means[n] - fitted[n]) for n in means)),
    )


def _share(line: Floats, floor: float) -> Floats:
    return floor + (1 - floor) * _logistic(line)


def _logistic(line: Floats) -> Floats:
    return 0.5 + 0.5 * np.tanh(0.5 * line)


def _solve(x: Floats, counts: Floats, weights: Floats, questions: int, floor: float) -> Floats:
    """Maximise the penalised likelihood. counts, weights: (replicates, cells); a, b: (replicates, 2)."""
    found = np.zeros((len(counts), 2))
    prior = 1 / PRIOR_SD**2
    for _ in range(STEPS):
        s = _logistic(found[:, :1] + found[:, 1:] * x)
        p = np.clip(floor + (1 - floor) * s, CLIP, 1 - CLIP)
        slope = np.maximum((1 - floor) * s * (1 - s), CLIP)
        spread = p * (1 - p)
        score = weights * (counts - questions * p) * slope / spread
        curvature = weights * questions * slope**2 / spread
        g0, g1 = score.sum(1) - prior * found[:, 0], (score * x).sum(1) - prior * found[:, 1]
        h00, h01, h11 = curvature.sum(1) + prior, (curvature * x).sum(1), (curvature * x * x).sum(1) + prior
        determinant = h00 * h11 - h01**2
        step = np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0], axis=1) / determinant[:, None]
        found += np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        if np.abs(step).max() < 1e-8:
            break
    return found
