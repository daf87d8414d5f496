"""Detects a jump in the properties of answers during collection. The order of questions is drawn by hash, so
there should be none.

Null: the order is independent of the values: every order was equally likely.
Blind to: a change that leaves the mean as it is; a slow drift; fewer than `SIDE` answers of another kind.
Fooled by: prompts that were added later; samples that failed and were asked again much later.
Source: the largest standardised difference of means, beside that of random orders: Antoch and Hušková,
Permutation tests in change point analysis, Statistics & Probability Letters 53 (2001).
"""

from dataclasses import dataclass

import numpy as np

LEAST_ANSWERS = 40
SIDE = 10  # answers on each side of a change, at least
ORDERS = 999  # random orders for comparison
ALPHA = 0.01
SEED = 1


@dataclass(frozen=True)
class AnswerChange:
    """A jump in the mean, in the order of asking."""

    what: str
    after: int  # answers before it
    of: int
    before: float
    since: float
    p_value: float

    @property
    def sentence(self) -> str:
        return (
            f"after {self.after:,} of {self.of:,} answers the teacher changed: {self.what} {self.before:.3g} "
            f"before, {self.since:.3g} since (p = {self.p_value:.2g})"
        )


def find_change(
    what: str, values: np.ndarray, tests: int = 1, logarithms: bool = True
) -> AnswerChange | None:
    """Return the place where values jump, if chance gives as large a jump less than `ALPHA` of the time.

    `tests`: the number of tests on the same answers. With `logarithms`, means are geometric means.
    """
    n = len(values)
    if n < LEAST_ANSWERS or np.ptp(values) == 0:
        return None
    at = np.arange(SIDE, n - SIDE + 1)
    scale = np.sqrt(n / (at * (n - at)))

    def largest(order: np.ndarray) -> tuple[float, int]:
        sums = np.abs(np.cumsum(order - order.mean())[at - 1]) * scale
        return float(sums.max()), int(at[sums.argmax()])

    size, place = largest(values)
    draw = np.random.default_rng(SEED)
    as_large = sum(largest(draw.permutation(values))[0] >= size - 1e-12 for _ in range(ORDERS))
    p_value = (1 + as_large) / (1 + ORDERS)
    if p_value > ALPHA / tests:
        return None
    before, since = (float(part.mean()) for part in (values[:place], values[place:]))
    if logarithms:
        before, since = float(np.exp(before)), float(np.exp(since))
    return AnswerChange(what, place, n, round(before, 4), round(since, 4), p_value)
