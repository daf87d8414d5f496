"""Tails and quantiles compared with exact sums and SciPy; components, ranks, products and W with SciPy."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import sparse, special, stats
from scipy.sparse import csgraph

from stillwatch.stats.chances import chances
from stillwatch.stats.dealing import begins, components
from stillwatch.stats.intervals import clopper_pearson
from stillwatch.stats.normality import shapiro_wilk
from stillwatch.stats.ranks import mean_ranks
from stillwatch.stats.sparse_rows import lower_products, row_products
from stillwatch.stats.subsets import Stratum, rate_tail, subset_tail
from stillwatch.stats.tails import beta_odds, beta_tail, gamma_quantile, poisson_tail, student_bound

NEAR = 1e-12  # relative
RATES = [1e-9, 0.003, 0.25, 0.5, 1 / 3, 0.9, 0.999, 1 - 2**-50]


def exact_rate_tail(least: int, n: int, rate: float) -> float:
    """Return the binomial sum with sixty digits."""
    with localcontext(prec=60):
        share, rest = Decimal(rate), 1 - Decimal(rate)
        term = math.comb(n, least) * share**least * rest ** (n - least)
        total = Decimal(0)
        for k in range(least, n + 1):
            total += term
            term *= share * (n - k) / (rest * (k + 1))
        return float(total)


# --- binomial ---


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_a_rate_tail_is_the_exact_sum(n: int, rate: float) -> None:
    for least in range(n + 2):
        exact = exact_rate_tail(least, n, rate)
        if exact == 0 or exact > 1e-300:
            assert rate_tail(least, n, rate) == pytest.approx(exact, rel=NEAR, abs=0), least


def test_a_rate_tail_far_out_is_the_exact_sum() -> None:
    for least, n, rate in (
        (300, 300, 0.1),
        (600, 2000, 0.05),
        (1990, 2000, 0.7),
        (1, 5, 1e-290),
        (8550, 10**4, 0.7),
    ):
        exact = exact_rate_tail(least, n, rate)
        assert 1e-300 < exact < 1e-100
        assert rate_tail(least, n, rate) == pytest.approx(exact, rel=NEAR, abs=0)


@pytest.mark.slow
@given(st.integers(1, 10**5), st.floats(-8, 37), st.floats(1e-9, 1 - 1e-9))
@example(10**9, 0.0, 0.3).via("tens of thousands of steps")
@example(10**9, 30.0, 0.3).via("few steps, a small tail")
@example(10**9, 5.0, 1e-9).via("a mean of one")
def test_a_rate_tail_is_scipys(n: int, deviations: float, rate: float) -> None:
    least = round(n * rate + deviations * math.sqrt(n * rate * (1 - rate)))
    least = min(max(least, 0), n)
    theirs = float(stats.binom.sf(least - 1, n, rate))
    if theirs > 1e-300:  # SciPy's error is up to 1e-12 here; that of a rounded rate grows with n
        assert rate_tail(least, n, rate) == pytest.approx(theirs, rel=4e-12 * max(1, n / 1e7), abs=0)


def test_the_ends_of_a_rate_tail() -> None:
    assert rate_tail(0, 0, 0.5) == rate_tail(-1, 5, 0.5) == rate_tail(0, 5, 0.0) == rate_tail(5, 5, 1.0) == 1
    assert rate_tail(6, 5, 0.5) == rate_tail(1, 5, 0.0) == 0
    assert rate_tail(5, 5, 5e-324) == 0
    for rate in (-0.1, 1.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="no beta tail"):
            rate_tail(1, 5, rate)


@given(st.integers(1, 80), st.floats(0, 1))
def test_a_rate_tail_falls(n: int, rate: float) -> None:
    tails = [rate_tail(k, n, rate) for k in range(n + 2)]
    assert all(0 <= after <= before * (1 + NEAR) for before, after in pairwise(tails))
    assert max(tails) <= 1


# --- hypergeometric ---


@pytest.mark.slow
@given(st.integers(0, 60), st.data())
def test_a_subset_tail_is_the_exact_sum(items: int, data: st.DataObject) -> None:
    positive, marked = data.draw(st.integers(0, items)), data.draw(st.integers(0, items))
    for least in range(min(positive, marked) + 1):
        ways = sum(
            math.comb(positive, k) * math.comb(items - positive, marked - k)
            for k in range(least, min(positive, marked) + 1)
            if marked - k <= items - positive
        )
        exact = float(Fraction(ways, math.comb(items, marked)))
        assert subset_tail([Stratum(items, positive, marked, least)]) == pytest.approx(exact, rel=NEAR, abs=0)


@pytest.mark.parametrize(
    ("items", "positive", "marked"),
    [(10**6, 400, 3000), (10**8, 10**5, 10**5), (5000, 4000, 4500), (3000, 1500, 1500)],
)
def test_a_large_subset_tail_is_the_exact_ratio(items: int, positive: int, marked: int) -> None:
    most = min(positive, marked)
    theirs = stats.hypergeom.logpmf(np.arange(most + 1), items, positive, marked)
    mean = positive * marked / items
    for least in {round(mean), round(1.2 * mean) + 1, min(most, round(2 * mean) + 5)}:
        tail = float(np.exp(theirs[least:]).sum())
        if tail > 1e-280:
            # SciPy's own digits end with those of ln n!
            assert subset_tail([Stratum(items, positive, marked, least)]) == pytest.approx(tail, rel=3e-6)


def test_chances_have_one_sum_wherever_the_mode_is() -> None:
    k = np.arange(1000)
    for odds in (1e-3, 0.5, 1.0, 40.0, 1e4):
        binomial = chances(odds * (1000 - k) / (k + 1))
        assert binomial.sum() == pytest.approx(1, rel=1e-14)
        assert binomial == pytest.approx(stats.binom.pmf(np.arange(1001), 1000, odds / (1 + odds)), rel=1e-10)
    assert chances(np.zeros(0)).tolist() == [1]


# --- Poisson ---


@given(st.integers(0, 3000), st.floats(1e-12, 3000))
def test_a_poisson_tail_is_scipys(least: int, mean: float) -> None:
    theirs = float(stats.poisson.sf(least - 1, mean))
    if theirs > 1e-300:  # SciPy's error is up to 4e-12 here
        assert poisson_tail(least, mean) == pytest.approx(theirs, rel=1e-11, abs=0)


@pytest.mark.parametrize(
    ("least", "mean"), [(1, 1e-9), (4, 0.5), (200, 30), (1600, 500), (3, 3.0), (900, 1000)]
)
def test_a_poisson_tail_is_the_exact_sum(least: int, mean: float) -> None:
    with localcontext(prec=60):
        chance, tail = (-Decimal(mean)).exp(), Decimal(0)
        for k in range(max(least, int(mean)) + 400):  # further terms add nothing to a double
            tail += chance * (k >= least)
            chance *= Decimal(mean) / (k + 1)
    assert poisson_tail(least, mean) == pytest.approx(float(tail), rel=NEAR, abs=0)


def test_the_ends_of_a_poisson_tail() -> None:
    assert poisson_tail(0, 0) == poisson_tail(-3, 5.0) == 1
    assert poisson_tail(1, 0) == 0
    assert poisson_tail(10**6, 1.0) == 0
    for mean in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="a Poisson mean"):
            poisson_tail(1, mean)


# --- beta and Student ---

parameters = st.floats(0.05, 1e6)


@given(parameters, parameters, st.floats(0, 1, allow_subnormal=False))
def test_a_beta_tail_is_scipys(a: float, b: float, x: float) -> None:
    theirs = float(special.betainc(a, b, x))
    if theirs == 0 or theirs > 1e-300:
        assert beta_tail(x, a, b) == pytest.approx(theirs, rel=2e-11, abs=1e-300)


def test_a_beta_tail_at_the_least_of_doubles() -> None:
    """Values for which SciPy loses its digits: the second by mpmath, 40 digits."""
    assert beta_tail(5e-324, 0.5, 1.0) == pytest.approx(math.sqrt(5e-324), rel=1e-12)
    assert beta_tail(5e-324, 0.05, 0.05) == pytest.approx(3.43023752487336e-17, rel=1e-12)


@pytest.mark.slow
@given(parameters, parameters, st.floats(1e-12, 1 - 1e-12))
def test_a_quantile_is_where_the_tail_is(a: float, b: float, p: float) -> None:
    odds = beta_odds(p, a, b)
    x, y = odds / (1 + odds), 1 / (1 + odds)
    if min(x, y) > 1e-290:
        found = special.betainc(a, b, x) if x < y else special.betaincc(b, a, y)
        other = special.betaincc(a, b, x) if x < y else special.betainc(b, a, y)
        assert (found, other) == pytest.approx((p, 1 - p), rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 99, 10**4, 10**7])
@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.95, 0.9999])
def test_students_bound_is_scipys(freedom: int, confidence: float) -> None:
    assert student_bound(confidence, freedom) == pytest.approx(
        special.stdtrit(freedom, 0.5 + confidence / 2), rel=1e-10
    )


@pytest.mark.parametrize("confidence", [0.5, 0.95, 1 - 1e-9])
@pytest.mark.parametrize("n", [1, 3, 60, 5000, 10**7])
def test_exact_bounds_are_scipys(n: int, confidence: float) -> None:
    tail = (1 - confidence) / 2
    for right in {0, 1, n // 3, n - 1, n}:
        low, high = clopper_pearson(right, n, confidence)
        if right:
            assert low == pytest.approx(special.betaincinv(right, n - right + 1, tail), rel=1e-10)
        if right < n:
            assert high == pytest.approx(special.betainccinv(right + 1, n - right, tail), rel=1e-10)


@pytest.mark.parametrize(("p", "a", "b"), [(0, 1, 1), (1, 1, 1), (math.nan, 1, 1)])
def test_a_quantile_is_asked_for_inside(p: float, a: float, b: float) -> None:
    with pytest.raises(ValueError, match="no beta quantile"):
        beta_odds(p, a, b)


@pytest.mark.parametrize("shape", [0.3, 1, 1.7, 12, 47.5, 1000, 20_000])
@pytest.mark.parametrize("p", [1e-9, 0.025, 0.5, 0.975, 1 - 1e-9])
def test_a_gamma_quantile_is_scipys(p: float, shape: float) -> None:
    assert gamma_quantile(p, shape) == pytest.approx(special.gammaincinv(shape, p), rel=1e-8)


# --- ranks, products, normality ---


@given(st.lists(st.integers(-3, 3) | st.floats(-1e9, 1e9), min_size=1, max_size=50))
def test_ranks_are_scipys(values: list[float]) -> None:
    assert mean_ranks(values).tolist() == stats.rankdata(values).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_products_of_sparse_rows_are_scipys(seed: int) -> None:
    rows = sparse.random_array((40, 60), density=0.1, rng=seed, format="csr", data_sampler=_either_sign)
    rows.sort_indices()
    begin, term = rows.indptr.astype(np.int64), rows.indices.astype(np.int64)
    right = (rows @ rows.T).toarray()
    np.testing.assert_allclose(row_products(begin, term, rows.data), right, atol=1e-12)
    np.testing.assert_allclose(lower_products(begin, term, rows.data), np.tril(right), atol=1e-12)


def _either_sign(size: int) -> np.ndarray:
    return np.random.default_rng(size).normal(size=size)


def test_no_rows_have_no_products() -> None:
    none = np.zeros(0, np.int64)
    assert row_products(begins(none), none, np.zeros(0)).shape == (0, 0)
    assert row_products(begins(np.zeros(3, np.int64)), none, np.zeros(0)).tolist() == [[0.0] * 3] * 3


@pytest.mark.parametrize("n", [3, 4, 5, 6, 11, 12, 100, 1000])
def test_w_is_scipys(n: int) -> None:
    draw = np.random.default_rng(n)
    for values in (
        draw.normal(size=n),
        draw.exponential(size=n),
        draw.random(n).round(1) + np.arange(n) * 1e-9,
    ):
        assert shapiro_wilk(values) == pytest.approx(stats.shapiro(values).statistic, abs=1e-8)


@pytest.mark.parametrize("values", [[1.0, 2.0], [3.0] * 9])
def test_no_w_where_there_is_none(values: list[float]) -> None:
    with pytest.raises(ValueError, match="no W"):
        shapiro_wilk(np.array(values))


# --- components ---


@pytest.mark.slow
@given(st.integers(1, 60), st.data())
def test_components_are_scipys(nodes: int, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(*[st.integers(0, nodes - 1)] * 2), max_size=80))
    one, other = np.array(pairs, np.int32).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(one)), (one, other)), (nodes, nodes))
    assert (
        components(one, other, nodes).tolist()
        == csgraph.connected_components(graph, directed=False)[1].tolist()
    )


def test_components_of_long_chains_in_any_order() -> None:
    at = np.random.default_rng(3).permutation(99_999)
    assert not components(at, at + 1, 100_000).any()
    assert components(at[:0], at[:0], 0).tolist() == []
    assert components(at[:0], at[:0], 3).tolist() == [0, 1, 2]
