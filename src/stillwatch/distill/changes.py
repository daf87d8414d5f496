"""Did what answers are like jump on the way? The order of questions is drawn by hash, so it should not.

Null: the order says nothing of the values: any order of them was as likely.
Blind to: a change that leaves the mean as it is; a slow drift; fewer than `SIDE` answers of another kind.
Fooled by: prompts that were added later; samples that failed and were asked again much later.
Source: the largest standardised difference of means, beside that of random orders: Antoch and Hušková,
Permutation tests in change point analysis, Statistics & Probability Letters 53 (2001).
"""

from dataclasses import dataclass

import numpy as np

LEAST_ANSWERS = 40
SIDE = 10  # answers on each side of a change, at least
ORDERS = 999  # random orders that the true one is compared with
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
    """The place where values jump, where chance would show as large a one less than `ALPHA` of the time.

    `tests` are made on the same answers. Means of `logarithms` are given as geometric means.
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
