"""Adaptive attackers, alone: their means, words, money and market. Defences are none or a few lines."""

import importlib
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import InputError
from stillwatch.range.attackers import COMMONEST, Brief, Evasion, TryResult, rewording
from stillwatch.range.attackers.cells import subjects
from stillwatch.range.attackers.group import Crew, QuestionQueue, Talks
from stillwatch.range.attackers.registry import attacker, names
from stillwatch.range.attackers.rewording import (
    draw_model_form,
    sentences,
    swap_words,
    word_request,
    wrapper,
)
from stillwatch.range.campaigns.dealing import topics_of
from stillwatch.range.client_programs import LEAST_USERS, client_programs
from stillwatch.range.costs import SOURCES, AttackBudget, AttackPrices, Cost
from stillwatch.range.honest_background import HonestBackground, field_of
from stillwatch.range.market import LEAST_OUTPUT, Market
from stillwatch.range.scenes import read_scene, shipped_scenes
from stillwatch.units import HOUR_US

NOTHING = np.random.default_rng(0)


@pytest.fixture(scope="module")
def field() -> HonestBackground:
    return field_of(read_scene(shipped_scenes()["calm"]), 1)


def market_of(field: HonestBackground, prices: AttackPrices | None = None, seed: int = 1) -> Market:
    budget = AttackBudget(prices or AttackPrices())
    rng = np.random.default_rng(seed)
    return Market(budget, field.begin, list(field.donors), list(field.owners), rng, field.programs)


def crew_of(
    field: HonestBackground, means: Evasion, quota: int = 500, seed: int = 1
) -> tuple[Crew, QuestionQueue, Market]:
    rng = np.random.default_rng(seed)
    brief = Brief(quota, field.clean_until_us, field.items, field.talks)
    market, stock = market_of(field), QuestionQueue(field.items, quota)
    return Crew(means, quota, brief, market, stock, Talks(field.talks, rng), rng), stock, market


# --- money --------------------------------------------------------------------------------------------------


def test_an_exchange_costs_what_a_price_list_says() -> None:
    prices = AttackPrices()
    by_hand = 1000 * 3 / 1e6 + 8000 * 15 / 1e6 + 9000 * 4 / 1e9 * 4
    assert math.isclose(prices.exchange("mira-think", 1000, 8000), by_hand)
    assert prices.exchange("mira-mini", 1000, 8000) < by_hand / 4
    assert prices.exchange("mira-think", 1000, 8000, paid=False) == pytest.approx(9000 * 4 / 1e9 * 4)


def test_every_price_has_a_source() -> None:
    assert set(SOURCES) == set(AttackPrices.__dataclass_fields__)


