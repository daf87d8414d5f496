"""Every clue finds what it is for, gives few bits to look-alikes, and follows the rules for all clues.

A new clue without cases of both kinds fails here.
"""

import copy
import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from scan_world import MODELS, START, Crowd, begun, sentence, stage
from stillwatch.actors import MOST_BITS, Actor, ActorContext, Clue, ClueWeight
from stillwatch.scan.assemble import clues

CLUES = {clue.NAME: clue for clue in clues()}
DAYS = 8
LEAST_SEEN, MOST_WEAK = 2.0, 4.0  # bits: the least for a true sign, the most for a look-alike
AT_ODDS = {"same_model": 1e-6, "same_temperature": 1e-6, "same_token_limit": 1e-6}

Case = Callable[[Crowd], list[str]]


def people(
    crowd: Crowd, many: int = 80, record: Callable[[int], dict[str, Any]] | None = None, **columns: Any
):
    """Honest accounts with their own habits, at any time of the log."""
    if not crowd.rows and many == 80 and record is None and not columns:  # most cases begin so
        same = begun(crowd.seed, _draw_people)
        crowd.rows, crowd.known = same.rows, same.known
        crowd.rng.setstate(same.rng.getstate())
        return [one["account"] for one in crowd.known]
    return _draw_people(crowd, many, record, **columns)


