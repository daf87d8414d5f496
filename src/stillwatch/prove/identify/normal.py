"""Normalises similarity: how much more similar a pair is than either is to its nearest unrelated models.

Some models resemble every other, some none. One threshold on raw similarity would name the first and miss the
second. Source: adaptive symmetric score normalisation of speaker verification, Cumani et al. 2011,
Interspeech; here on logarithms, where a cohort's spread need not be estimated from a few models.

Null: none of its own; `who` estimates it from models whose kin was removed. Fooled by: a library of few kins.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove.pool.likeness import COHORT, Floats

LEAST = 1e-6  # floor of a similarity, for its logarithm


def scores(mean: Floats, row: int, references: NDArray[np.int64], kin: Sequence[str]) -> Floats:
    """Score one model against each reference: log of similarity over the geometric mean of both cohorts'.

    The cohort of a pair are the references of other kins than this reference, without the model itself.
    """
    kins = np.array(kin)[references]
    alike = np.maximum(np.nan_to_num(mean), LEAST)
    others = references != row
    strangers = (kins[:, None] != kins[None, :]) & others[None, :]  # (reference, member of its cohort)
    own = _nearest(np.broadcast_to(alike[row, references], strangers.shape), strangers)
    theirs = _nearest(alike[np.ix_(references, references)], strangers)
    found = np.log(alike[row, references]) - (own + theirs) / 2
    return np.where(others & strangers.any(axis=1), found, np.nan)


def _nearest(likenesses: Floats, cohort: NDArray[np.bool_]) -> Floats:
    """Return, for each row, the log of the mean of the highest similarities in its cohort."""
    highest = np.sort(np.where(cohort, likenesses, 0.0), axis=1)[:, -COHORT:]
    held = np.maximum(1, np.minimum(cohort.sum(axis=1), COHORT))
    result: Floats = np.log(np.maximum(LEAST, highest.sum(axis=1) / held))
    return result
