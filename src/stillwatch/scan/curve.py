"""What samples of a teacher bought a small student, as measured. It knows no campaign and no large model.

The figures are data (`curve.toml`), of students that were trained on 125 to 1,000 answers of the embedded
teacher. Between two measured sizes the share is a straight line over the logarithm of samples, never falling.

Null: the examples are of one task and each is new. Blind to: what the examples are; how large the student is.
Fooled by: reading it as a forecast. It says that there is a threshold, not where a large model has it.
Source: docs/distill-training.md, `python benchmarks/distill.py`, three seeds, 1,000 held-out problems each.
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
    """Students taught with so many samples: the share of held-out problems right, one for each seed."""

    samples: int
    tokens: int
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """The measured sizes in ascending order, and what guessing scores."""

    task: str
    student_parameters: int
    guessing: float
    teacher: float
    held_out: int
    points: tuple[Point, ...]
    digest: str  # SHA-256 of the file

    def each(self, samples: float) -> tuple[float, ...]:
        """Give the share right that so many samples bought, one for each seed of the curve.

        No sample is guessing; more than the largest size measured is read as that size.
        """
        at = np.log([1.0, *(p.samples for p in self.points)])
        x = float(np.log(max(samples, 1.0)))
        shares = np.array([(self.guessing,) * len(self.points[0].shares), *(p.shares for p in self.points)])
        risen = np.maximum.accumulate(shares, axis=0)
        return tuple(float(np.interp(x, at, risen[:, k])) for k in range(risen.shape[1]))

    def mean(self, samples: float) -> float:
        """Give the mean of `each`."""
        return float(np.mean(self.each(samples)))


@cache
def curve() -> Curve:
    """Read the curve that ships."""
    raw = resources.files("stillwatch.scan").joinpath(FILE).read_bytes()
    told = tomllib.loads(raw.decode("utf-8"))
    points = tuple(
        Point(p["samples"], p["tokens"], tuple(right / told["held_out"] for right in p["right"]))
        for p in sorted(told["point"], key=lambda p: int(p["samples"]))
    )
    return Curve(
        told["task"],
        told["student_parameters"],
        told["guessing"],
        told["teacher_right"] / told["held_out"],
        told["held_out"],
        points,
        hashlib.sha256(raw).hexdigest(),
    )


def cite_curve(exchanges: int) -> str:
    """Say in one sentence what so many exchanges bought on the measured curve, and what that is not.

    >>> cite_curve(500)
    "On this project's own curve, a toy's, 500 samples bought 71 % to 77 % of held-out questions (guessing: \
10 %); it shows that there is a threshold, not where a large model has it."
    """
    told = curve()
    first, last = told.points[0].samples, told.points[-1].samples
    shares = told.each(exchanges)
    low, high = f"{100 * min(shares):.0f} %", f"{100 * max(shares):.0f} %"
    span = low if low == high else f"{low} to {high}"
    if exchanges > last:
        size = f"{last:,} samples already bought"
    elif exchanges < first:
        size, span = f"fewer than {first:,} samples bought", f"about {span}"
    else:
        size = f"{exchanges:,} samples bought"
    return (
        f"On this project's own curve, a toy's, {size} {span} of held-out questions "
        f"(guessing: {100 * told.guessing:.0f} %); it shows that there is a threshold, "
        "not where a large model has it."
    )