def _draw_people(
    crowd: Crowd, many: int = 80, record: Callable[[int], dict[str, Any]] | None = None, **columns: Any
) -> list[str]:
    rng = crowd.rng
    habit = {
        "model": lambda k: MODELS[k % 4],
        "temperature": lambda k: (None, 0.0, 0.3, 1.0)[k % 4],
        "max_tokens": lambda k: (None, 256, 512, 1024)[(k // 2) % 4],
        "client_ip": lambda k: f"10.0.{k}.1",
        "status": 200,
    }
    return crowd.people(
        "h",
        many,
        lambda k: [rng.uniform(0, 24 * DAYS) for _ in range(int(rng.lognormvariate(2.3, 0.9)) + 2)],
        record or (lambda k: {"payment": f"card-h{k}", "created": START - timedelta(days=9 * k)}),
        **(habit | columns),
    )


def members(
    crowd: Crowd,
    many: int = 20,
    hours: Callable[[int], list[float]] | None = None,
    record: Callable[[int], dict[str, Any]] | None = None,
    **columns: Any,
) -> list[str]:
    """The accounts under test: 10 exchanges each from the fifth day on, otherwise without similarities."""
    rng = crowd.rng
    habit = {
        "model": lambda k: MODELS[k % 4],
        "temperature": lambda k: (None, 0.0, 0.3, 1.0)[k % 4],
        "max_tokens": lambda k: (None, 256, 512, 1024)[(k // 2) % 4],
        "client_ip": lambda k: f"172.16.{k}.1",
        "status": 200,
    }
    return crowd.people(
        "m",
        many,
        hours or (lambda k: [rng.uniform(96, 24 * DAYS - 1) for _ in range(10)]),
        record or (lambda k: {"payment": f"card-m{k}", "created": START - timedelta(days=31 * k)}),
        **(habit | columns),
    )


# --- what each clue must find -----------------------------------------------------------------------------


def throttled_and_taken_over(crowd: Crowd) -> list[str]:
    people(crowd)
    names = members(crowd)
    for k in range(20):
        crowd.says(names[k], 100 + 4 * k, status=429)
        crowd.says(names[(k + 1) % 20], 100 + 4 * k + 0.005, status=200)
    return names


def one_list_dealt_out(crowd: Crowd) -> list[str]:
    asked = [sentence(crowd.rng) for _ in range(30)]
    people(crowd, prompt=lambda k: asked[k % 30])
    return members(crowd)


def equal_shares(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd)


def moved_at_once(crowd: Crowd) -> list[str]:
    people(crowd)
    rng = crowd.rng
    names = members(crowd, hours=lambda k: [rng.uniform(96, 120) for _ in range(8)])
    for name in names:
        crowd.says(name, rng.uniform(121, 130), model="mira-new", status=200)
    for k in range(40):
        crowd.says(f"h{k:03}", rng.uniform(121, 140), model=MODELS[0], status=200)
    crowd.says("h001", 135, model="mira-new", status=200)
    return names


def silenced_and_replaced(crowd: Crowd) -> list[str]:
    people(crowd)
    rng = crowd.rng
    spells = [(60.0, 100.0), (104.0, 150.0)]
    return members(
        crowd, hours=lambda k: [spells[k % 2][0] + rng.random(), *np.linspace(*spells[k % 2], 10).tolist()]
    )


def asked_again_and_again(crowd: Crowd) -> list[str]:
    people(crowd)
    rng, names = crowd.rng, members(crowd, hours=lambda k: [100.0])
    questions = [sentence(rng) for _ in range(20)]
    for name in names:
        for question in rng.sample(questions, 8):
            crowd.says(name, rng.uniform(100, 180), question, status=200)
    return names


def of_one_model(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, model="mira-think", temperature=0.65, max_tokens=3000)


def in_one_frame(crowd: Crowd) -> list[str]:
    people(crowd)
    rng, names = crowd.rng, members(crowd, hours=lambda k: [100.0])
    head, tail = sentence(rng, 8), sentence(rng, 8)
    for name in names:
        for _ in range(8):
            crowd.says(name, rng.uniform(100, 180), f"{head} {sentence(rng)} {tail}", status=200)
    return names


def from_two_networks(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, client_ip=lambda k: f"192.0.{k % 2}.{k}")


def on_three_cards(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, record=lambda k: {"payment": f"card-{k % 3}"})


def signed_up_together(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, record=lambda k: {"created": START - timedelta(days=3, hours=k)})


def started_together(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, hours=lambda k: [100 + k / 10 + 3 * j for j in range(8)])


def answers_handed_on(crowd: Crowd) -> list[str]:
    """Another account cleans the answers of the first one."""
    rng = crowd.rng
    people(crowd, completion="ok")
    names = members(crowd, completion="ok")
    for k in range(120):
        asks, cleans = rng.sample(names, 2)
        answer = sentence(rng, 120)
        crowd.says(asks, 100 + k / 4, completion=answer)
        crowd.says(cleans, 101 + k / 4, f"clean this trace: {answer}", completion="done")
    return names


def one_known_set_dealt_out(crowd: Crowd) -> list[str]:
    people(crowd)
    crowd.known_pool = [sentence(crowd.rng, 14) for _ in range(200)]
    queue = iter(crowd.known_pool)
    return members(crowd, prompt=lambda _: f"{sentence(crowd.rng, 4)}: {next(queue)}")


SEEN: dict[str, Case] = {
    "complementary_load": throttled_and_taken_over,
    "complementary_parts": one_list_dealt_out,
    "echo": answers_handed_on,
    "even_shares": equal_shares,
    "known_pool": one_known_set_dealt_out,
    "pivot": moved_at_once,
    "reappearance": silenced_and_replaced,
    "repeated_question": asked_again_and_again,
    "same_model": of_one_model,
    "same_temperature": of_one_model,
    "same_token_limit": of_one_model,
    "shared_frame": in_one_frame,
    "shared_network": from_two_networks,
    "shared_payment": on_three_cards,
    "shared_wording": in_one_frame,
    "signup_burst": signed_up_together,
    "synchronous_start": started_together,
}


# --- look-alikes ------------------------------------------------------------------------------------------


def own_retries(crowd: Crowd) -> list[str]:
    people(crowd)
    names = members(crowd)
    for k in range(20):
        crowd.says(names[k], 100 + 4 * k, status=429)
        crowd.says(names[k], 100 + 4 * k + 0.005, status=200)
    return names


def a_busy_pool(crowd: Crowd) -> list[str]:
    """So busy that another account's exchange follows every exchange within a minute."""
    people(crowd)
    rng = crowd.rng
    return members(
        crowd,
        hours=lambda k: [rng.uniform(100, 104) for _ in range(60)],
        status=lambda k: 429 if rng.random() < 0.03 else 200,
    )


def a_class_with_one_assignment(crowd: Crowd) -> list[str]:
    people(crowd)
    asked = [sentence(crowd.rng) for _ in range(10)]
    return members(crowd, prompt=lambda k: crowd.rng.choice(asked))


def nobody_repeats(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd)


def uneven_shares(crowd: Crowd) -> list[str]:
    people(crowd)
    rng = crowd.rng
    return members(
        crowd, hours=lambda k: [rng.uniform(96, 190) for _ in range(int(rng.lognormvariate(2.5, 1.0)) + 2)]
    )


def everybody_moves(crowd: Crowd) -> list[str]:
    people(crowd)
    rng = crowd.rng
    names = members(crowd, hours=lambda k: [rng.uniform(96, 120) for _ in range(8)])
    for name in [*names, *(f"h{k:03}" for k in range(60))]:
        crowd.says(name, rng.uniform(121, 140), model="mira-new", status=200)
    return names


def a_model_that_was_there(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, model="mira-think")


def models_no_longer_named(crowd: Crowd) -> list[str]:
    """From some hour on the source states no model for these accounts: that is no change of model."""
    people(crowd)
    rng = crowd.rng
    names = members(crowd, hours=lambda k: [rng.uniform(96, 120) for _ in range(8)])
    for name in names:
        crowd.says(name, rng.uniform(121, 130), status=200)
    for k in range(40):
        crowd.says(f"h{k:03}", rng.uniform(121, 140), model=MODELS[0], status=200)
    return names


def come_and_go_evenly(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, hours=lambda k: np.linspace(20 + 5 * k, 60 + 5 * k, 10).tolist())


def gone_with_the_log(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, hours=lambda k: np.linspace(110 + k, 188, 10).tolist())


def viral_question(crowd: Crowd) -> list[str]:
    people(crowd)
    rng, asked = crowd.rng, sentence(crowd.rng, 14)
    names = members(crowd, many=20, hours=lambda k: [rng.uniform(96, 190) for _ in range(2)])
    for name in [*names, *(f"h{k:03}" for k in range(80))]:
        for _ in range(4):
            crowd.says(name, rng.uniform(100, 180), asked, status=200)
    return names


def hello(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, prompt="hello there")


def settings_by_chance(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd)


def an_old_frame(crowd: Crowd) -> list[str]:
    """All accounts have used it since the log began: shared, but not new, and not the members' own."""
    rng, head = crowd.rng, sentence(crowd.rng, 8)
    people(crowd, prompt=lambda k: f"{head} {sentence(rng)}")
    return members(crowd, prompt=lambda k: f"{head} {sentence(rng)}")


def a_new_frame_of_all(crowd: Crowd) -> list[str]:
    """A framework's new template: the members use it, and so do three times as many others."""
    people(crowd)
    rng, head = crowd.rng, sentence(crowd.rng, 8)
    names = members(crowd)
    for name in [*names, *(f"h{k:03}" for k in range(80))]:
        for _ in range(4):
            crowd.says(name, rng.uniform(100, 180), f"{head} {sentence(rng)}", status=200)
    return names


def a_campus(crowd: Crowd) -> list[str]:
    people(crowd, client_ip=lambda k: f"10.9.9.{k}" if k < 70 else f"10.0.{k}.1")
    return members(crowd, client_ip=lambda k: f"10.9.9.{100 + k}")


def each_at_home(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd)


def one_organisation(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, record=lambda k: {"payment": "card-org", "org": "acme"})


def a_reseller(crowd: Crowd) -> list[str]:
    people(crowd, record=lambda k: {"payment": "card-reseller" if k < 75 else f"card-h{k}"})
    return members(crowd, record=lambda k: {"payment": "card-reseller"})


def each_their_own_card(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd)


def advertised(crowd: Crowd) -> list[str]:
    """The provider's own marketing: half of all accounts signed up in those two days."""
    people(crowd, record=lambda k: {"created": START - timedelta(days=3 if k % 2 else 5 * k, hours=k % 24)})
    return members(crowd, record=lambda k: {"created": START - timedelta(days=3, hours=k)})


def over_the_years(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd)


def phased_in(crowd: Crowd) -> list[str]:
    people(crowd)
    return members(crowd, hours=lambda k: np.linspace(9 * k, 191, 8).tolist())


def one_judge(crowd: Crowd) -> list[str]:
    """One account judges the answers of all the others."""
    rng = crowd.rng
    people(crowd, completion="ok")
    judge, *names = members(crowd, completion="ok")
    for k in range(100):
        answer = sentence(rng, 120)
        crowd.says(names[k % len(names)], 100 + k / 4, completion=answer)
        crowd.says(judge, 101 + k / 4, f"rate this: {answer}", completion="7")
    return [judge, *names]


def texts_they_all_know(crowd: Crowd) -> list[str]:
    """The model recites them to some, and others have copies: either can be the first."""
    rng = crowd.rng
    people(crowd, completion="ok")
    names = members(crowd, completion="ok")
    for _ in range(60):
        told, has = rng.sample(names, 2)
        text = sentence(rng, 120)
        crowd.says(told, 100 + rng.uniform(0, 80), completion=text)
        crowd.says(has, 100 + rng.uniform(0, 80), f"sum up: {text}", completion="ok")
    return names


def each_chooses_from_a_known_set(crowd: Crowd) -> list[str]:
    people(crowd)
    crowd.known_pool = [sentence(crowd.rng, 14) for _ in range(200)]
    return members(crowd, prompt=lambda _: f"{sentence(crowd.rng, 4)}: {crowd.rng.choice(crowd.known_pool)}")


ALIKE: dict[str, tuple[Case, ...]] = {
    "complementary_load": (own_retries, a_busy_pool, nobody_repeats),
    "complementary_parts": (a_class_with_one_assignment, nobody_repeats),
    "echo": (one_judge, texts_they_all_know),
    "even_shares": (uneven_shares,),
    "known_pool": (each_chooses_from_a_known_set, nobody_repeats),
    "pivot": (everybody_moves, a_model_that_was_there, models_no_longer_named),
    "reappearance": (come_and_go_evenly, gone_with_the_log),
    "repeated_question": (viral_question, hello, nobody_repeats),
    "same_model": (settings_by_chance,),
    "same_temperature": (settings_by_chance,),
    "same_token_limit": (settings_by_chance,),
    "shared_frame": (an_old_frame, a_new_frame_of_all, nobody_repeats),
    "shared_network": (a_campus, each_at_home),
    "shared_payment": (one_organisation, a_reseller, each_their_own_card),
    "shared_wording": (an_old_frame, a_new_frame_of_all, nobody_repeats),
    "signup_burst": (advertised, over_the_years),
    "synchronous_start": (phased_in,),
}


@cache
def crowd_of(case: Case) -> tuple[Crowd, list[str]]:
    """Return the world of a case and its members, read-only."""
    crowd = Crowd(7)
    return crowd, case(crowd)


@cache
def staged(case: Case) -> tuple[Actor, ActorContext]:
    crowd, names = crowd_of(case)
    chance = case is settings_by_chance
    return stage(crowd, names, {_column(name): 0.3 if chance else p for name, p in AT_ODDS.items()})


def _column(clue: str) -> str:
    return {
        "same_model": "model",
        "same_temperature": "temperature_milli",
        "same_token_limit": "max_tokens",
    }[clue]


def test_every_clue_has_both_kinds_of_case() -> None:
    assert set(SEEN) == set(CLUES)
    assert {name for name, cases in ALIKE.items() if cases} == set(CLUES)


@pytest.mark.slow
@pytest.mark.parametrize("clue", CLUES.values(), ids=list(CLUES))
def test_a_clue_sees_what_it_is_for(clue: Clue) -> None:
    weighed = clue.weigh(*staged(SEEN[clue.NAME]))
    assert weighed is not None
    assert weighed.bits >= LEAST_SEEN or clue.NAME in ("even_shares", "synchronous_start")
    assert weighed.bits >= 1.9


@pytest.mark.parametrize(
    ("clue", "case"),
    [(CLUES[name], case) for name, cases in ALIKE.items() if name in CLUES for case in cases],
    ids=lambda value: getattr(value, "NAME", getattr(value, "__name__", None)),
)
def test_a_clue_says_little_of_what_looks_alike(clue: Clue, case: Case) -> None:
    weighed = clue.weigh(*staged(case))
    seen = clue.weigh(*staged(SEEN[clue.NAME]))
    assert seen is not None
    assert weighed is None or weighed.bits <= min(MOST_WEAK, 0.5 * seen.bits), weighed


@pytest.mark.parametrize("clue", CLUES.values(), ids=list(CLUES))
def test_a_clue_keeps_to_its_word(clue: Clue) -> None:
    """Bits within bounds, a sentence with a number, ties on its own accounts; its file states assumptions."""
    actor, world = staged(SEEN[clue.NAME])
    weighed = clue.weigh(actor, world)
    assert weighed is not None
    assert clue.CONTROL in ("client", "provider")
    assert math.isfinite(weighed.bits)
    assert 0 <= weighed.bits <= MOST_BITS
    assert re.search(r"\d", weighed.text)
    for number in (weighed.actual, weighed.baseline, weighed.population_p95):
        assert number is None or (type(number) is float and math.isfinite(number))
    assert weighed.n is None or type(weighed.n) is int
    for tie in weighed.ties:
        assert tie.account in actor.accounts
        assert tie.text
        assert type(tie.account) is int
        assert 0 <= tie.bits <= MOST_BITS
    for part in ("Null:", "Blind to:", "Fooled by:", "Source:"):
        assert part in clue.__doc__
    assert clue.weigh.__doc__


@pytest.mark.parametrize("clue", CLUES.values(), ids=list(CLUES))
def test_a_clue_is_pure(clue: Clue) -> None:
    actor, world = staged(SEEN[clue.NAME])
    before = copy.deepcopy((actor, world))
    assert clue.weigh(actor, world) == clue.weigh(actor, world)
    for was, now in zip(before, (actor, world), strict=True):
        assert _frozen(was) == _frozen(now)


def _frozen(value: Any) -> Any:
    """Return arrays and their containers as comparable values."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, dict):
        return {k: _frozen(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_frozen, value))
    if hasattr(value, "__dataclass_fields__"):
        kept = (k for k, f in value.__dataclass_fields__.items() if f.compare)  # cached results are no input
        return {k: _frozen(getattr(value, k)) for k in kept}
    return value


@pytest.mark.parametrize("clue", CLUES.values(), ids=list(CLUES))
def test_a_clue_does_not_depend_on_what_accounts_are_called(clue: Clue) -> None:
    """Other names give other codes and another order of accounts; the result stays the same."""
    crowd, names = crowd_of(SEEN[clue.NAME])
    p_settings = {_column(name): p for name, p in AT_ODDS.items()}
    everyone = sorted({row["account"] for row in crowd.rows})
    other = dict(zip(everyone, random.Random(7).sample(everyone, len(everyone)), strict=True))
    renamed = Crowd(7, [{**row, "account": other[row["account"]]} for row in crowd.rows])
    renamed.known = [{**row, "account": other[row["account"]]} for row in reversed(crowd.known)]
    renamed.known_pool = crowd.known_pool
    first, second = staged(SEEN[clue.NAME]), stage(renamed, [other[n] for n in names], p_settings)
    a, b = clue.weigh(*first), clue.weigh(*second)
    assert a is not None
    assert b is not None
    assert _told(b) == _told(a)
    was = {(other[first[1].log.accounts[t.account]], round(t.bits, 6), t.text) for t in a.ties}
    assert {(second[1].log.accounts[t.account], round(t.bits, 6), t.text) for t in b.ties} == was


def _told(weighed: ClueWeight) -> tuple[Any, ...]:
    numbers = (weighed.bits, weighed.actual, weighed.baseline, weighed.population_p95)
    return weighed.text, weighed.n, *(n if n is None else round(n, 9) for n in numbers)


def bare(case: Case) -> tuple[Actor, ActorContext]:
    """Return the case in a log with only times, accounts and prompts."""
    crowd, names = crowd_of(case)
    kept = ("exchange_id", "time", "account", "prompt")
    return stage(Crowd(7, [{k: row[k] for k in kept} for row in crowd.rows]), names, known=False)


def alone(case: Case) -> tuple[Actor, ActorContext]:
    """The members are the whole log."""
    crowd, names = crowd_of(case)
    mine = [row for row in crowd.rows if row["account"] in names]
    kept = [row for row in crowd.known if row["account"] in names]
    return stage(Crowd(7, mine, kept), names, {_column(n): p for n, p in AT_ODDS.items()})


def single(case: Case) -> tuple[Actor, ActorContext]:
    """One account of it, alone in the log, with one exchange."""
    crowd, names = crowd_of(case)[0], crowd_of(case)[1][:1]
    mine = [row for row in crowd.rows if row["account"] in names][:1]
    return stage(Crowd(7, mine, crowd.known[-20:]), names, {_column(n): p for n, p in AT_ODDS.items()})


@cache
def one_of_many(case: Case) -> tuple[Actor, ActorContext]:
    """A single account as the actor, with the log's others beside it."""
    crowd, names = crowd_of(case)
    return stage(crowd, names[:1])


def unknown(case: Case) -> tuple[Actor, ActorContext]:
    """No accounts table was given."""
    actor, world = staged(case)
    return actor, replace(world, known=None)


@pytest.mark.parametrize("poor", [bare, alone, single, one_of_many, unknown], ids=lambda f: f.__name__)
@pytest.mark.parametrize("clue", CLUES.values(), ids=list(CLUES))
def test_a_clue_manages_with_little(clue: Clue, poor: Callable[[Case], tuple[Actor, ActorContext]]) -> None:
    weighed = clue.weigh(*poor(SEEN[clue.NAME]))
    if weighed is None:
        return
    assert math.isfinite(weighed.bits)
    assert 0 <= weighed.bits <= MOST_BITS
    assert not any(math.isnan(n) for n in (weighed.actual, weighed.baseline) if n is not None)


@pytest.mark.parametrize("name", ["shared_payment", "signup_burst"])
def test_what_the_provider_does_not_know_is_not_weighed(name: str) -> None:
    assert CLUES[name].weigh(*unknown(SEEN[name])) is None


@pytest.mark.parametrize("name", ["pivot", "signup_burst", "even_shares", "complementary_parts"])
def test_without_others_there_is_nothing_to_compare_with(name: str) -> None:
    assert CLUES[name].weigh(*alone(SEEN[name])) is None


@pytest.mark.parametrize("clue", CLUES.values(), ids=list(CLUES))
def test_no_clue_speaks_of_one_account(clue: Clue) -> None:
    assert clue.weigh(*one_of_many(SEEN[clue.NAME])) is None


def two_by_two(crowd: Crowd) -> list[str]:
    """Two of the actor share a network, with one of every tenth of the others; the rest are on a campus."""
    people(crowd, client_ip=lambda k: f"192.0.{k}.9" if k < 8 else f"10.9.9.{k}")
    return members(crowd, client_ip=lambda k: f"192.0.{k // 2}.{k}")


def test_others_are_asked_whether_they_share_a_network_with_the_actor() -> None:
    weighed = CLUES["shared_network"].weigh(*staged(two_by_two))
    assert weighed is not None
    assert (weighed.actual, weighed.baseline) == (1.0, 8 / 80)


def by_threes(crowd: Crowd) -> list[str]:
    """Fourteen founders' teams, each with its own card and server."""
    people(crowd)
    return members(
        crowd, 42, client_ip=lambda k: f"192.0.{k // 3}.{k}", record=lambda k: {"payment": f"card-{k // 3}"}
    )


@pytest.mark.parametrize("name", ["shared_network", "shared_payment"])
def test_siblings_are_tied_to_each_other_and_not_to_a_large_group(name: str) -> None:
    of_siblings = CLUES[name].weigh(*staged(by_threes))
    of_the_group = CLUES[name].weigh(*staged(SEEN[name]))
    assert of_siblings is not None
    assert of_the_group is not None
    assert len(of_siblings.ties) == 42
    assert not any(tie.firm for tie in of_siblings.ties)
    assert all(tie.firm for tie in of_the_group.ties)
