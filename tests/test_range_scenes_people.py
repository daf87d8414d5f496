"""The parts of generated people: arrivals, spellings, stocks; and the spill of large logs to disk."""

import re
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.range.arrivals import client_days, clients, sitting_days
from stillwatch.range.people import KINDS
from stillwatch.range.people.habits import HABITS
from stillwatch.range.people.population_tables import counts
from stillwatch.range.people.supply import Deck, cipher, spelt
from stillwatch.range.prompt_pools import DATA, shelf
from stillwatch.range.sorted_log import Spill

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.slow
@settings(deadline=None)  # the first call reads the extract
@given(seeds, st.integers(1, 200), st.floats(0, 20), st.floats(0.05, 30))
def test_arrivals_stay_in_their_span_and_in_order(seed: int, count: int, begin: float, length: float) -> None:
    for draw in (client_days, sitting_days):
        days = draw(count, begin, begin + length, np.random.default_rng(seed))
        assert len(days) == count
        assert (np.diff(days) >= 0).all()
        assert begin <= days[0]
        assert days[-1] < begin + length + 1e-9
        assert (days == draw(count, begin, begin + length, np.random.default_rng(seed))).all()


def test_arrivals_follow_the_rates_of_a_real_client() -> None:
    """Draws from one client, counted by window, agree with its rates."""
    rng = np.random.default_rng(5)
    number = np.random.default_rng(5).integers(len(clients()))  # the first draw chooses the client
    one = clients()[number]
    days = client_days(200_000, 0.0, 14.0, rng)
    got = np.bincount((days * 144).astype(int), minlength=2016)
    want = np.zeros(2016)
    want[one.windows] = 200_000 * one.rate / one.rate.sum()
    assert (got[want == 0] == 0).all()
    busy = want > 50
    assert busy.sum() > 100
    z = (got[busy] - want[busy]) / np.sqrt(want[busy])
    assert abs(z.mean()) < 0.3
    assert 0.8 < z.std() < 1.25


@settings(deadline=None)
@given(st.integers(1, 10**9))
def test_a_spelling_moves_every_letter_and_can_be_undone(edition: int) -> None:
    table = cipher(edition)
    assert table is not None
    letters = "abcdefghijklmnopqrstuvwxyz"
    moved = letters.translate(table)
    assert sorted(moved) == list(letters)
    assert all(a != b for a, b in zip(letters, moved, strict=True))
    assert spelt("Ab, 12 ß.", edition)[2:] == ", 12 ß."
    assert spelt("ABC", edition) == spelt("abc", edition).upper()


def test_a_deck_deals_each_text_once_an_edition() -> None:
    texts = [(f"question about the thing named {word}",) for word in ("oak", "elm", "ash", "yew", "fir")]
    deck = Deck(texts, np.random.default_rng(1))
    dealt = [deck.deal() for _ in range(15)]
    assert sorted(dealt[:5]) == sorted(texts)
    assert len(set(dealt)) == 15
    words = [set(re.findall(r"[a-z]{4,}", " ".join(t[0] for t in dealt[i : i + 5]))) for i in (0, 5, 10)]
    assert words[0].isdisjoint(words[1])
    assert words[1].isdisjoint(words[2])


def test_no_text_that_ships_stands_in_two_uses() -> None:
    whole = shelf()
    campaign = whole.campaign
    uses = [
        {turn for _, turns in whole.talks for turn in turns[:1]},
        {turns[0] for turns in whole.spare_talks},
        set(whole.questions),
        set(whole.requests),
        {q for test in whole.tests.values() for q in test},
        {x.question for x in campaign.pairs},
        *({x.question for x in items} for items in campaign.pipelines.values()),
    ]
    times = Counter(text for use in uses for text in use)
    assert {text: n for text, n in times.items() if n > 1} == {}
    passages = {x.answer for x in campaign.passages}
    assert passages.isdisjoint(whole.passages)


def test_what_ships_is_listed_with_its_licence() -> None:
    listed = (DATA / "SOURCES.md").read_text()
    table = pq.read_table(DATA / "prompts.parquet", columns=["corpus"])
    for found in table["corpus"].value_counts().to_pylist():
        assert f"| {found['values']} | {found['counts']:,} |" in listed
    for name in ("prompts.parquet", "arrivals.parquet"):
        assert f"`{name}` | {pq.read_metadata(DATA / name).num_rows:,} |" in listed
    assert sum(file.stat().st_size for file in DATA.glob("*.parquet")) < 3_000_000


def test_every_kind_of_use_has_a_habit_and_a_share() -> None:
    assert set(KINDS) == set(HABITS)
    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1.0, abs=0.03)


@pytest.mark.slow
@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(KINDS)), st.floats(0.01, 1), min_size=1), st.integers(1, 3000))
def test_accounts_are_split_to_the_last_one(shares: dict[str, float], accounts: int) -> None:
    split = counts(shares, accounts)
    assert sum(split.values()) == accounts
    total = sum(shares.values())
    assert all(abs(split.get(k, 0) - accounts * s / total) < 1 for k, s in shares.items())


SCHEMA = pa.schema([("exchange_id", pa.string()), ("time", pa.timestamp("us", "UTC"))])
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 14 * 86_400 * 10), max_size=30), min_size=1, max_size=8), seeds)
def test_a_spilled_log_is_the_sorted_log(chunks: list[list[int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = [
        pa.Table.from_pylist(
            [
                {"exchange_id": f"{rng.integers(1 << 40):x}", "time": BEGIN + timedelta(seconds=t / 10)}
                for t in c
            ],
            SCHEMA,
        )
        for c in chunks
    ]
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "log.parquet"
        with Spill(Path(place) / "spill", SCHEMA, int(BEGIN.timestamp()) * 1_000_000) as spill:
            for table in tables:
                spill.add(table)
                spill._spill()
            assert spill.finish(file) == sum(map(len, chunks))
        want = pa.concat_tables(tables).sort_by([("time", "ascending"), ("exchange_id", "ascending")])
        assert pq.read_table(file).equals(want)
        assert [f.name for f in Path(place).iterdir()] == ["log.parquet"]
