"""Louvain's communities compared with networkx, on random graphs, cliques and the same graph twice."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.actors.communities import communities


def rows_of(graph):
    """Return a networkx graph over 0..n-1 in compressed rows."""
    n = len(graph)
    begin, neighbour, weight = [0], [], []
    for i in range(n):
        for j in sorted(graph[i]):
            neighbour.append(j)
            weight.append(graph[i][j].get("weight", 1))
        begin.append(len(neighbour))
    return np.array(begin, np.int64), np.array(neighbour, np.int32), np.array(weight, np.int64)


def groups_of(label):
    return [set(np.flatnonzero(label == c).tolist()) for c in np.unique(label)]


def planted(seed, groups, size, inside, outside):
    graph = nx.planted_partition_graph(groups, size, inside, outside, seed=seed)
    rng = np.random.default_rng(seed)
    nx.set_edge_attributes(graph, {e: int(rng.integers(500, 1500)) for e in graph.edges}, "weight")
    return graph


@pytest.mark.parametrize("resolution", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("seed", range(5))
def test_modularity_is_that_of_networkx(seed, resolution):
    graph = planted(seed, 3 + seed, 20, 0.4, 0.01 + 0.02 * seed)
    ours = groups_of(communities(*rows_of(graph), resolution))
    theirs = nx.community.louvain_communities(graph, resolution=resolution, seed=1)
    q_ours, q_theirs = (nx.community.modularity(graph, g, resolution=resolution) for g in (ours, theirs))
    assert q_ours >= 0.97 * q_theirs - 1e-9


@pytest.mark.slow
def test_modularity_in_noise_is_that_of_networkx_on_average():
    """If groups are hardly visible, single runs vary: ours over orders of the nodes, theirs over seeds."""
    graph = planted(5, 8, 20, 0.4, 0.11)
    ours, theirs = [], []
    for seed in range(6):
        turned = nx.empty_graph(len(graph))
        names = np.random.default_rng(seed).permutation(len(graph)).tolist()
        turned.add_weighted_edges_from((names[a], names[b], w) for a, b, w in graph.edges(data="weight"))
        ours.append(nx.community.modularity(turned, groups_of(communities(*rows_of(turned), 1.0))))
        theirs.append(nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=seed)))
    assert np.mean(ours) >= 0.95 * np.mean(theirs)


def test_planted_groups_are_found():
    graph = planted(3, 8, 25, 0.5, 0.01)
    assert groups_of(communities(*rows_of(graph), 1.0)) == [set(range(25 * k, 25 * k + 25)) for k in range(8)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 10**9), st.sampled_from([0.5, 1.0])
)
def test_disconnected_cliques_are_communities(sizes, weight, resolution):
    """For weights of any size, and for cliques of one node."""
    graph = nx.disjoint_union_all([nx.complete_graph(size) for size in sizes])
    nx.set_edge_attributes(graph, weight, "weight")
    groups = groups_of(communities(*rows_of(graph), resolution))
    expected = [set(c) for c in nx.connected_components(graph)]
    if len([size for size in sizes if size > 1]) > 1 or resolution < 1:
        assert groups == expected
    else:
        assert all(any(g <= e for e in expected) for g in groups)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.floats(0, 0.3), st.sampled_from([0.5, 1.0, 4.0, 8.0]))
def test_communities_are_connected_to_someone_and_deterministic(seed, n, density, resolution):
    graph = nx.gnp_random_graph(n, density, seed=seed)
    label = communities(*rows_of(graph), resolution)
    again = communities(*rows_of(graph), resolution)
    assert label.tolist() == again.tolist()
    assert sorted(set(label.tolist())) == list(range(int(label.max()) + 1))
    components = {i: k for k, c in enumerate(nx.connected_components(graph)) for i in c}
    for group in groups_of(label):
        assert len({components[i] for i in group}) == 1  # no community spans separate components


def test_a_larger_resolution_gives_no_larger_communities():
    graph = planted(5, 4, 30, 0.3, 0.05)
    counts = [len(groups_of(communities(*rows_of(graph), r))) for r in (0.5, 2.0, 8.0)]
    assert counts == sorted(counts)


def test_no_edges():
    assert communities(np.zeros(5, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64), 1.0).tolist() == [
        0,
        1,
        2,
        3,
    ]
