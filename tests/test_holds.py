"""Randomised holds, and refusals in the log: exact under all honest traffic; a queue is detected."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from holds_world import (
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    START_US,
    Door,
    WatchedDoor,
    log_of,
    names,
    people,
    queue,
    schedule,
)
from scan_world import Crowd
from stillwatch.scan import Campaign, Harvest, Lead, ScanResult, ScanTotals
from stillwatch.scan.candidates import (
    FUTILE_TEXTS,
    MOST_TEXTS_EACH,
    request_shares,
    still_open,
    weak_groups,
    with_shares,
)
from stillwatch.scan.failover import (
    Repeat,
    failover_evidence,
    failover_least_p_value,
    refusal_groups,
)
from stillwatch.scan.hold_candidates import candidates
from stillwatch.scan.holds import (
    FALSE_SHARE,
    LEAST_NAMED,
    LEVEL,
    MOST_OWN_P,
    HoldsEvidence,
    _Bets,
    _own_p_values,
    holds_evidence,
    holds_reason,
)
from stillwatch.stats.interference import DrawnCount, few_by_chance, log_gains, p_values, rejections, wealth
from stillwatch.stats.subsets import Stratum, subset_tail
from stillwatch.terms import Holds, Permission
from stillwatch.terms.holds import MOVED, HoldCandidate, exempt
from stillwatch.units import DAY_US

ACCOUNTS, BLOCKS, CHANCE, DENSER = 8, 192, 1 / 16, 1 / 4


def flat(rng: np.random.Generator) -> np.ndarray:
    """(accounts, blocks) whether another account later sends what an account sent in a block."""
    return rng.random((ACCOUNTS, BLOCKS)) < 0.3


def bursty(rng: np.random.Generator) -> np.ndarray:
    """All accounts share their questions in the same few blocks."""
    return rng.random((ACCOUNTS, BLOCKS)) < rng.beta(0.1, 0.3, BLOCKS)


def diurnal(rng: np.random.Generator) -> np.ndarray:
    return rng.random((ACCOUNTS, BLOCKS)) < np.clip(np.sin(np.arange(BLOCKS) / 15.0), 0, None)


def heavy_tailed(rng: np.random.Generator) -> np.ndarray:
    return rng.random((ACCOUNTS, BLOCKS)) < np.minimum(1, 0.02 * rng.pareto(1.1, (ACCOUNTS, 1)))


def wealth_by_block(happened: np.ndarray, luck: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """(blocks,) the wealth of bets on everything that happened, after each block.

    luck: (accounts, blocks) in 0 to 1; below a block's `chance` an account is drawn.
    """
    chances = np.broadcast_to(chance, luck.shape).ravel()
    gains = log_gains((luck < chance).ravel(), chances).reshape(*luck.shape, -1)
    return wealth(np.where(happened[..., None], gains, 0).sum(axis=0).cumsum(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("traffic", [flat, bursty, diurnal, heavy_tailed])
def test_whoever_looks_after_every_block_is_hardly_ever_misled(traffic) -> None:
    """Ville: the largest wealth exceeds 1 / level in at most that share of honest runs.

    Once the wealth is ten, all accounts are drawn more often, as in schedules.
    """
    runs, found, denser = 1_000, [], 0
    for seed in range(runs):
        rng = np.random.default_rng((seed, 7))
        happened, luck, chance = traffic(rng), rng.random((ACCOUNTS, BLOCKS)), np.full(BLOCKS, CHANCE)
        moved = np.flatnonzero(p_values(wealth_by_block(happened, luck, chance)) <= MOVED)
        if len(moved):
            chance[moved[0] + 1 :] = DENSER
            denser += 1
        found.append(p_values(wealth_by_block(happened, luck, chance))[-1])
    assert denser >= 0.02 * runs
    for level in (0.01, 0.05, 0.25):
        assert sum(p <= level for p in found) <= binom.ppf(0.9995, runs, level), level


def test_wealth_is_fair_over_every_draw() -> None:
    """Compared with the mean over all possible draws, for few enough bets to list them."""
    draws = np.array(list(product((False, True), repeat=5)))
    weight = np.prod(np.where(draws, CHANCE, 1 - CHANCE), axis=1)
    reached = [wealth(log_gains(one, CHANCE).sum(axis=0)) for one in draws]
    assert weight @ reached == pytest.approx(1.0)


@pytest.mark.slow
def test_who_gives_up_once_refused_is_no_evidence() -> None:
    """A class shares its questions. Refused students go home for the day, so later blocks contain less."""
    runs, low = 2_000, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        happened, luck = flat(rng), rng.random((ACCOUNTS, BLOCKS))
        refused = np.maximum.accumulate((happened & (luck < CHANCE)).reshape(ACCOUNTS, -1, 96), axis=2)
        gone = np.concatenate([np.zeros((ACCOUNTS, 2, 1), bool), refused[..., :-1]], axis=2)
        happened &= ~gone.reshape(ACCOUNTS, -1)
        low += p_values(wealth_by_block(happened, luck, np.full(BLOCKS, CHANCE)))[-1] <= 0.05
    assert low <= binom.ppf(0.9995, runs, 0.05), low


def test_no_bets_say_nothing() -> None:
    assert wealth(log_gains(np.zeros(0, bool), CHANCE).sum(axis=0)) == 1.0
    assert p_values(np.ones(9))[-1] == 1.0


def test_who_staked_all_and_lost_is_out() -> None:
    """After one reaction without a draw, the boldest bettor has lost everything, and the others continue."""
    seen = wealth(log_gains(np.r_[False, np.ones(3, bool)], CHANCE).cumsum(axis=0))
    assert seen[0] < 0.4
    assert seen[-1] == pytest.approx(0.2 * 0.9 * 2.5**3 + 0.2 * 0.6 * 7.0**3)


def test_no_account_is_chosen_for_its_company() -> None:
    sure = np.full(60, 1e-6)
    assert rejections(np.r_[sure, 0.09], FALSE_SHARE, MOST_OWN_P).all()
    assert rejections(np.r_[sure, 0.2, 0.4], FALSE_SHARE, MOST_OWN_P).tolist() == [True] * 60 + [False] * 2
    assert not rejections(np.ones(5), FALSE_SHARE, MOST_OWN_P).any()
    assert not rejections(np.zeros(0), FALSE_SHARE, MOST_OWN_P).any()


def test_a_count_is_the_binomial_one() -> None:
    count = DrawnCount()
    for k, came in enumerate(np.random.default_rng(3).random(12) < 0.5, start=1):
        count = count.after(bool(came), DENSER)
        assert count.p_value == pytest.approx(binom.sf(count.drawn - 1, k, DENSER))


def bets_of(rng: np.random.Generator, pool: int, each: float, others: int, theirs: float) -> _Bets:
    """Bets in random order: a pool's on one of its accounts, at 15 times the odds; others' on a class.

    Once something moved, all accounts are drawn more often.
    """
    asker = np.repeat(np.arange(pool + others), rng.poisson(np.r_[[each] * pool, [theirs] * others]))
    rng.shuffle(asker)
    drawn, chances, bet, taker, total = [], [], [], [], np.zeros(3)
    chance = CHANCE
    for k, who in enumerate(asker.tolist()):
        odds = chance / (1 - chance) * (15 if who < pool else 1)
        drawn.append(bool(rng.random() < odds / (1 + odds)))
        chances.append(chance)
        peers = [rng.integers(pool)] if who < pool else range(pool, pool + others)
        taker += [int(one) for one in peers if one != who]
        bet += [k] * sum(one != who for one in peers)
        total += log_gains(np.array(drawn[-1:]), chance)[0]
        chance = DENSER if wealth(total) >= 1 / MOVED else chance
    number = np.arange(len(asker))
    return _Bets(np.array(drawn), np.array(chances), number, asker, np.array(bet), np.array(taker))


@pytest.mark.slow
@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize(("others", "theirs"), [(0, 0.0), (4, 1.0), (4, 4.0), (20, 0.3), (20, 1.0)])
def test_of_those_named_few_are_honest(others: int, theirs: float, stops: bool) -> None:
    """A class beside a pool in one candidate, evaluated after each bet.

    An account that `stops` is judged by its smallest p-value, as if it could end its bets there.
    """
    rng, false, found = np.random.default_rng(others), [], []
    for _ in range(100):
        bets = bets_of(rng, 16, 4.0, others, theirs)
        alone, begun = _own_p_values(bets, bets.block, 16 + others)
        group = p_values(wealth(log_gains(bets.drawn, bets.chance).cumsum(axis=0)))
        if stops:
            alone[16:] = np.minimum.accumulate(alone[16:], axis=1)
        named = np.zeros(16 + others, bool)
        for k in np.flatnonzero(group <= LEVEL):
            named[begun <= k] |= rejections(alone[begun <= k, k], FALSE_SHARE, MOST_OWN_P)
        false.append(named[16:].sum() / max(1, named.sum()))
        found.append(named[:16].mean())
    print(np.mean(false), np.mean(found))
    assert np.mean(false) <= FALSE_SHARE
    assert others > 4 or np.mean(found) >= 0.6


@pytest.mark.slow
@pytest.mark.parametrize("honest", [20, 200])
@pytest.mark.parametrize("pool", [0, 5, 20])
def test_of_those_named_by_their_first_bet_few_are_honest(pool: int, honest: int) -> None:
    """Accounts that stop at their first small p-value.

    In half of the runs the others are drawn more often after the first draw.
    """
    rng, runs = np.random.default_rng((pool, honest)), 1_200
    false: dict[float, list[float]] = {CHANCE: [], DENSER: []}
    for run in range(runs):
        then = (CHANCE, DENSER)[run % 2]
        of_pool = np.r_[np.ones(pool, bool), np.zeros(honest, bool)]
        rng.shuffle(of_pool)
        luck = np.where(of_pool, (1 - rng.random(len(of_pool)) / 0.9) * CHANCE, rng.random(len(of_pool)))
        chance = np.full(len(of_pool), CHANCE)
        chance[np.flatnonzero(np.r_[luck < CHANCE, True])[0] + 1 :] = then
        came = luck < chance
        share = 0.0
        for k in range(1, len(came) + 1):
            seen = came[:k]
            if seen.sum() >= LEAST_NAMED and few_by_chance(seen, chance[:k], FALSE_SHARE):
                share = (seen & ~of_pool[:k]).sum() / seen.sum()
                break
        false[then].append(share)
    assert max(np.mean(shares) for shares in false.values()) <= FALSE_SHARE, false


def evidence(door: Door, days: float = 7.5, **tenant_of: str):
    drawn = door.drawn
    return holds_evidence(log_of(door.rows), drawn, drawn.start_us + int(days * DAY_US), tenant_of)


@pytest.mark.slow
def test_a_queue_is_found_within_days_even_where_it_works_in_bursts() -> None:
    for shape in ({}, {"night": 0.8, "bursts": 1.0}, {"delay_s": 1200}):
        runs = 12
        found = [
            evidence(queue(schedule(seed, 16), np.random.default_rng(seed), 8, **shape))
            for seed in range(runs)
        ]
        assert sum(one.found_us is not None for one in found) == runs, shape
        assert np.mean([len(one.named_us) for one in found]) >= 15, shape


@pytest.mark.slow
def test_who_does_not_shift_is_not_found() -> None:
    """People, and an attacker with a queue for each account: the same at half and at full patience."""
    for patience in (0.5, 1.0):
        found = [
            evidence(people(schedule(seed, 16), np.random.default_rng(seed), 8, patience=patience))
            for seed in range(60)
        ]
        low = [one.p_value for one in found]
        assert sum(p <= 0.05 for p in low) <= binom.ppf(0.9995, 60, 0.05), sorted(low)[:8]
        assert not any(one.named_us for one in found)


def moved(seed: int, pairs: dict[str, str], many: int = 16, rate: float = 60) -> Door:
    """People, some of whom continue with another account after a refusal."""
    rng = np.random.default_rng(seed)
    door = people(schedule(seed, many), rng, rate, night=0.0, bursts=0.0, patience=0.5)
    for at_us, account, status, text in list(door.rows):
        if status == 429 and account in pairs:
            door.rows.append((at_us + 40_000_000, pairs[account], 200, text))
    return door


@pytest.mark.slow
def test_a_person_with_two_accounts_makes_no_finding_known_or_not() -> None:
    for seed in range(8):
        drawn = schedule(seed, 16)
        mine, other = drawn.accounts[:2]
        door = moved(seed, {mine: other})
        known = evidence(door, **{mine: "org", other: "org"})
        assert known.own[mine].repeated == known.own[other].taken_over == 0
        unknown = evidence(door)
        assert unknown.own[mine].repeated > 0
        assert unknown.p_value > 1e-2, seed
        assert unknown.found_us is None


@pytest.mark.slow
def test_several_persons_with_two_accounts_each_are_no_group() -> None:
    for seed in range(6):
        drawn = schedule(seed, 16)
        found = evidence(moved(seed, dict(zip(drawn.accounts[::2], drawn.accounts[1::2], strict=True))))
        assert found.p_value < 1e-6  # eight pairs do react
        assert not found.named_us
        assert found.found_us is None


@pytest.mark.slow
def test_customers_beside_a_queue_in_one_candidate_are_not_named() -> None:
    """A plug-in's users and the pool that copies it are one candidate: each is judged by its own part."""
    named: list[str] = []
    honest = 0
    for seed in range(12):
        drawn = schedule(seed, 30)
        rng = np.random.default_rng(seed)
        inside = set(drawn.accounts[::3])
        door = people(drawn, rng, 20, night=0.3, bursts=0.3)
        for at_us, account, status, text in list(door.rows):
            if status == 429 and account in inside:
                ready = sorted(inside - {account})
                taker = ready[rng.integers(len(ready))]
                door.rows.append((at_us + 60_000_000, taker, 200, text))
        found = evidence(door)
        named += sorted(found.named_us)
        honest += sum(account not in inside for account in found.named_us)
    assert len(named) >= 40
    assert honest <= 0.1 * len(named)


