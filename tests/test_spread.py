"""The spread of wording, compared with a slow reading of its definition, using the past only."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.actors import fingerprints
from stillwatch.actors.spread import (
    BURN_IN_US,
    DAY_US,
    MIN_ENTRANTS,
    NEIGHBOURS,
    NOVELTY,
    WINDOW_DAYS,
    Spread,
    spread,
)
from stillwatch.errors import InputError
from stillwatch.exchanges import column_file
from stillwatch.exchanges.log import ExchangeLog

PHRASES, SYSTEM = 3, 2
WIDTH = PHRASES + SYSTEM + 4
SALT = [0, 0x5BD1E995, 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F]  # of each kind
KIND_OF = [0] * PHRASES + [1] * SYSTEM + [2, 3, 4, 5]


def log_of(ts, values, words=None):
    """values: (rows, WIDTH) small numbers, 0 if a row has no such fingerprint."""
    values = np.asarray(values, np.uint64).reshape(len(ts), WIDTH)
    wide = {
        name: values[:, PHRASES + SYSTEM + k] << np.uint64(32)
        for k, name in enumerate(("head", "tail", "exact", "system"))
    }
    words = np.full(len(ts), 9, np.int32) if words is None else np.asarray(words, np.int32)
    columns = {"ts_us": np.asarray(ts, np.int64), "words": words, **wide}
    phrases = values[:, :PHRASES].astype(np.uint32)
    return ExchangeLog(
        columns, phrases, values[:, PHRASES:][:, :SYSTEM].astype(np.uint32), (), (), frozenset(), 0
    )


def slow_spread(log, tenant, forgotten_us=0):
    """The definition, fingerprint by fingerprint, in plain Python, and links as (at, a, b, weight)."""
    ts = log["ts_us"].tolist()
    settled = ts[0] + BURN_IN_US if ts and not forgotten_us else 0
    uses = {}  # fingerprint -> [(row, index in the row)]
    for row in range(len(ts)):
        exact = log["exact"][row] if log["words"][row] >= 6 else 0
        wide = [log["head"][row], log["tail"][row], exact, log["system"][row]]
        here = [*log.phrases[row], *log.system_phrases[row], *(int(v) >> 32 for v in wide)]
        for place, value in enumerate(here):
            if value:
                uses.setdefault((KIND_OF[place], int(value)), []).append((row, place))
    first_seen = {}
    for row, p in enumerate(tenant):
        first_seen.setdefault(p, ts[row])
    links, emerging_fingerprints = [], []
    for (kind, value), used in uses.items():
        entrants = {}
        for row, place in used:
            entrants.setdefault(tenant[row], (row, place))
        entries = [(ts[row], p, (row, place)) for p, (row, place) in entrants.items()]
        emerging_from, was_emerging = None, False
        for j, (now, _, _) in enumerate(entries):
            oldest = max(now - WINDOW_DAYS * DAY_US, settled)
            recent = [k for k in range(j + 1) if entries[k][0] >= oldest]
            earlier = j + 1 - len(recent)
            emerging = len(recent) >= MIN_ENTRANTS and len(recent) >= NOVELTY * earlier
            if emerging:
                emerging_from = now if emerging_from is None else emerging_from
                active = sum(t <= now for t in first_seen.values())
                bits = math.log2(active / len(recent))
                if bits > 0:
                    weight = int(1000 * bits / min(len(recent), NEIGHBOURS))
                    for x in [j] if was_emerging else recent[1:]:
                        for y in range(max(recent[0], x - NEIGHBOURS), x):
                            links.append((now, *sorted((entries[x][1], entries[y][1])), weight))
            was_emerging = emerging
        if emerging_from is not None:
            salted = (value ^ SALT[kind]) or 1
            emerging_fingerprints.append((used[0], emerging_from, kind, used, entries, salted))
    emerging_fingerprints.sort(key=lambda m: m[0])
    all_uses = sorted((at, number) for number, m in enumerate(emerging_fingerprints) for at in m[3])
    all_entries = sorted(
        (at, number, p, t) for number, m in enumerate(emerging_fingerprints) for t, p, at in m[4]
    )
    columns = {
        "entry_tenant": [e[2] for e in all_entries],
        "entry_fingerprint": [e[1] for e in all_entries],
        "entry_row": [e[0][0] for e in all_entries],
        "row": [at[0] for at, _ in all_uses],
        "fingerprint": [number for _, number in all_uses],
        "emerging_from_us": [m[1] for m in emerging_fingerprints],
        "fingerprint_kind": [m[2] for m in emerging_fingerprints],
        "fingerprint_value": [m[5] for m in emerging_fingerprints],
        "ts_us": ts,
    }
    return columns, sorted(links)


def links_of(spread):
    """(at, a, b, weight) of every link."""
    links = spread.links
    row_of = np.repeat(np.arange(len(links.row_begin) - 1), np.diff(links.row_begin))
    number = np.repeat(np.arange(len(links.at_us)), np.diff(links.begin))
    places = links.place, links.other[links.place]
    for there, back in (places, places[::-1]):
        assert (links.neighbour[there] == row_of[back]).all()
    columns = links.at_us[number], row_of[places[0]], row_of[places[1]], links.weight[number]
    found = sorted(zip(*(column.tolist() for column in columns), strict=True))
    if found:
        weighs = {}
        for _, a, b, weight in found:
            weighs[a, b] = weighs.get((a, b), 0) + weight
        assert links.heaviest == max(weighs.values())
    return found


def columns_of(spread):
    names = [f.name for f in dataclasses.fields(Spread) if f.name != "links"]
    return {name: getattr(spread, name).tolist() for name in names}


def assert_same(found, expected):
    columns, links = expected
    assert columns_of(found) == columns
    assert links_of(found) == links


def random_log(rng, rows, tenants, values, days, grain_us):
    ts = np.sort(rng.integers(0, int(days * DAY_US) // grain_us, rows) * grain_us)
    held = rng.integers(0, values, (rows, WIDTH)) * (rng.random((rows, WIDTH)) < 0.6)
    held = np.where(rng.random((rows, WIDTH)) < 0.4, held * 1000 + rng.integers(0, 4, (rows, WIDTH)), held)
    tenant = rng.integers(0, tenants, rows).astype(np.int32)
    return log_of(ts, held, rng.integers(3, 12, rows)), tenant


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 250),
    st.sampled_from([2, 5, 12, 60]),
    st.sampled_from([2, 6, 40]),
    st.sampled_from([0.01, 4, 30]),
    st.sampled_from([1, DAY_US // 24, DAY_US]),
    st.integers(1, 3),
    st.sampled_from([0, 1]),
)
def test_spread_is_its_definition(seed, rows, tenants, values, days, grain_us, threads, forgotten_us):
    log, tenant = random_log(
        np.random.default_rng(seed), rows, tenants, values, max(days, grain_us / DAY_US), grain_us
    )
    found = spread(log, tenant, threads=threads, forgotten_us=forgotten_us)
    assert_same(found, slow_spread(log, tenant, forgotten_us))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("in_memory_bytes", "in_memory_rows"), [(1 << 29, 1 << 21), (100, 0)])
@pytest.mark.parametrize(("round_uses", "block_rows"), [(64, 1 << 17), (1024, 37)])
def test_rounds_blocks_and_the_file_do_not_matter(
    monkeypatch, round_uses, block_rows, in_memory_bytes, in_memory_rows, threads
):
    log, tenant = random_log(np.random.default_rng(7), 400, 30, 12, 12, DAY_US // 24)
    whole = spread(log, tenant)
    monkeypatch.setattr(fingerprints, "ROUND_USES", round_uses)
    monkeypatch.setattr(fingerprints, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(fingerprints, "IN_MEMORY_BYTES", in_memory_bytes)
    monkeypatch.setattr(column_file, "IN_MEMORY_ROWS", in_memory_rows)
    assert_same(spread(log, tenant, threads=threads), (columns_of(whole), links_of(whole)))
    assert_same(whole, slow_spread(log, tenant))
    assert len(whole.links) > 100


def test_a_row_has_no_more_fingerprints_than_places():
    columns = (np.zeros((1, 20), np.uint32), np.zeros((1, 9), np.uint32))
    with pytest.raises(ValueError, match="at most 32"):
        fingerprints.row_columns(columns)


def test_no_room_for_temporary_files_is_said(monkeypatch, tmp_path):
    log, tenant = random_log(np.random.default_rng(7), 400, 30, 12, 12, DAY_US // 24)
    monkeypatch.setattr(fingerprints, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="set TMPDIR"):
        spread(log, tenant)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_nothing_later_changes_what_was_seen(seed, share):
    """The spread of a log's beginning is the beginning of its spread."""
    log, tenant = random_log(np.random.default_rng(seed), 250, 25, 8, 20, DAY_US // 24)
    cut_us = int(log["ts_us"][0] + share * (log["ts_us"][-1] - log["ts_us"][0]))
    n = int(np.searchsorted(log["ts_us"], cut_us))
    begun = dataclasses.replace(
        log,
        columns={name: column[:n] for name, column in log.columns.items()},
        phrases=log.phrases[:n],
        system_phrases=log.system_phrases[:n],
    )
    whole, part = spread(log, tenant), spread(begun, tenant[:n])
    assert [link for link in links_of(whole) if link[0] < cut_us] == links_of(part)
    # fingerprints that were emerging by then, in the same order
    known = np.flatnonzero(whole.emerging_from_us < cut_us)
    assert whole.emerging_from_us[known].tolist() == part.emerging_from_us.tolist()
    number = np.full(len(whole.emerging_from_us) + 1, -1)
    number[known] = np.arange(len(known))
    kept = (whole.row < n) & (number[whole.fingerprint] >= 0)
    assert whole.row[kept].tolist() == part.row.tolist()
    assert number[whole.fingerprint[kept]].tolist() == part.fingerprint.tolist()
    kept = (whole.entry_row < n) & (number[whole.entry_fingerprint] >= 0)
    assert whole.entry_tenant[kept].tolist() == part.entry_tenant.tolist()


def one_fingerprint(times_days, others=100):
    """One opening used by a new tenant at each time, among many tenants that are active from the start."""
    ts = np.r_[np.zeros(others), np.asarray(times_days) * DAY_US].astype(np.int64)
    values = np.zeros((len(ts), WIDTH))
    values[others:, PHRASES + SYSTEM] = 5
    order = np.argsort(ts, kind="stable")
    return log_of(ts[order], values[order]), np.arange(len(ts), dtype=np.int32)[order]


def test_new_and_shared_is_emerging():
    log, tenant = one_fingerprint([4, 5, 6, 7])
    found = spread(log, tenant)
    assert found.emerging_from_us.tolist() == [7 * DAY_US]
    assert found.fingerprint_kind.tolist() == [2]
    assert len(found.links) == 6  # each of four with each earlier one
    assert set(found.links.at_us.tolist()) == {7 * DAY_US}


@pytest.mark.parametrize(
    "times",
    [
        [4, 5, 6],  # too few
        [0.1, 0.2, 1, 2, 4, 5, 6],  # in use when the log had hardly begun
        [1, 4, 7, 10, 13, 16],  # never four within the window
        [0.1, 1, 1.1, 20, 20.1, 20.2, 20.3, 20.4],  # three were there long before: five are no majority
    ],
)
def test_old_or_rare_is_not_emerging(times):
    log, tenant = one_fingerprint(times)
    assert len(spread(log, tenant).emerging_from_us) == 0


def test_one_tenant_alone_spreads_nothing():
    log, tenant = one_fingerprint([4, 5, 6, 7, 8, 9])
    assert len(spread(log, np.where(tenant >= 100, 100, tenant).astype(np.int32)).row) == 0


def test_a_fingerprint_costs_linear_links():
    log, tenant = one_fingerprint(np.linspace(4, 5, 300), others=2000)
    assert len(spread(log, tenant).links) <= 300 * NEIGHBOURS


def test_empty_and_endless_logs():
    nothing = spread(log_of([], []), np.zeros(0, np.int32))
    assert links_of(nothing) == []
    assert not any(columns_of(nothing).values())
    endless = ExchangeLog(
        {"ts_us": np.broadcast_to(np.int64(0), 1 << 27)}, *(np.zeros((0, 1)),) * 2, (), (), frozenset(), 0
    )
    with pytest.raises(InputError, match="134,217,728 exchanges is too long"):
        spread(endless, np.zeros(0, np.int32))
