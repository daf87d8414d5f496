"""The learning curve of a small student: accuracy by number of teacher samples, as measured.

`curve.toml` has students trained from scratch on a toy task, for the range. Between two measured sizes the
share is linear in the logarithm of samples, and never falls.

Null: the examples are of one task and each is new. Blind to: the content of the examples; the size of the
student.
Fooled by: use as a forecast. It shows that there is a threshold, not where a large model has it.
Source: docs/distill-training.md, `python benchmarks/distill.py`, three seeds, 1,000 held-out problems each;
docs/figures/distill-training.md, one seed, 150 held-out problems.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

FILE = "curve.toml"


@dataclass(frozen=True)
class Point:
    """Students taught with this many samples: the share of held-out problems right, one per seed."""

    samples: int
    tokens: int
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """The measured sizes in ascending order, and the score of guessing."""

    task: str
    student_parameters: int
    guessing: float
    teacher: float
    held_out: int
    points: tuple[Point, ...]
    digest: str  # SHA-256 of the file

    def each(self, samples: float) -> tuple[float, ...]:
        """Return the share right after this many samples, one for each seed of the curve.

        Without samples it is guessing; above the largest measured size, the value at that size.
        """
        at = np.log([1.0, *(p.samples for p in self.points)])
        x = float(np.log(max(samples, 1.0)))
        shares = np.array([(self.guessing,) * len(self.points[0].shares), *(p.shares for p in self.points)])
        risen = np.maximum.accumulate(shares, axis=0)
        return tuple(float(np.interp(x, at, risen[:, k])) for k in range(risen.shape[1]))

    def mean(self, samples: float) -> float:
        """Return the mean of `each`."""
        return float(np.mean(self.each(samples)))


@cache
def curve() -> Curve:
    """Read the shipped curve."""
    raw = resources.files("stillwatch.scan").joinpath(FILE).read_bytes()
    document = tomllib.loads(raw.decode("utf-8"))
    points = tuple(
        Point(p["samples"], p["tokens"], tuple(right / document["held_out"] for right in p["right"]))
        for p in sorted(document["point"], key=lambda p: int(p["samples"]))
    )
    return Curve(
        document["task"],
        document["student_parameters"],
        document["guessing"],
        document["teacher_right"] / document["held_out"],
        document["held_out"],
        points,
        hashlib.sha256(raw).hexdigest(),
    )
