"""The accuracy of a small real model by number of teacher samples, as measured and as reports cite it.

`real_student.toml` has SmolLM2-135M on a toy task. There is no interpolation between the measured sizes.

Null: each size was tried once. Blind to: the content of the examples; the size of the student.
Fooled by: use as a forecast. It shows that there is a threshold, not where a large model has it.
Source: docs/figures/distill-training.md, one seed, 150 held-out problems.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from stillwatch.stats.intervals import wilson

FILE = "real_student.toml"


@dataclass(frozen=True)
class RealStudent:
    """A real model by number of samples, one student per size: (samples, right) in ascending order."""

    model: str
    held_out: int
    before: int  # right without a sample
    points: tuple[tuple[int, int], ...]


@cache
def real_student() -> RealStudent:
    """Read the shipped real student."""
    document = tomllib.loads(resources.files("stillwatch.scan").joinpath(FILE).read_text("utf-8"))
    points = tuple((point["samples"], point["right"]) for point in document["point"])
    return RealStudent(document["model"], document["held_out"], document["before"], points)


def cite_curve(exchanges: int) -> str:
    """State in one sentence the accuracy at the measured sizes next to this many exchanges.

    >>> cite_curve(500)
    'A small real model (SmolLM2-135M) correctly answered 52 % (44 to 60) of the held-out questions of a \
toy task after 144 samples, and 70 % (62 to 77) after 640 (0 % before); each size was tried once, and \
this is no forecast for a large model.'
    """
    student = real_student()
    below = [point for point in student.points if point[0] <= exchanges]
    above = [point for point in student.points if point[0] > exchanges]

    def share(right: int) -> str:
        low, high = wilson(right, student.held_out)
        return f"{100 * right / student.held_out:.0f} % ({100 * low:.0f} to {100 * high:.0f})"

    samples, right = below[-1] if below else above[0]
    addition = ", the least that was tried" if not below else ", the most that was tried" if not above else ""
    if below and above:
        addition = f", and {share(above[0][1])} after {above[0][0]:,}"
    return (
        f"A small real model ({student.model}) correctly answered {share(right)} of the held-out questions "
        f"of a toy task after {samples:,} samples{addition} "
        f"({100 * student.before / student.held_out:.0f} % before); "
        "each size was tried once, and this is no forecast for a large model."
    )
