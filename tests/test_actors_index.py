"""Incremental and indexed results equal results that are computed from scratch, on random logs."""

import numpy as np
import pytest

from stillwatch.actors import ActorContext
from stillwatch.actors.behaviour import EmergingRows, SettingCodes, settings_of
from stillwatch.actors.links import Links, no_links
from stillwatch.actors.prompts import prompts, prompts_elsewhere
from stillwatch.actors.signature import LEAST_IN, PURITY, Signature, choices
from stillwatch.actors.spread import Spread
from stillwatch.actors.window import LinkWindow
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import deal, encode

TENANTS, FINGERPRINTS, ROWS = 12, 30, 400


def random_spread(rng: np.random.Generator) -> Spread:
    """Return random entries and uses; times are row numbers."""
    entries, uses = 200, 900
    return Spread(
        no_links(),
        rng.integers(0, TENANTS, entries).astype(np.int32),
        rng.integers(0, FINGERPRINTS, entries).astype(np.int32),
        np.sort(rng.integers(0, ROWS, entries)).astype(np.int32),
        np.sort(rng.integers(0, ROWS, uses)).astype(np.int32),
        rng.integers(0, FINGERPRINTS, uses).astype(np.int32),
        rng.integers(0, ROWS, FINGERPRINTS),
        np.zeros(FINGERPRINTS, np.int8),
        np.arange(1, FINGERPRINTS + 1, dtype=np.uint32),
        np.arange(ROWS),
    )


def random_links(rng: np.random.Generator, heaviest: int) -> tuple[Links, list[tuple[int, int, int, int]]]:
    """Return random links, each as (at, weight, lower tenant, higher tenant)."""
    at, weight, many = (
        np.sort(rng.integers(0, ROWS, 120)),
        rng.integers(0, 9000, 120),
        rng.integers(0, 5, 120),
    )
    each = np.repeat(np.arange(120), many)
    a = rng.integers(0, TENANTS - 1, len(each))
    b = rng.integers(a + 1, TENANTS)
    pairs = sorted({*zip(a.tolist(), b.tolist(), strict=True)})
    rows = sorted([*pairs, *((b, a) for a, b in pairs)])
    place = {row: k for k, row in enumerate(rows)}
    links = Links(
        at,
        weight.astype(np.int32),
        np.cumsum([0, *many]),
        np.array([place[row] for row in zip(a.tolist(), b.tolist(), strict=True)], np.int32),
        np.searchsorted([a for a, _ in rows], np.arange(TENANTS)),  # the last tenant has no row of its own
        np.array([b for _, b in rows], np.int32),
        np.array([place[b, a] for a, b in rows], np.int32),
        heaviest,
    )
    return links, [*zip(at[each].tolist(), weight[each].tolist(), a.tolist(), b.tolist(), strict=True)]


@pytest.mark.parametrize("heaviest", [2**31 - 1, 2**31])
@pytest.mark.parametrize("seed", range(4))
def test_a_moving_window_sums_the_links_it_holds(seed: int, heaviest: int) -> None:
    links, each = random_links(np.random.default_rng(seed), heaviest)
    window = LinkWindow(links, TENANTS + 2)
    for until in (
        *range(150, ROWS, 23),
        ROWS + 100,
        ROWS + 200,
    ):  # the last two contain nothing from before
        graph = window.moved(until - 90, until)
        expected = np.zeros((TENANTS + 2, TENANTS + 2), np.int64)
        for at, weight, a, b in each:
            if until - 90 <= at < until:
                expected[a, b] += weight
                expected[b, a] += weight
        found = np.zeros_like(expected)
        for node, tenant in enumerate(graph.tenant):
            edges = slice(graph.begin[node], graph.begin[node + 1])
            found[tenant, graph.tenant[graph.neighbour[edges]]] = graph.weight[edges]
            assert list(graph.neighbour[edges]) == sorted(graph.neighbour[edges])
        assert list(graph.tenant) == list(np.flatnonzero(expected.any(1)))
        assert (found == expected).all()
        assert (graph.weight > 0).all()
        assert graph.weight.dtype == np.int64