@pytest.mark.slow
def test_an_account_is_told_its_own_part_alone() -> None:
    drawn = schedule(3, 16)
    found = evidence(queue(drawn, np.random.default_rng(3), 100))
    assert set(found.own) == set(drawn.accounts)
    assert sum(one.p_value <= 0.05 for one in found.own.values()) >= 15
    assert all(0 < one.repeated <= one.refused for one in found.own.values())
    assert sum(one.taken_over for one in found.own.values()) >= sum(
        one.repeated for one in found.own.values()
    )
    honest = [
        one.p_value
        for seed in range(12)
        for one in evidence(people(schedule(seed, 16), np.random.default_rng(seed), 100)).own.values()
    ]
    assert sum(p <= 0.05 for p in honest) <= binom.ppf(0.9995, len(honest), 0.05), sorted(honest)[:8]


def test_a_block_counts_when_what_it_refused_had_time_to_come_again_and_no_cut_loses_it() -> None:
    drawn = schedule(1, 16)
    log = log_of(queue(drawn, np.random.default_rng(1), 12).rows)
    of_a_day = DAY_US // drawn.block_us
    half = of_a_day // 2
    times = [drawn.start_us + blocks * drawn.block_us for blocks in (8, half, half + 1, of_a_day + 8)]
    at = [holds_evidence(log, drawn, until_us) for until_us in (*times[:3], times[2] + MINUTE_US, times[3])]
    assert [one.blocks for one in at] == [0, 0, 1, 1, half + 8]
    assert at[0].p_value == 1.0
    assert at[2] == at[3]
    ended = replace(drawn, ended_us=drawn.start_us + 3 * DAY_US)
    found = holds_evidence(log, ended, drawn.end_us + DAY_US)
    assert found.blocks == 3 * of_a_day
    reason = holds_reason(found)
    assert reason.detector == "holds"
    assert reason.bits > 0
    whole = holds_evidence(log, drawn, drawn.end_us + DAY_US)
    assert found.found_us == whole.found_us  # later data change no time
    assert whole.named_us.items() >= found.named_us.items()


