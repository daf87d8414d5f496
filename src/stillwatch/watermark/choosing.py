"""Chooses the next token by a key: the only place where a mark is applied.

Of the tokens with probability p, the one with the largest u^(1/p) is taken (Gumbel-max). Over random keys
that is sampling from p. If the same context comes again in one answer, the sampler decides: no loops, and no
pair twice.

Source: Aaronson 2022; Kuditipudi et al. 2023, arXiv:2307.15593; repeated contexts left to chance: Hu et al.
2024, arXiv:2310.10669, 4.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from stillwatch.watermark import Mark, MarkError
from stillwatch.watermark.formula import BLOCK, WORDS, numbers


def numbers_of(mark: Mark, context: Sequence[int], tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return u in [0, 1) for each of these tokens, in ascending order, after a context."""
    found = np.empty(len(tokens), dtype=np.uint32)
    blocks, first = np.unique(tokens // BLOCK, return_index=True)
    for block, start, end in zip(blocks, first, [*first[1:], len(tokens)], strict=True):
        drawn = np.frombuffer(numbers(mark.key, context, int(block)), dtype="<u4")
        found[start:end] = drawn[tokens[start:end] % BLOCK]
    return found / WORDS


def choose_token(
    mark: Mark, p: npt.NDArray[np.float64], written: Sequence[int], chance: Callable[[], float]
) -> int | None:
    """Choose the next token, or return None if the sampler is to choose by its own randomness.

    p: (vocabulary,), after temperature and cuts; it need not sum to one. written: the answer's tokens so far,
    without the prompt's. chance: uniform in [0, 1), the sampler's own. Raises: MarkError for a mark of
    several keys.
    """
    if mark.more:
        raise MarkError(f"{mark.actor}: one answer is marked with one key; take Mark.of_answer")
    window = mark.window
    if len(written) < window:
        return None
    context = tuple(written[-window:])
    if any(tuple(written[i : i + window]) == context for i in range(len(written) - window)):
        return None
    if mark.strength < 1 and chance() >= mark.strength:
        return None
    possible = np.flatnonzero(p > 0)
    if len(possible) < 2:
        return None
    u = numbers_of(mark, context, possible)
    with np.errstate(divide="ignore"):
        return int(possible[np.argmax(np.log(u) / p[possible])])
