"""Probabilities of whole numbers from the ratios of neighbouring ones."""

import numpy as np


def chances(ratios: np.ndarray) -> np.ndarray:
    """(n + 1,) probabilities of neighbouring whole numbers, from their ratios; their sum is 1.

    ratios: (n,) each probability but the first, divided by the one before it; above 1 up to the mode only.
    Nothing is subtracted, so a tail keeps its digits as far as a double reaches.

    >>> chances(np.array([2.0, 0.5]))
    array([0.25, 0.5 , 0.25])
    """
    mode = int(np.count_nonzero(ratios > 1))
    before, after = np.cumprod(1 / ratios[:mode][::-1])[::-1], np.cumprod(ratios[mode:])
    weight = np.concatenate([before, [1.0], after])
    chance: np.ndarray = weight / weight.sum()
    return chance