@pytest.mark.slow
@given(st.integers(1, 40), st.integers(0, 10**6), st.sampled_from([(5, 16), (15, 16), (60, 16), (60, 30)]))
@settings(max_examples=60, deadline=None)
def test_a_schedule_holds_who_is_drawn_and_tells_the_truth(many, seed, shape) -> None:
    drawn = schedule(seed, many, Holds(days=1, block_minutes=shape[0], one_block_in=shape[1]))
    assert drawn.start_us % drawn.block_us == 0
    for account in {*drawn.accounts[:1], *drawn.accounts[-1:]}:
        for at_us in range(drawn.start_us - drawn.block_us, drawn.end_us + drawn.block_us, 5 * MINUTE_US):
            end_us = drawn.hold_end_us(account, at_us)
            held = drawn.draw(account, at_us // drawn.block_us)
            assert (end_us is not None) == (bool(held) and drawn.start_us <= at_us < drawn.end_us)
            if end_us is not None:
                assert at_us < end_us <= at_us + drawn.block_us <= at_us + HOUR_US
                assert drawn.hold_end_us(account, end_us) is None  # served after the stated wait
    assert drawn.hold_end_us("a stranger", drawn.start_us) is None


@pytest.mark.slow
def test_a_draw_is_the_same_anywhere_uniform_independent_and_tied_to_its_candidate() -> None:
    one, again, other = schedule(5, 20), schedule(5, 20), schedule(6, 20)
    blocks = one.blocks(one.end_us)
    assert len(blocks) == 7 * DAY_US // one.block_us

    def table(drawn) -> np.ndarray:
        return np.array([[drawn.draw(account, block) is True for block in blocks] for account in names(20)])

    held = table(one)
    assert (held == table(again)).all()
    assert not (held == table(other)).all()
    assert one.commitment == again.commitment != other.commitment
    assert "key" not in repr(one)
    share = CHANCE * (1 - CHANCE)  # the block after a drawn one is never drawn
    assert binom.ppf(0.0005, held.size, share) <= held.sum() <= binom.ppf(0.9995, held.size, share)
    assert not (held[:, 1:] & held[:, :-1]).any()
    denser = table(replace(one, denser_one_block_in=4, denser_from_us=one.start_us + 3 * DAY_US))
    until = 3 * DAY_US // one.block_us
    assert (denser[:, :until] == held[:, :until]).all()  # earlier draws stay
    later = denser[:, until:]
    more = DENSER * (1 - DENSER)
    assert binom.ppf(0.0005, later.size, more) <= later.sum() <= binom.ppf(0.9995, later.size, more)
    together = (held[:-1] & held[1:]).sum()  # two accounts in one block: no more often than by chance
    assert together <= binom.ppf(0.9995, held[1:].size, share**2)


@pytest.mark.slow
def test_the_day_of_an_account_has_a_budget() -> None:
    door = people(schedule(2, 16), np.random.default_rng(2), 400, bursts=0.0)
    days: dict[tuple[str, int], set[int]] = {}
    for at_us, account, status, _ in door.rows:
        if status == 429:
            days.setdefault((account, at_us // DAY_US), set()).add(at_us // MINUTE_US)
    assert max(map(len, days.values())) == Holds.refused_minutes_per_day


def test_who_is_named_of_an_exempt_organisation_or_has_a_permission_is_exempt() -> None:
    terms = Holds(exempt_accounts=("a",), exempt_orgs=("x",))
    permission = (
        Permission("synthetic-data", "cio", 10, account="b"),
        Permission("resell", "cio", 10, org="y"),
    )
    told = {name: exempt(terms, name, org, permission, 9) for name, org in
            (("a", None), ("b", None), ("c", None), ("d", "x"), ("e", "y"), ("f", "z"))}  # fmt: skip
    assert told == {"a": True, "b": True, "c": False, "d": True, "e": True, "f": False}
    assert not exempt(terms, "b", None, permission, 10)  # it has expired
    assert exempt(Holds(exempt_orgs=("*",)), "f", "z", (), 9)
    assert not exempt(Holds(exempt_orgs=("*",)), "f", None, (), 9)


def test_an_empty_log_strangers_and_retries_show_nothing() -> None:
    drawn = schedule(1, 4)
    at, mine = drawn.start_us, drawn.accounts
    strangers = [(at, "stranger", 200, 1), (at + 1, mine[0], 200, 1), (at - 2, mine[1], 200, 2)]
    again = [(at, mine[0], 429, 1), (at + HOUR_US, mine[0], 200, 1)]
    for rows in ([], strangers, again, [(at, mine[0], 429, 0), (at + 1, mine[1], 200, 0)]):
        assert holds_evidence(log_of(rows), drawn, drawn.end_us + DAY_US).p_value == 1.0, rows


def test_what_is_told_of_an_account_counts_texts_and_customers() -> None:
    """Texts that a held account sent first count; two others send them later."""
    drawn = schedule(1, 6, Holds(block_minutes=15))
    a, b, c = drawn.accounts[:3]
    blocks = drawn.blocks(drawn.end_us)
    held = next(block for block in blocks if drawn.draw(a, block))
    at = held * drawn.block_us
    rows = [(at + k, a, 429, k) for k in (1, 2, 3)]
    rows += [(at + 60_000_000, b, 200, 1), (at + 61_000_000, b, 200, 2), (at + 62_000_000, c, 200, 1)]
    found = holds_evidence(log_of(rows), drawn, drawn.end_us + DAY_US)
    told = {name: (one.refused, one.repeated, one.taken_over) for name, one in found.own.items()}
    assert told[a] == (1, 1, 0)
    assert told[b][2] == told[c][2] == 1
    assert found.own[a].p_value == CHANCE  # one draw
    assert found.own[b].p_value == found.own[c].p_value == 1.0  # a later sender shows nothing of its own
    assert found.p_value == pytest.approx(1 / (0.2 * 2.5 + 0.2 * 7 + 0.6 * 16))
    alone = holds_evidence(log_of(rows[:-1]), drawn, drawn.end_us + DAY_US)
    assert alone.p_value == 1.0  # texts that move between only two customers do not count


def class_with_framers(seed: int, way: str) -> Door:
    """A class whose exercises two accounts know beforehand; they try to make students look like a queue.

    "after": they send an exercise only after a student was refused. "crowd": they send one first in each
    block. If they were served, many other accounts of theirs send it too, so that it looks like a common
    question. "honest": nobody frames; refused students send greetings before they continue.
    """
    drawn, rng = schedule(seed, 16), np.random.default_rng(seed)
    door, framers, students = Door(drawn, budget=10**6), drawn.accounts[:2], drawn.accounts[2:]
    for k, begin_us in enumerate(range(drawn.start_us, drawn.end_us, 2 * HOUR_US)):
        exercise = 10_000 + k
        for number, framer in enumerate(framers if way != "honest" else ()):
            at_us = begin_us + number * SECOND_US
            first = 20_000 + 2 * k + number if way == "after" else exercise
            refused = door.asks(at_us, framer, first) is not None
            if way == "after" and refused:
                door.asks(at_us + SECOND_US, framer, exercise)
            if way == "crowd" and not refused:
                door.rows += [(at_us + 2 * SECOND_US + j, f"crowd-{j}", 200, exercise) for j in range(60)]
        for student in students:
            if rng.random() < 0.4:
                at_us = begin_us + int(rng.integers(HOUR_US // 6, 2 * HOUR_US))
                if door.asks(at_us, student, exercise) is not None and way == "honest":
                    door.asks(at_us + 20 * SECOND_US, student, int(rng.integers(1, 5)) + 10 * k)
    return door


@pytest.mark.slow
@pytest.mark.parametrize("way", ["after", "crowd", "honest"])
def test_nobody_is_framed_by_who_asks_by_what_was_refused(way: str) -> None:
    runs, low = 60, 0
    for seed in range(runs):
        found = evidence(class_with_framers(seed, way), 8)
        assert not found.named_us, (seed, found.text)
        low += found.p_value <= 0.05
    assert low <= binom.ppf(0.9995, runs, 0.05), low


def steering_pool(seed: int) -> tuple[Door, set[str]]:
    """A queue of twelve, and four students beside it, whose exercises the queue knows a day before.

    The queue sends each exercise first. If it was served, another of its accounts sends it too, so that texts
    of undrawn blocks seem to be its own. If it was refused, only the student sends it afterwards.
    """
    drawn, rng = schedule(seed, 16), np.random.default_rng(seed)
    door, pool, students = Door(drawn, budget=10**6), drawn.accounts[:12], drawn.accounts[12:]
    for k, at_us in enumerate(range(drawn.start_us, drawn.end_us, 2 * HOUR_US)):
        for text, account in enumerate(pool, start=100 * k):
            if (
                rng.random() < 0.5
                and door.asks(at_us + int(rng.integers(HOUR_US)), account, text) is not None
            ):
                door.rows.append((at_us + 2 * HOUR_US, pool[rng.integers(12)], 200, text))
    for day, number in product(range(7), range(4)):
        at_us, exercise = drawn.start_us + day * DAY_US + (6 + number) * HOUR_US, 10**6 + 10 * day + number
        if door.asks(at_us, pool[6 + (4 * day + number) % 6], exercise) is None:
            door.rows.append((at_us + 5 * SECOND_US, pool[(day + number) % 6], 200, exercise))
        door.asks(at_us + HOUR_US, students[number], exercise)
    return door, set(students)


@pytest.mark.slow
def test_a_pool_that_turns_undrawn_texts_away_from_bystanders_hardly_names_one() -> None:
    bystanders = named = 0
    for seed in range(24):
        door, students = steering_pool(seed)
        found = set(evidence(door).named_us)
        bystanders, named = bystanders + len(found & students), named + len(found)
    assert named >= 100
    assert bystanders <= 0.05 * named, (bystanders, named)


@pytest.mark.slow
def test_who_greets_after_a_queue_that_was_refused_is_not_named() -> None:
    """A queue is found, and sometimes greets. One draw would name all who greet in the next hours."""
    for seed in range(20):
        drawn, rng = schedule(seed, 16), np.random.default_rng((seed, 3))
        door = queue(drawn, np.random.default_rng(seed), 8)
        for k in range(45):
            at_us = drawn.start_us + int(rng.integers(0, 2 * DAY_US) if k > 2 else -HOUR_US)
            door.rows.append((at_us, f"person-{k:02}", 200, 999_999))
        for at_us in range(drawn.start_us, drawn.end_us, drawn.block_us):
            if rng.random() < 0.1:
                door.rows.append((at_us, drawn.accounts[rng.integers(16)], 429, 999_999))
        found = evidence(door)
        assert found.found_us is not None
        assert set(found.named_us) <= set(drawn.accounts), seed


def test_candidates_are_leads_that_may_be_one_hand_and_findings_that_nobody_permitted() -> None:
    at, taken = datetime(2026, 11, 25, tzinfo=UTC), Harvest(10, 100)

    def lead(hands: str) -> Lead:
        return Lead(f"lead-{hands}", at, 1e-4, ("a", "b", "c"), 9, hands, "why")

    def finding(name: str, accounts: tuple[str, ...], permitted: str | None = None) -> Campaign:
        return Campaign(name, at, 1e-3, 9.0, accounts, taken, taken, (), (), suppressed_by=permitted)

    result = ScanResult(
        "test",
        ScanTotals(1, 1, at, at, 0, 0.0),
        (finding("sw-1", ("d", "e")), finding("sw-2", ("f",)), finding("sw-3", ("g", "h"), "a permission")),
        (),
        leads=(lead("many"), lead("one"), lead("open")),
    )
    weak = (
        HoldCandidate("wording-1", 0.1, ("i", "j", "k"), 0.01),
        HoldCandidate("sw-1", 1.0, ("d", "e"), 0.01),
    )
    assert candidates(replace(result, weak=weak)) == (
        HoldCandidate("lead-one", 1e-4, ("a", "b", "c"), 9.0, 1),
        HoldCandidate("lead-open", 1e-4, ("a", "b", "c"), 9.0, 1),
        HoldCandidate("sw-1", 1e-3, ("d", "e"), 10.0, 3),
        weak[0],
    )
    # if the scan knows their recent volume, that is the cost of holding them
    shares = {one.candidate: one.share for one in candidates(replace(result, shares={"lead-one": 0.02}))}
    assert shares["lead-one"] == 0.02


# --- refusals that are already in the log ---


def refusals(rng: np.random.Generator, many: int, fail: float, *, moves: float, prefix: str = "acct"):
    """Accounts with texts of their own; some are refused, and another account sends a share of these."""
    rows = []
    for text in range(1, many + 1):
        at_us = START_US + int(rng.integers(0, 7 * DAY_US))
        a, b = rng.choice(16, 2, replace=False)
        failed = rng.random() < fail
        number = text + 10**6 * len(prefix)
        rows.append((at_us, f"{prefix}-{a:02}", 429 if failed else 200, number))
        if failed and rng.random() < moves:
            rows.append((at_us + 30_000_000, f"{prefix}-{b:02}", 200, number))
    return rows


def named(prefix: str = "acct") -> list[str]:
    return [f"{prefix}-{k:02}" for k in range(16)]


def test_what_one_was_refused_and_another_asks_is_evidence() -> None:
    rng = np.random.default_rng(1)
    honest = refusals(rng, 4_000, 0.02, moves=0.0, prefix="people")
    found = failover_evidence(log_of(refusals(rng, 600, 0.03, moves=0.4) + honest), named())
    assert found.p_value < 1e-3
    assert found.refused >= 10
    assert found.rate_elsewhere == 0.0


def test_the_groups_own_refusals_bound_the_p_value_from_below() -> None:
    rng = np.random.default_rng(2)
    for moves in (0.0, 0.1, 0.5):
        honest = refusals(rng, 1_000, 0.05, moves=0.05, prefix="people")
        log = log_of(refusals(rng, 400, 0.05, moves=moves) + honest)
        theirs = np.isin(np.array(log.accounts)[log["account"]], named())
        least = failover_least_p_value(log, np.flatnonzero(theirs))
        assert least <= failover_evidence(log, named()).p_value
        assert (least < 0.01) == (moves > 0.1)
    assert failover_least_p_value(log, np.zeros(0, np.int64)) == 1.0


def test_a_repeat_by_the_same_account_a_late_one_and_one_before_are_none() -> None:
    at, minute = START_US, 60_000_000
    for rows in (
        [(at, "acct-00", 429, 1), (at + minute, "acct-00", 200, 1)],
        [(at, "acct-00", 429, 1), (at + 11 * minute, "acct-01", 200, 1)],
        [(at, "acct-00", 429, 1), (at - minute, "acct-01", 200, 1)],
        [(at, "acct-00", 200, 1), (at + minute, "acct-01", 200, 1)],
        [(at, "acct-00", 429, 1), (at + minute, "stranger", 200, 1)],
        [(at, "acct-00", 429, 0), (at + minute, "acct-01", 200, 0)],  # no text, no sketch
        [],
    ):
        assert failover_evidence(log_of(rows), named()).repeated == 0, rows
    retried = [(at + k * 1_000_000, "acct-00", 429, 1) for k in range(3)] + [(at + minute, "acct-01", 200, 1)]
    found = failover_evidence(log_of(retried), named())
    assert (found.refused, found.repeated) == (1, 1)  # an SDK's own retries are one refusal
    assert found.repeats == (Repeat("acct-00", at, "acct-01", at + minute),)


@pytest.mark.slow
def test_a_class_that_shares_its_questions_is_not_accused_for_refusals() -> None:
    """All send the same texts within minutes, refused or not: the second null hypothesis accounts for it."""
    low = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        rows = []
        for text in range(1, 60):
            at_us = START_US + int(rng.integers(0, 3 * DAY_US))
            for k in rng.choice(16, 4, replace=False):
                status = 500 if rng.random() < 0.1 else 200
                rows.append((at_us + int(rng.integers(0, 9 * 60_000_000)), f"acct-{k:02}", status, text))
        found = failover_evidence(log_of(rows), named())
        assert found.repeated > 0
        low += found.p_value <= 0.05
    assert low <= binom.ppf(0.999, 150, 0.05), low


def test_the_rate_outside_the_group_counts() -> None:
    rng = np.random.default_rng(4)
    group = refusals(rng, 400, 0.05, moves=0.15)
    alone = failover_evidence(log_of(group), named())
    outage = refusals(rng, 3_000, 0.05, moves=0.2, prefix="people")
    among = failover_evidence(log_of(group + outage), named())
    assert alone.repeated == among.repeated > 0
    assert among.rate_elsewhere > 0.1
    assert among.p_value > alone.p_value


@pytest.mark.slow
def test_strata_are_summed_exactly() -> None:
    """Compared with a simulation that deals the marks one by one."""
    strata = [Stratum(6, 2, 3, 2), Stratum(5, 2, 1, 1), Stratum(4, 0, 2, 0)]
    rng, runs, hits = np.random.default_rng(1), 40_000, 0
    for _ in range(runs):
        hits += sum(int((rng.permutation(s.items)[: s.marked] < s.positive).sum()) for s in strata) >= 3
    assert subset_tail(strata) == pytest.approx(hits / runs, abs=0.01)
    assert subset_tail([]) == 1.0


def test_both_read_the_columns_of_a_log_that_was_built_from_texts() -> None:
    crowd = Crowd()
    for k in range(30):
        crowd.says(f"acct-{k % 16:02}", k, f"a question of its own, number {k}", status=429 if k < 9 else 200)
        if k < 9:
            crowd.says(f"acct-{(k + 1) % 16:02}", k + 0.05, f"a question of its own, number {k}", status=200)
    found = failover_evidence(crowd.log(), named())
    assert (found.refused, found.repeated) == (9, 9)
    assert found.p_value < 1e-4


def ties(rows) -> list[set[str]]:
    log = log_of(rows)
    found = refusal_groups(log, np.arange(len(log.accounts)))
    return [{log.accounts[code] for code in codes} for _, codes in found]


def test_customers_are_tied_by_what_the_one_was_refused_and_the_other_asked() -> None:
    at, hour = START_US, 3_600_000_000
    chain = [(at, "a", 429, 1), (at + hour, "b", 200, 1), (at, "b", 500, 2), (at + 9 * hour, "c", 200, 2)]
    assert ties(chain) == [{"a", "b", "c"}]
    for row in (
        (at + 13 * hour, "d", 200, 3),  # too late
        (at - hour, "d", 200, 3),  # before
        (at + hour, "e", 200, 3),  # its own retry
    ):
        assert ties([*chain, (at, "e", 429, 3), row]) == [{"a", "b", "c"}]
    exercise = [(at + k, f"s{k}", 429 if k < 3 else 200, 7) for k in range(9)]
    assert ties(exercise) == []  # a class asks it
    log = log_of([*chain, *exercise])
    weak = weak_groups(log, np.arange(len(log.accounts)), [(1e-9, np.array([3, 4, 5, 6]))], ())
    assert [one.accounts for one in weak] == [("a", "b", "c"), ("s0", "s1", "s2", "s3")]
    assert weak_groups(log, np.zeros(len(log.accounts), int), [], ()) == ()  # one customer
    assert sum(one.share for one in with_shares(log, weak)) == pytest.approx(4 / 9)


@pytest.mark.parametrize("status", [200, 429], ids=["listings", "refusals"])
@pytest.mark.parametrize("who", ["pool", "stranger"])
def test_what_costs_nothing_makes_no_pool_too_costly_to_hold_and_nobody_cheap(status: int, who: str) -> None:
    """A pool that listed the models now and then seemed to exceed the cost limit of a candidate."""
    asked = [(START_US + k, "pool" if k < 10 else f"a{k}", 200, k + 1) for k in range(1_000)]
    free = [(START_US + 2_000 + k, who, status, 0 if status == 200 else 7) for k in range(500)]
    for rows in (asked, [*asked, *free]):
        assert request_shares(log_of(rows), [("pool",)]) == [0.01]
    assert request_shares(log_of([(START_US, "pool", 200, 0)]), [("pool",)]) == [1.0]  # a log without texts


def test_a_weak_group_is_held_on_until_refused_texts_have_not_moved() -> None:
    drawn = schedule(1, 16)
    log = log_of(people(drawn, np.random.default_rng(1), 8).rows)
    refused = []
    for hours in range(13, 72, 6):
        shown = holds_evidence(log, drawn, drawn.start_us + hours * HOUR_US)
        refused.append(shown.refused)
        assert shown.moved_p == 1.0
        assert len(still_open([(drawn, shown)])) == (shown.refused < FUTILE_TEXTS), hours
    assert refused[0] < FUTILE_TEXTS <= refused[-1]
    idle = holds_evidence(log_of([(drawn.start_us, "a-00", 200, 1)]), drawn, drawn.end_us)
    assert still_open([(drawn, replace(idle, refused=0))])  # nothing was refused in all its days
    moving = log_of(queue(drawn, np.random.default_rng(1), 8).rows)
    shown = holds_evidence(moving, drawn, drawn.start_us + 70 * HOUR_US)
    assert [one.candidate for one in still_open([(drawn, shown)])] == [drawn.candidate]
    assert still_open([(replace(drawn, ended_us=drawn.end_us), shown)]) == ()


def test_a_group_is_undecided_while_little_of_it_was_refused_or_a_bet_has_gained() -> None:
    drawn = schedule(1, 5)
    none = holds_evidence(log_of([(drawn.start_us, "a-00", 200, 1)]), drawn, drawn.end_us)
    for more, undecided in (
        ({"refused": FUTILE_TEXTS - 1}, True),
        ({"refused": FUTILE_TEXTS, "moved_p": 0.1}, False),  # between only two customers
        ({"refused": FUTILE_TEXTS, "moved_p": 0.1, "p_value": 0.4}, True),
        ({"refused": MOST_TEXTS_EACH * 5, "moved_p": 0.1, "p_value": 0.4}, False),
        ({"refused": 3, "found_us": START_US}, False),
    ):
        (one,) = still_open([(drawn, replace(none, **more))])
        assert one.undecided is undecided, more


def small_queue(seed: int, most_days: int) -> HoldsEvidence:
    """Eight accounts that send 0.6 texts a day, under holds of at most the given number of days."""
    drawn = replace(schedule(seed, 8), days=most_days)
    terms = Holds(mode="on", days_at_most=most_days)
    door = queue(drawn, np.random.default_rng(seed), 0.6, door_of=partial(WatchedDoor, terms=terms))
    return holds_evidence(log_of(door.rows), door.drawn, door.drawn.end_us + DAY_US)


@pytest.mark.slow
def test_a_queue_that_asks_little_is_found_where_it_is_held_until_it_is_decided() -> None:
    runs = 12
    found = [sum(small_queue(seed, days).found_us is not None for seed in range(runs)) for days in (7, 28)]
    assert found[0] <= runs // 2
    assert found[1] >= runs - 2, found


def class_for_a_month(seed: int) -> WatchedDoor:
    """Sixteen people with shared exercises; half of the refused ones try again after the hold."""
    drawn, rng = replace(schedule(seed, 16), days=28), np.random.default_rng((seed, 5))
    door = WatchedDoor(drawn)
    asks = []
    for exercise, at_us in enumerate(range(drawn.start_us, drawn.start_us + 28 * DAY_US, 12 * HOUR_US)):
        for account in rng.choice(16, 3, replace=False):
            asks.append((at_us + int(rng.integers(9 * HOUR_US)), drawn.accounts[account], exercise + 1))
    for at_us, account, exercise in sorted(asks):
        end_us = door.asks(at_us, account, exercise)
        if end_us is not None and rng.random() < 0.5:
            door.rows.append((end_us + HOUR_US, account, 200, exercise))
    return door


@pytest.mark.slow
def test_people_who_share_questions_are_not_named_by_holds_that_go_on_while_undecided() -> None:
    """The choice to draw more often, continue or stop depends on the data: Ville's bound still holds."""
    runs, low, went_on = 80, 0, 0
    for seed in range(runs):
        door = class_for_a_month(seed)
        found = holds_evidence(log_of(door.rows), door.drawn, door.drawn.end_us + DAY_US)
        assert not found.named_us, seed
        low += found.p_value <= 0.05
        went_on += door.drawn.days > 7
    assert went_on >= 0.1 * runs, went_on
    assert low <= binom.ppf(0.9995, runs, 0.05), low
