"""Tail probabilities compared with exact sums, and combined p-values with their own null."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from stillwatch.stats.groups import GRID, combine, concentration_tail, within_correlation


def exact_tail(count, members, share, correlation):
    """Pólya's urn, in fractions: each member draws, and the drawn colour is put back with one more."""
    strength = (1 - correlation) / correlation
    a, b = share * strength, (1 - share) * strength
    total = Fraction(0)
    for k in range(count, members + 1):
        p = Fraction(math.comb(members, k))
        for i in range(k):
            p *= a + i
        for i in range(members - k):
            p *= b + i
        for i in range(members):
            p /= a + b + i
        total += p
    return total


@pytest.mark.parametrize("members", [1, 2, 7, 25])
@pytest.mark.parametrize("share", [Fraction(1, 50), Fraction(1, 4), Fraction(9, 10)])
@pytest.mark.parametrize("correlation", [Fraction(1, 50), Fraction(1, 4)])
def test_concentration_is_the_exact_sum(members, share, correlation):
    for count in range(members + 1):
        expected = float(exact_tail(count, members, share, correlation))
        assert concentration_tail(count, members, float(share), float(correlation)) == pytest.approx(
            expected, rel=1e-9
        )


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.floats(0.001, 0.999), st.floats(0.01, 0.6), st.data())
def test_concentration_is_scipys_where_scipy_is_exact(members, share, correlation, data):
    count = data.draw(st.integers(0, members))
    strength = (1 - correlation) / correlation
    expected = betabinom.sf(count - 1, members, share * strength, (1 - share) * strength)
    tail = concentration_tail(count, members, share, correlation)
    assert 0 < tail <= 1
    if expected > 1e-6:
        assert tail == pytest.approx(expected, rel=1e-5)
    if count < members:
        assert concentration_tail(count + 1, members, share, correlation) <= tail * (1 + 1e-9)


def test_little_correlation_is_the_binomial_and_more_is_more_lenient():
    assert concentration_tail(15, 20, 0.3, 1e-7) == pytest.approx(binom.sf(14, 20, 0.3), rel=1e-3)
    tails = [concentration_tail(15, 20, 0.3, c) for c in (0.01, 0.05, 0.2, 0.5)]
    assert tails == sorted(tails)


def test_a_tail_too_small_for_a_sum_is_not_nothing():
    assert 0 < concentration_tail(500, 500, 0.01, 0.001) < 1e-250


@pytest.mark.slow
@pytest.mark.parametrize("tests", [1, 2, 3, 6])
def test_combined_p_values_are_uniform_under_the_null(tests):
    rng = np.random.default_rng(5)
    runs = 40_000
    found = np.array([combine(row) for row in rng.random((runs, tests)).tolist()])
    for alpha in (0.001, 0.01, 0.05, 0.2):
        noise = 4 * math.sqrt(alpha / runs)
        assert abs((found <= alpha).mean() - alpha) < 0.15 * alpha + noise, alpha


def test_combined_p_values_hold_under_dependence():
    """Tests of one group share its members: strongly correlated normal scores."""
    rng = np.random.default_rng(6)
    shared, own = rng.normal(size=(40_000, 1)), rng.normal(size=(40_000, 3))
    score = math.sqrt(0.7) * shared + math.sqrt(0.3) * own
    p = np.vectorize(lambda z: 0.5 * math.erfc(z / math.sqrt(2)))(score)
    found = np.array([combine(row) for row in p.tolist()])
    for alpha in (0.001, 0.01):
        assert (found <= alpha).mean() <= 1.2 * alpha + 4 * math.sqrt(alpha / len(found))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_combine_gives_a_probability_no_better_than_bonferronis_best(p_values):
    p = combine(p_values)
    assert 0 <= p <= 1
    assert p >= min(min(p_values), 0.99) * 0.999
    assert combine(p_values[::-1]) == pytest.approx(p, rel=1e-9, abs=1e-300)


def test_combine_goes_on_where_the_tangent_ends():
    around = [combine([p, 0.5, 0.5]) for p in (1e-8, 3e-10, 1e-10, 9e-11, 1e-12, 1e-40, 1e-290)]
    assert around == sorted(around, reverse=True)
    assert around[-1] == pytest.approx(3e-290)
    assert combine([1.0, 1.0]) < 1
    assert combine([1e-6, 1.0]) < 1e-5  # a test without information does not outvote one with it


def test_correlation_is_the_least_that_explains_the_groups():
    rng = np.random.default_rng(8)

    def groups(correlation):
        strength = (1 - correlation) / correlation
        share = rng.beta(0.3 * strength, 0.7 * strength, 200)
        return [(int(k), 20, 0.3) for k in rng.binomial(20, share)]

    assert within_correlation([], 1, 0.03) == 0.03
    assert within_correlation(groups(0.02), 1, 0.03) <= 0.05
    honest = groups(0.3)
    fitted = within_correlation(honest, 1, 0.02)
    assert 0.05 <= fitted <= 0.4
    below = GRID[max(np.searchsorted(GRID, fitted) - 1, 0)]
    low = [
        [concentration_tail(k, n, share, float(c)) < 0.2 for k, n, share in honest] for c in (below, fitted)
    ]
    assert np.mean(low[1]) <= 0.25 < np.mean(low[0])
    campaigns = [(20, 20, 0.3)] * 10
    assert within_correlation(honest + campaigns, 1, 0.02) <= 2 * fitted  # a few campaigns hardly matter
    assert within_correlation([(20, 20, 0.3)] * 10, 1, 0.03) == GRID[-1]