@pytest.mark.parametrize("seed", range(4))
def test_signature_by_index_is_signature_by_counting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spread, since, until = random_spread(rng), 100, 320
    signature = Signature(spread, TENANTS)
    members = np.sort(rng.choice(TENANTS, 6, replace=False)).astype(np.int32)
    held = (spread.entry_row >= since) & (spread.entry_row < until)
    inside = np.bincount(
        spread.entry_fingerprint[held & np.isin(spread.entry_tenant, members)], minlength=FINGERPRINTS
    )
    every = np.bincount(spread.entry_fingerprint[held], minlength=FINGERPRINTS)
    pure = (inside >= LEAST_IN) & (inside >= PURITY * every) & (spread.emerging_from_us < until)
    own = signature.own(members, since, until)
    assert list(own) == list(np.flatnonzero(pure))
    some = np.arange(0, FINGERPRINTS, 3)
    use = np.isin(spread.fingerprint, some) & (spread.row >= since) & (spread.row < until)
    rows, carried = np.unique(spread.row[use], return_counts=True)
    assert list(signature.matching_rows(some, since, until, 2)) == list(rows[carried >= 2])
    tenant = rng.integers(0, TENANTS, ROWS).astype(np.int32)
    begin, order = deal(tenant, TENANTS)
    shares = signature.shares(members, EmergingRows(begin, order, order, order), since, until)
    mine = np.isin(tenant[spread.row], members) & (spread.row >= since) & (spread.row < until)
    expected = np.bincount(spread.fingerprint[mine], minlength=FINGERPRINTS) / len(
        np.unique(spread.row[mine])
    )
    assert np.allclose(shares, expected)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_typical_of_a_part_of_a_pool_needs_no_other_part_in_sight(seed: int) -> None:
    """Thirty of a pool's sixty accounts took up wording that a few of 2,000 others have too."""
    rng = np.random.default_rng(seed)
    pool, others = np.arange(60), np.arange(60, 2_060)
    pairs = [(p, 0) for p in pool] + [(p, 0) for p in rng.choice(others, 20, replace=False)]
    pairs += [(p, 1) for p in pool[:15]]  # half of the thirty
    pairs += [(p, 2) for p in pool[:14]]  # fewer
    pairs += [(p, 3) for p in rng.choice(2_060, 900, replace=False)]  # of everybody
    pairs += [(p, 4) for p in others]
    tenant, fingerprint = np.array(pairs, np.int32).T
    at = np.arange(len(pairs), dtype=np.int32)
    nothing = np.zeros(0, np.int32)
    spread = Spread(
        no_links(), tenant, fingerprint, at, nothing, nothing, np.zeros(5, np.int64),
        np.zeros(5, np.int8), np.arange(5, dtype=np.uint32), at.astype(np.int64),
    )  # fmt: skip
    signature, part = Signature(spread, 2_060), np.arange(30, dtype=np.int32)
    assert signature.typical(part).tolist() == [0, 1]
    assert signature.own(part, 0, len(pairs)).tolist() == [1, 2]  # the other half of the pool has the rest


def test_choices_are_each_carriers_commonest() -> None:
    tenant = np.array([2, 0, 2, 2, 0, 1], np.int32)
    values = np.array([[5, 1, 5, 4, 0, 3]], np.int32)
    carriers, counts, first, dominant = choices(
        np.array([0, 1, 2, 3, 4], np.int32),
        tenant,
        SettingCodes(np.arange(len(tenant), dtype=np.int32), values),
        np.ones(len(tenant), np.int32),
    )
    assert (list(carriers), list(counts), list(first)) == ([0, 2], [2, 3], [1, 0])
    assert dominant.tolist() == [[0, 5]]  # a tie goes to the smaller


def test_settings_by_combination_are_the_columns() -> None:
    rng = np.random.default_rng(7)
    columns = [rng.integers(-1, 4, ROWS).astype(np.int32), rng.choice([0, 7, 2**31 - 1], ROWS), np.ones(ROWS)]
    columns = [column.astype(np.int32) for column in columns]
    settings, values = settings_of(columns)
    assert settings.code.dtype == np.int32
    for column, of_setting, level in zip(columns, values, settings.values, strict=True):
        assert list(of_setting) == sorted(set(column.tolist()))
        assert (of_setting[level][settings.code] == column).all()
    assert settings.values.shape[1] == len(set(zip(*(column.tolist() for column in columns), strict=True)))
    assert settings.levels == max(map(len, values))


def test_prompts_elsewhere_leave_the_accounts_out() -> None:
    rng = np.random.default_rng(5)
    exact = rng.integers(1, 40, ROWS).astype(np.uint64)
    account = rng.integers(0, TENANTS, ROWS).astype(np.int32)
    columns = {
        "ts_us": np.arange(ROWS),
        "exact": exact,
        "account": account,
        "words": (exact % 12).astype(np.int32),
    }
    no_links = np.zeros((ROWS, 1), np.uint32)
    log = ExchangeLog(columns, no_links, no_links, tuple(map(str, range(TENANTS))), (), frozenset(), 0)
    none = np.zeros(0, np.int32)
    world = ActorContext(log, None, none, none, none, none)
    mine = np.array([1, 4, 7], np.int32)
    every, apart = world.once(prompts), prompts_elsewhere(mine, world)
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
        distinct, code = encode(values)
        assert list(distinct) == sorted(set(values.tolist()))
        assert (distinct[code] == values).all()
