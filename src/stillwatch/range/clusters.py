"""Clusters of logs that share honest people: figures about the same people count once.

Two logs with people in common are in one cluster, and so are logs connected through others.
"""

from collections.abc import Sequence

import numpy as np

from stillwatch.range.outcome import ScoredPeople


def clusters(people: Sequence[Sequence[ScoredPeople]]) -> list[int]:
    """Return each item's cluster, numbered from 0 in the order of the items.

    >>> a, b, c = ScoredPeople("x", 0.0, 0.5), ScoredPeople("x", 0.5, 1.0), ScoredPeople("x", 0.4, 0.6)
    >>> clusters([[a], [b], [a]]), clusters([[a], [b], [c]])
    ([0, 1, 0], [0, 0, 0])
    """
    cluster = list(range(len(people)))
    for n, clusters in enumerate(people):
        for m in range(n):
            if cluster[m] != cluster[n] and any(a.overlaps(b) for a in clusters for b in people[m]):
                dropped, stays = max(cluster[n], cluster[m]), min(cluster[n], cluster[m])
                cluster = [stays if x == dropped else x for x in cluster]
    numbers = {x: k for k, x in enumerate(dict.fromkeys(cluster))}
    return [numbers[x] for x in cluster]


def means(values: Sequence[float | None], of: Sequence[int]) -> list[float]:
    """Return the mean of each cluster's values; None is no value, and a cluster without values is left out.

    >>> means([1.0, 2.0, 5.0, None], [0, 0, 1, 2])
    [1.5, 5.0]
    """
    by: dict[int, list[float]] = {}
    for value, cluster in zip(values, of, strict=True):
        if value is not None:
            by.setdefault(cluster, []).append(value)
    return [float(np.mean(of_cluster)) for of_cluster in by.values()]