@pytest.mark.parametrize(
    ("told", "says"),
    [({"account_usd": -1}, "not negative"), ({"acount_usd": 1}, "known are"), ({"usd": "x"}, "amount of USD"),
     ({"usd": True}, "amount of USD"), ({"usd": math.nan}, "not negative")],
)  # fmt: skip
def test_bad_prices_are_refused(told: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        AttackPrices.of(told)


@pytest.mark.slow
def test_a_purse_runs_dry(field: HonestBackground) -> None:
    market = market_of(field, AttackPrices(usd=23))
    assert len(market.buy("fresh", 10, field.clean_until_us)) == 4
    assert market.buy("fresh", 1, field.clean_until_us) == []
    market.budget.pay("mira-think", 10**6, 10**6)
    assert market.budget.left_usd == 0.0
    assert market.budget.spent_usd == pytest.approx(20 + 18, abs=0.1)


def test_costs_as_multiples() -> None:
    times = Cost(40, 2.0, 300).times(Cost(4, 0.1, 100))
    assert (times.accounts, times.days, times.usd) == pytest.approx((10, 20, 3))
    assert times.most == pytest.approx(20)
    assert Cost(1, 1, 1).times(Cost(0, 0, 0)).accounts == 1  # nothing costs less than one account


# --- accounts -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_market_sells_what_it_says(field: HonestBackground) -> None:
    market = market_of(field)
    fresh = market.buy("fresh", 5, field.clean_until_us)
    aged = market.buy("aged", 5, field.clean_until_us)
    stolen = market.buy("stolen", 3, field.clean_until_us)
    assert market.budget.accounts_usd == 5 * 5 + 5 * 30 + 3 * 30
    honest = set(field.accounts["account"].to_pylist())
    assert {h.name for h in stolen} <= honest
    assert honest.isdisjoint(h.name for h in fresh + aged)
    assert {row["account"] for row in market.unlisted} == {h.name for h in fresh + aged}
    at = field.clean_until_us / 1e6
    assert all(row["created"].timestamp() <= at for row in market.unlisted)
    assert all(h.who.donor.max_tokens is None or h.who.donor.max_tokens >= LEAST_OUTPUT for h in fresh + aged)
    assert len({h.who.donor.payment for h in aged if h.who.donor.payment}) > 1


def test_stolen_keys_run_out(field: HonestBackground) -> None:
    market = market_of(field, AttackPrices(stolen_key_usd=0))
    assert len(market.buy("stolen", 10**6, field.clean_until_us)) == len(field.owners)


# --- words --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.text(max_size=300), st.integers(0, 2**32 - 1))
def test_rewording_keeps_what_a_question_is_about(question: str, seed: int) -> None:
    other = swap_words(question, np.random.default_rng(seed))
    assert re.findall(r"\d+", other) == re.findall(r"\d+", question)
    assert other == swap_words(question, np.random.default_rng(seed))
    assert swap_words(question, np.random.default_rng(seed), share=0.0) == question


def test_rewording_changes_everyday_words_alone() -> None:
    other = swap_words("Find all primes below 30 and explain the given answer.", NOTHING, share=1.0)
    assert "primes below 30" in other
    assert not re.search(r"\b(find|explain|given)\b", other, re.IGNORECASE)


def test_the_grammar_has_many_wrappers() -> None:
    rng = np.random.default_rng(5)
    drawn = {wrapper(rng) for _ in range(2000)}
    assert math.prod(len(slot) for slot in (*rewording._BEFORE, *rewording._AFTER)) > 10**8
    assert len(drawn) > 1980


def test_each_manner_of_asking_holds_the_question(field: HonestBackground) -> None:
    own = wrapper(np.random.default_rng(1))
    question = "A plain line about badgers, 12 of them."
    for words in ("bare", "template", "wrapped", "own", "reworded"):
        said = {word_request(question, words, own, 3, np.random.default_rng(n)) for n in range(30)}
        assert all("badgers, 12 of them" in text for text in said)
        assert (len(said) > 5) == (words in ("wrapped", "reworded"))


# --- crews --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "says"),
    [({"words": "loud"}, "words"), ({"cover": 1.0}, "share"), ({"accounts": 0}, "at least one account"),
     ({"hours": "night"}, "known are"), ({"kind": "old"}, "known are"), ({"drop": -0.1}, "share"),
     ({"client": "Quill", "spread_settings": True}, "spread none beside it"),
     ({"client": "Quill", "spread_model": True}, "spread none beside it")],
)  # fmt: skip
def test_impossible_means_are_refused(told: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Evasion(**told)


def test_means_tell_what_differs() -> None:
    assert Evasion().short() == "plain"
    assert Evasion(accounts=4, cover=0.5).short() == "accounts=4 cover=0.5"


def answered(tries: list, outcome: str = "answered") -> list[TryResult]:
    return [TryResult(t.account, t.at_us, t.item, outcome) for t in tries]  # type: ignore[arg-type]


def test_no_question_is_asked_twice_but_what_was_not_answered(field: HonestBackground) -> None:
    crew, stock, _ = crew_of(field, Evasion(accounts=5, per_account_day=240), quota=200)
    asked: Counter[int] = Counter()
    unanswered: Counter[int] = Counter()
    at, rng = field.clean_until_us, np.random.default_rng(3)
    while not crew.is_finished:
        tries = crew.hour(at)
        seen = [
            TryResult(t.account, t.at_us, t.item, "answered" if rng.random() < 0.7 else "error")
            for t in tries
        ]
        stock.saw(seen)
        crew.saw(seen, at)
        asked.update(t.item for t in tries if t.item is not None)
        unanswered.update(s.item for s in seen if s.item is not None and s.outcome == "error")
        at += HOUR_US
    assert len(stock.got) == 200 == crew.got
    assert all(count <= 1 + unanswered[item] for item, count in asked.items())


@pytest.mark.parametrize("hours", ["flat", "human"])
def test_the_pace_is_kept(field: HonestBackground, hours: str) -> None:
    crew, _, _ = crew_of(field, Evasion(accounts=30, per_account_day=24, hours=hours), quota=100_000)
    counts: Counter[str] = Counter()
    awake: dict[str, set[int]] = {}
    for hour in range(72):
        for t in crew.hour(field.clean_until_us + hour * HOUR_US):
            counts[t.account] += 1
            awake.setdefault(t.account, set()).add(hour % 24)
    mean = sum(counts.values()) / 3 / 30
    assert mean == pytest.approx(24, rel=0.1)  # Poisson: 2,160 in all
    if hours == "human":
        assert max(len(h) for h in awake.values()) <= 16


def test_a_burst_is_over_in_an_hour(field: HonestBackground) -> None:
    crew, stock, _ = crew_of(field, Evasion(accounts=3, per_account_day=50, hours="burst"), quota=150)
    tries = crew.hour(field.clean_until_us)
    assert Counter(t.account for t in tries) == dict.fromkeys(crew.working, 50)
    stock.saw(answered(tries))
    crew.saw(answered(tries), field.clean_until_us)
    assert crew.is_finished


def test_cover_and_decoys_cost_requests_and_bring_nothing(field: HonestBackground) -> None:
    crew, _, market = crew_of(
        field, Evasion(accounts=40, per_account_day=48, cover=0.5, decoys=0.5), quota=10_000
    )
    tries = [t for hour in range(24) for t in crew.hour(field.clean_until_us + hour * HOUR_US)]
    wanted = [t for t in tries if t.item is not None]
    assert {t.model for t in wanted} == {"mira-think"}
    assert len({t.model for t in tries}) > 1
    talk = [t for t in tries if t.talk is not None]
    assert len(talk) / len(tries) == pytest.approx(0.5, abs=0.12)
    assert {t.account for t in tries} <= set(market.held)


def test_the_dead_are_replaced_or_not(field: HonestBackground) -> None:
    for replaces in (True, False):
        crew, _, market = crew_of(field, Evasion(accounts=10, per_account_day=240, replace=replaces))
        tries = crew.hour(field.clean_until_us)
        crew.saw(answered(tries, "dead"), field.clean_until_us)
        crew.hour(field.clean_until_us + HOUR_US)
        assert len(market.held) == (20 if replaces else 10)
        assert crew.is_finished != replaces


def test_a_crew_can_lie_low(field: HonestBackground) -> None:
    crew, _, _ = crew_of(field, Evasion(accounts=10, per_account_day=240, wait_days=2))
    crew.saw(answered(crew.hour(field.clean_until_us), "dead"), field.clean_until_us)
    sends = [bool(crew.hour(field.clean_until_us + hour * HOUR_US)) for hour in range(1, 60)]
    assert sends.index(True) == 47


# --- a client to copy, settings to draw, cells --------------------------------------------------------------

QUILL = {"system": "You are Quill.", "tools": 3, "model": "mira-think", "max_tokens": None}


def with_program(field: HonestBackground, users: int, **sent: object) -> pa.Table:
    """The field's log, in which this many accounts use a program, half of them an older version."""
    accounts = sorted(set(field.exchanges["account"].to_pylist()))[:users]
    rows = field.exchanges.to_pylist()
    for row in rows:
        if row["account"] in accounts:
            version = accounts.index(row["account"]) % 2
            row |= {**QUILL, "temperature": 0.5, "user_agent": f"Quill/1.{version}", "stream": True, **sent}
    return pa.Table.from_pylist(rows, field.exchanges.schema)


def test_a_program_is_what_enough_accounts_send_alike(field: HonestBackground) -> None:
    assert list(client_programs(field.exchanges)) == []
    assert list(client_programs(with_program(field, LEAST_USERS - 1))) == []
    (found,) = client_programs(with_program(field, 30))
    assert (found.name, found.system, found.tools) == ("Quill", "You are Quill.", 3)
    assert found.settings == {"model": "mira-think", "max_tokens": None, "temperature": 0.5}
    assert len(found.users) == 30
    assert {user["user_agent"] for user in found.users} == {"Quill/1.0", "Quill/1.1"}
    assert all(user["stream"] for user in found.users)


def test_an_account_that_copies_a_client_sends_what_its_users_do(field: HonestBackground) -> None:
    known = replace(field, programs=tuple(client_programs(with_program(field, 30))))
    for name in (COMMONEST, "Quill"):
        means = Evasion(accounts=20, per_account_day=48, words="bare", cover=0.3, client=name)
        crew, _, market = crew_of(known, means)
        tries = [t for hour in range(12) for t in crew.hour(field.clean_until_us + hour * HOUR_US)]
        assert {(t.system, t.tools, t.model, t.max_tokens, t.temperature) for t in tries} == {
            ("You are Quill.", 3, "mira-think", None, 0.5)
        }
        calls = {(h.who.donor.user_agent, h.who.donor.stream) for h in market.held.values()}
        assert calls == {("Quill/1.0", True), ("Quill/1.1", True)}
        assert len({h.who.donor.payment for h in market.held.values()}) > 10  # the rest keep their own


@pytest.mark.parametrize(
    ("sent", "client", "says"),
    [
        ({}, "Quilt", "no client 'Quilt' to copy.*that do: Quill"),
        ({"max_tokens": 900}, COMMONEST, "no client with room for an answer.*that do: Quill"),
        ({"model": "mira-mini"}, "Quill", "20 honest accounts must ask mira-think.*that do: none"),
    ],
)
def test_a_client_that_will_not_do_is_refused(
    field: HonestBackground, sent: dict, client: str, says: str
) -> None:
    known = replace(field, programs=tuple(client_programs(with_program(field, 30, **sent))))
    with pytest.raises(InputError, match=says):
        crew_of(known, Evasion(client=client))


@pytest.mark.slow
def test_drawn_settings_are_those_of_honest_accounts(field: HonestBackground) -> None:
    means = Evasion(accounts=80, per_account_day=24, words="reworded", spread_model=True)
    crew, _, _ = crew_of(field, means, quota=5000)
    tries = [t for hour in range(24) for t in crew.hour(field.clean_until_us + hour * HOUR_US)]
    honest = {(d.model.removesuffix("-2"), d.max_tokens, d.temperature) for d in field.donors}
    drawn = {t.account: (t.model, t.max_tokens, t.temperature) for t in tries}
    assert len(drawn) == 80
    assert set(drawn.values()) <= honest
    assert len(set(drawn.values())) > 20
    assert {limit for _, limit, _ in drawn.values()} > {None, 8192}
    assert {t.item is None for t in tries if t.model == "mira-think"} == {False}
    assert {t.item is None for t in tries if t.model != "mira-think"} == {True}
    assert len({t.prompt for t in tries}) == len(tries)  # reworded


@settings(max_examples=50)
@given(st.lists(st.integers(0, 19), unique=True, max_size=19), st.lists(st.booleans(), max_size=80))
def test_questions_that_are_set_aside_come_from_one_queue_alone(aside: list[int], events: list[bool]) -> None:
    stock = QuestionQueue([str(n) for n in range(20)], 20)
    part = stock.set_aside(aside)
    for good in events:
        item = part.take()
        if item is None:
            break
        stock.saw([TryResult("a", 0, item, "answered" if good else "dead")])
    rest, others = list(iter(part.take, None)), list(iter(stock.take, None))
    assert sorted(others) == sorted(set(range(20)) - set(aside))
    assert part.got == stock.got
    assert sorted([*rest, *part.got]) == sorted(aside)


@pytest.mark.slow
def test_a_cell_has_a_subject_where_one_is_large_enough(field: HonestBackground) -> None:
    cells = list(subjects(field.items, 20, 50))
    assert len(cells) == 20
    assert len({i for cell in cells for i in cell}) == sum(map(len, cells))
    assert all(len(cell) >= 50 for cell in cells)
    topics = topics_of(field.items)
    large = {topic for topic, n in Counter(topics).items() if topic and n >= 50}
    of = [{topics[i] for i in cell} for cell in cells]
    assert [some for some in of if some & large] == [{topic} for some in of for topic in some & large]
    assert len(list(subjects(["no words", "as short"], 20, 1))) == 2  # fewer than requested


@pytest.mark.slow
def test_another_cell_takes_over_from_one_that_is_stopped(field: HonestBackground) -> None:
    brief = Brief(400, field.clean_until_us, field.items, field.talks)
    market = market_of(field)
    play = attacker("cells").begin(brief, market, np.random.default_rng(2))
    asked: dict[str, set[int]] = {}
    forms: dict[str, set[str]] = {}
    for hour in range(30):
        tries = play.hour(field.clean_until_us + hour * HOUR_US)
        for t in tries:
            assert t.item is not None
            before, after = t.prompt.split(field.items[t.item])
            asked.setdefault(t.account, set()).add(t.item)
            forms.setdefault(before + after, set()).add(t.account)
        play.saw(answered(tries, "dead" if hour == 6 else "answered"))
    assert all(len(accounts) <= 3 for accounts in forms.values())
    assert len(market.held) > 60
    assert len(forms) > 20
    cells = [set.union(*(asked[a] for a in accounts)) for accounts in forms.values()]
    subject_of = {i: n for n, some in enumerate(subjects(field.items, 20, 20)) for i in some}
    subjects_of = [{subject_of[i] for i in cell} for cell in cells]
    assert all(len(some) == 1 for some in subjects_of)
    assert (
        max(Counter(n for some in subjects_of for n in some).values()) > 1
    )  # another wording, the same subject


# --- the room -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_every_attacker_says_what_it_knows_does_and_cannot(name: str) -> None:
    told = importlib.import_module(f"stillwatch.range.attackers.{name}").__doc__
    assert all(word in told for word in ("Knows", "oes", "annot"))
    assert attacker(name).NAME == name  # noqa: SIM300


def test_an_unknown_attacker_is_refused() -> None:
    with pytest.raises(InputError, match="known are adaptive"):
        attacker("genius")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("loud:accounts=2", "takes no settings"),
        ("chorus:acounts=2", "'acounts' is no setting of it; known are accounts"),
        ("chorus:accounts=two", "accounts = 'two' is no int"),
        ("chorus:accounts=0", "at least one account"),
        ("chorus:mask=-1", "mask = -1"),
        ("chorus:words=loud", "known are bare"),
        ("salvo:each=0", "`each` from 1"),
        ("loud_bare:temperature=9", "temperature from 0 to 2"),
        ("chorus:", "'' is no setting"),
        ("copied_client:accounts=0", "at least one account"),
    ],
)
def test_settings_that_will_not_do_are_refused_with_the_name(name: str, says: str) -> None:
    with pytest.raises(InputError, match=f"attacker '{name}'.*{says}"):
        attacker(name)


def test_settings_follow_a_name() -> None:
    assert attacker("chorus:accounts=60:mask=0").NAME == "chorus:accounts=60:mask=0"


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60))
def test_a_stock_is_a_set_with_a_queue(events: list[tuple[int, bool]]) -> None:
    """For any order of answers: taken items are either obtained or open again, never both, never lost."""
    stock = QuestionQueue([str(n) for n in range(31)], 31)
    out: set[int] = set()
    for _, good in events:
        item = stock.take()
        if item is None:
            break
        assert item not in out
        assert item not in stock.got
        out.add(item)
        stock.saw([TryResult("a", 0, item, "answered" if good else "dead")])
        out.discard(item)
    rest = set()
    while (item := stock.take()) is not None:
        rest.add(item)
    assert rest | stock.got == set(range(31))
    assert not rest & stock.got


def test_a_local_models_sentences_are_whole_and_many() -> None:
    said = sentences()
    assert len(said) >= 20
    assert len(set(said)) == len(said)
    assert all(20 <= len(line) <= 160 and line[-1] in ".!?" for line in said)
    before, after = draw_model_form(np.random.default_rng(2))
    assert before == ""
    assert after.strip() in said
