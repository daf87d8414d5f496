"""A likeness made comparable: how much liker a pair is than either is to its nearest strangers.

Some models resemble everybody, some nobody; one threshold on raw likeness would name the first and miss the
second. Source: adaptive symmetric score normalisation of speaker verification, Cumani et al. 2011,
Interspeech; here on logarithms, where a cohort's spread need not be estimated from a few models.

Null: none of its own; `who` takes it from models whose kin was taken away. Fooled by: a library of few kins.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove.pool.likeness import Floats

COHORT = 20  # nearest strangers; 10 and 30 do as well within noise (docs/lab.md)
LEAST = 1e-6  # a likeness of nothing


def scores(mean: Floats, row: int, references: NDArray[np.int64], kin: Sequence[str]) -> Floats:
    """Score one model beside each reference: log of likeness over the geometric mean of both cohorts'.

    The cohort of a pair are the references that are not kin of this reference, and not the model itself.
    """
    kins = np.array(kin)
    alike = np.log(np.maximum(np.nan_to_num(mean), LEAST))
    found = np.full(len(references), np.nan)
    for at, other in enumerate(references):
        cohort = references[(kins[references] != kins[other]) & (references != row)]
        if other == row or not len(cohort):
            continue
        found[at] = alike[row, other] - (_nearest(mean[row, cohort]) + _nearest(mean[other, cohort])) / 2
    return found


def _nearest(likenesses: Floats) -> float:
    nearest = np.sort(np.nan_to_num(likenesses))[-COHORT:]
    return float(np.log(max(LEAST, nearest.mean())))
