"""Communities equal those of a slow reading of the definition: running sums equal new ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.actors.communities import communities

LEVELS, PASSES = 6, 12  # as graph.c has them


def slow_communities(rows, resolution):
    """The definition in plain Python. rows: for each node, its neighbours and weights in order."""
    final = list(range(len(rows)))
    for _ in range(LEVELS):
        label = slow_moves(rows, resolution)
        names = {}
        for c in label:
            names.setdefault(c, len(names))
        label = [names[c] for c in label]
        final = [label[c] for c in final]
        if len(names) == len(rows):
            break
        folded = [{} for _ in names]
        for i, row in enumerate(rows):
            for j, w in row:
                folded[label[i]][label[j]] = folded[label[i]].get(label[j], 0) + w
        rows = [list(row.items()) for row in folded]
    return final


def slow_moves(rows, resolution):
    degree = [sum(w for _, w in row) for row in rows]
    total, label, mass = sum(degree), list(range(len(rows))), list(degree)
    for _ in range(PASSES):
        before = list(label)
        for i, row in enumerate(rows):
            if degree[i] == 0:
                continue
            pull = {}
            for j, w in row:
                if j != i:
                    pull[label[j]] = pull.get(label[j], 0) + w
            own = best = label[i]
            mass[own] -= degree[i]
            scale = resolution * degree[i] / total
            gain = pull.get(own, 0) - scale * mass[own]
            for c, drawn in pull.items():
                g = drawn - scale * mass[c]
                if g > gain + 1e-9 * total or (g >= gain and c < best):
                    gain, best = g, c
            mass[best] += degree[i]
            label[i] = best
        if label == before:
            break
    return label


def crowded(rng, n, groups, edges, least):
    """Random rows whose nodes lie between groups, with weights nearly or exactly equal."""
    group = rng.integers(0, groups, n)
    a, b = rng.integers(0, n, (2, edges))
    kept = (a != b) & ((group[a] == group[b]) | (rng.random(edges) < 0.3))
    weights = {}
    for x, y, w in zip(a[kept], b[kept], least + rng.integers(0, 3, kept.sum()), strict=True):
        weights[min(x, y), max(x, y)] = weights.get((min(x, y), max(x, y)), 0) + int(w)
    rows = [[] for _ in range(n)]
    for (x, y), w in sorted(weights.items()):
        rows[x].append((int(y), w))
        rows[y].append((int(x), w))
    return [sorted(row) for row in rows]


def compressed(rows):
    begin = np.cumsum([0, *(len(row) for row in rows)])
    flat = [tie for row in rows for tie in row]
    return (
        begin.astype(np.int64),
        np.array([j for j, _ in flat], np.int32),
        np.array([w for _, w in flat], np.int64),
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 200),
    st.sampled_from([2, 5, 12]),
    st.sampled_from([1, 3, 12]),
    st.sampled_from([1, 10**4, 10**7, 2 * 10**9]),
    st.sampled_from([0.5, 1.0, 4.0, 8.0]),
)
def test_sums_kept_up_are_sums_made_anew(seed, n, groups, density, least, resolution):
    rows = crowded(np.random.default_rng(seed), n, groups, density * n, least)
    expected = slow_communities(rows, resolution)
    begin, neighbour, weight = compressed(rows)
    for kind in (np.int32, np.int64):
        if weight.max(initial=0) <= np.iinfo(kind).max:
            assert communities(begin, neighbour, weight.astype(kind), resolution).tolist() == expected
