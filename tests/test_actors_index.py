"""What is kept up or looked up by index equals what is counted anew, on random logs."""

import numpy as np
import pytest

from stillwatch.actors import World
from stillwatch.actors.conduct import HotRows
from stillwatch.actors.prompts import elsewhere, prompts
from stillwatch.actors.spread import Spread
from stillwatch.actors.stock import LEAST_IN, PURITY, Stock, choices
from stillwatch.actors.window import LinkWindow
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import coded, deal

PARTIES, MARKERS, ROWS = 12, 30, 400


def random_spread(rng: np.random.Generator) -> Spread:
    """Links, entries and uses without meaning; times are row numbers."""
    links, entries, uses = 300, 200, 900
    a, b = rng.integers(0, PARTIES, (2, links)).astype(np.int32)
    return Spread(
        a,
        b,
        np.sort(rng.integers(0, ROWS, links)),
        rng.integers(1, 9000, links),
        np.zeros(links, np.int8),
        rng.integers(0, PARTIES, entries).astype(np.int32),
        rng.integers(0, MARKERS, entries).astype(np.int32),
        np.sort(rng.integers(0, ROWS, entries)),
        np.sort(rng.integers(0, ROWS, uses)).astype(np.int32),
        rng.integers(0, MARKERS, uses).astype(np.int32),
        rng.integers(0, ROWS, MARKERS),
        np.zeros(MARKERS, np.int8),
        np.arange(1, MARKERS + 1, dtype=np.uint32),
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_moving_window_sums_the_links_it_holds(seed: int) -> None:
    spread = random_spread(np.random.default_rng(seed))
    window = LinkWindow(spread, PARTIES)
    for until in range(0, ROWS + 50, 23):
        graph = window.moved(until - 90, until)
        expected = np.zeros((PARTIES, PARTIES), np.int64)
        for a, b, at, weight in zip(spread.a, spread.b, spread.at_us, spread.weight, strict=True):
            if until - 90 <= at < until and a != b:
                expected[a, b] += weight
                expected[b, a] += weight
        found = np.zeros_like(expected)
        for node in range(PARTIES):
            edges = slice(graph.begin[node], graph.begin[node + 1])
            found[node, graph.neighbour[edges]] = graph.weight[edges]
            assert list(graph.neighbour[edges]) == sorted(graph.neighbour[edges])
        assert (found == expected).all()
        assert (graph.weight > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_stock_by_index_is_stock_by_counting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spread, since, until = random_spread(rng), 100, 320
    stock = Stock(spread, PARTIES)
    members = np.sort(rng.choice(PARTIES, 6, replace=False)).astype(np.int32)
    held = (spread.entry_us >= since) & (spread.entry_us < until)
    inside = np.bincount(spread.entry_marker[held & np.isin(spread.entry_party, members)], minlength=MARKERS)
    every = np.bincount(spread.entry_marker[held], minlength=MARKERS)
    pure = (inside >= LEAST_IN) & (inside >= PURITY * every) & (spread.hot_from_us < until)
    own = stock.own(members, since, until)
    assert list(own) == list(np.flatnonzero(pure))
    some = np.arange(0, MARKERS, 3)
    use = np.isin(spread.marker, some) & (spread.row >= since) & (spread.row < until)
    rows, carried = np.unique(spread.row[use], return_counts=True)
    assert list(stock.carried(some, since, until, 2)) == list(rows[carried >= 2])
    party = rng.integers(0, PARTIES, ROWS).astype(np.int32)
    begin, order = deal(party, PARTIES)
    shares = stock.shares(members, HotRows(begin, order, order, order), since, until)
    mine = np.isin(party[spread.row], members) & (spread.row >= since) & (spread.row < until)
    expected = np.bincount(spread.marker[mine], minlength=MARKERS) / len(np.unique(spread.row[mine]))
    assert np.allclose(shares, expected)


def test_choices_are_each_carriers_commonest() -> None:
    party = np.array([2, 0, 2, 2, 0, 1], np.int32)
    values = np.array([[5, 1, 5, 4, 0, 3]], np.int32)
    carriers, counts, first, dominant = choices(np.array([0, 1, 2, 3, 4], np.int32), party, values, 6)
    assert (list(carriers), list(counts), list(first)) == ([0, 2], [2, 3], [1, 0])
    assert dominant.tolist() == [[0, 5]]  # a tie goes to the smaller


def test_prompts_elsewhere_leave_the_accounts_out() -> None:
    rng = np.random.default_rng(5)
    exact = rng.integers(1, 40, ROWS).astype(np.uint64)
    account = rng.integers(0, PARTIES, ROWS).astype(np.int32)
    columns = {
        "ts_us": np.arange(ROWS),
        "exact": exact,
        "account": account,
        "words": (exact % 12).astype(np.int32),
    }
    nothing = np.zeros((ROWS, 1), np.uint32)
    log = ExchangeLog(columns, nothing, nothing, tuple(map(str, range(PARTIES))), (), frozenset(), 0)
    none = np.zeros(0, np.int32)
    world = World(log, None, none, none, none, none)
    mine = np.array([1, 4, 7], np.int32)
    every, apart = world.once(prompts), elsewhere(mine, world)
    assert world.once(prompts) is every
    inside = np.isin(account, mine)
    assert list(world.rows_of(mine)) == list(np.flatnonzero(inside))
    for number, rows, senders in zip(apart.prompt, apart.rows, apart.senders, strict=True):
        others = (every.number == number) & ~inside
        assert (rows, senders) == (others.sum(), len(set(account[others])))
        assert every.long[number] == (columns["words"][every.number == number][0] >= 6)


def test_dealing_is_a_stable_sort_and_codes_are_in_order() -> None:
    keys = np.random.default_rng(6).integers(0, 50, 1000)
    begin, order = deal(keys, 50)
    assert list(order) == list(np.argsort(keys, kind="stable"))
    assert list(np.diff(begin)) == list(np.bincount(keys, minlength=50))
    for values in (keys - 25, keys * 10**12, keys[:0]):
        distinct, code = coded(values)
        assert list(distinct) == sorted(set(values.tolist()))
        assert (distinct[code] == values).all()
