"""A harvest that is over within hours: the smaller the p-values, the fewer evaluations must agree."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from scan_world import START, Crowd, honest, pool
from stillwatch.scan import watch
from stillwatch.scan.alarms import (
    NAMED_AFTER,
    NEVER,
    PERSISTENT,
    Alarms,
    Candidate,
    Judgement,
    evaluations_needed,
)
from stillwatch.scan.carried import CarriedScan
from stillwatch.scan.pipeline import Options, scan_log
from stillwatch.scan.settings import DetectionSettings
from stillwatch.stats.exchangeability import ContentTest

HOUR_US = 3_600_000_000
ALPHA = 5e-4
PARTIES = frozenset(range(12))
LOOK = Candidate(
    ALPHA / 2, PARTIES, PARTIES, PARTIES, (0,), (1.0,), (("model", ALPHA / 2),), np.zeros(0, np.int64)
)


def one_source(candidate: Candidate, others: frozenset[int] = frozenset()) -> Judgement:
    return Judgement(ContentTest(0.5, 0.0, 0.001, 900, 0.9))


MANY_SOURCES = Judgement(ContentTest(0.005, 0.2, 0.01, 900, 0.9))


@pytest.mark.parametrize(("times", "needed"), [(1, 4), (50, 4), (150, 3), (1_500, 2), (15_000, 1), (1e9, 1)])
def test_the_surer_the_fewer_looks(times: float, needed: int) -> None:
    assert evaluations_needed(ALPHA / times, ALPHA) == needed
    alarms, raised, named = Alarms(), 0, 0
    for k in range(1, PERSISTENT + NAMED_AFTER):
        alarms.record(replace(LOOK, p_value=ALPHA / times), k * HOUR_US, ALPHA, one_source)
        alarm = alarms.every[0]
        raised = raised or k * (alarm.at_us != NEVER)
        named = named or k * bool(alarm.named)
    assert raised == named == needed


def test_without_what_a_test_may_spend_every_look_waits() -> None:
    assert evaluations_needed(1e-300, 0.0) == PERSISTENT


def test_a_raised_alarm_names_no_crowd_that_comes_to_be_grouped_with_its_pool() -> None:
    """Half of the pool is later grouped with strangers with similar settings, then only the strangers are."""
    pool, crowd = frozenset(range(12)), frozenset(range(20, 36))
    asked: list[frozenset[int]] = []

    def judge(candidate: Candidate, others: frozenset[int]) -> Judgement:
        asked.append(candidate.members)
        return one_source(candidate) if candidate.members <= pool else MANY_SOURCES

    alarms = Alarms()
    for hour, members in enumerate([pool] * 6 + [frozenset(range(6)) | crowd] * 6 + [crowd] * 6, start=1):
        alarms.record(
            replace(LOOK, matching=members, members=members, eligible=members),
            hour * HOUR_US,
            ALPHA,
            judge,
        )
    assert [alarm.named.keys() for alarm in alarms.raised] == [pool]
    assert frozenset(range(6)) | crowd in asked


def test_of_a_later_group_only_the_part_that_is_of_one_source_is_named() -> None:
    pool, newcomers, crowd = frozenset(range(12)), frozenset(range(12, 18)), frozenset(range(20, 36))
    alarms = Alarms()
    for hour, members in enumerate([pool] * 6 + [pool | newcomers | crowd] * 6, start=1):
        alarms.record(
            replace(LOOK, matching=members, members=members, eligible=members),
            hour * HOUR_US,
            ALPHA,
            lambda candidate, _: replace(
                one_source(candidate), part=None if candidate.members <= pool else pool | newcomers
            ),
        )
    assert alarms.raised[0].named.keys() == pool | newcomers


def test_a_raised_alarm_names_newcomers_of_its_source() -> None:
    alarms = Alarms()
    for hour in range(1, 12):
        members = PARTIES if hour < 6 else PARTIES | frozenset(range(20, 36))
        alarms.record(
            replace(LOOK, matching=members, members=members, eligible=members),
            hour * HOUR_US,
            ALPHA,
            one_source,
        )
    assert alarms.raised[0].named.keys() == PARTIES | frozenset(range(20, 36))


def test_who_is_banned_stays_named_and_who_was_named_in_passing_is_let_go() -> None:
    """Half of a pool is named, then banned. The other half continues for days, and so does a stranger."""
    banned, going_on, stranger = frozenset(range(6)), frozenset(range(6, 12)), 12
    alarms, ban_us, end_us = Alarms(), 30 * HOUR_US, 300 * HOUR_US
    for hour in range(1, 300):
        members = going_on | (banned if hour <= 40 else frozenset())
        members |= {stranger} if 10 <= hour < 16 else frozenset()
        alarms.record(
            replace(LOOK, matching=members, members=members, eligible=members),
            hour * HOUR_US,
            ALPHA,
            one_source,
        )
    last_us = np.array([ban_us] * 6 + [end_us] * 7)
    assert alarms.raised[0].confirmed(last_us).keys() == banned | going_on
    assert stranger in alarms.raised[0].named


def test_a_pool_does_not_speak_for_accounts_that_are_grouped_with_it_later() -> None:
    alarms = Alarms()
    asked: list[frozenset[int]] = []

    def judge(candidate: Candidate, others: frozenset[int]) -> Judgement:
        asked.append(candidate.members - others)
        return one_source(candidate)

    for hour in range(PERSISTENT):
        alarms.record(LOOK, hour * HOUR_US, ALPHA, judge)
    wide = PARTIES | frozenset(range(12, 60))
    for hour in range(PERSISTENT, 2 * PERSISTENT):
        alarms.record(
            replace(LOOK, matching=wide - frozenset(range(3, 12)), members=wide),
            hour * HOUR_US,
            ALPHA,
            judge,
        )
    assert asked[0] == PARTIES
    assert asked[-1] == wide - PARTIES


def group_without_signature(crowd: Crowd, members: Sequence[str]) -> tuple[Candidate | None, frozenset[int]]:
    """Return the last evaluation's result for a group that shares a manner, and the group's tenants."""
    log = crowd.log()
    tenant = np.arange(len(log.accounts), dtype=np.int32)
    watcher = watch._Watcher(log, tenant, DetectionSettings(), CarriedScan(), 0, None)
    hour = None
    with ThreadPoolExecutor(1) as threads:
        for seen in watcher.hours(watcher.steps(NEVER), threads):
            watcher.evaluate(seen)
            hour = seen if seen.found else hour
    codes = np.array(sorted(log.accounts.index(name) for name in members), np.int32)
    return watcher._test_without_signature(codes, hour), frozenset(codes.tolist())


@pytest.mark.parametrize("more", [0, 300])
def test_a_manner_that_is_little_of_what_accounts_send_makes_no_group(more: int) -> None:
    """Resellers: what some of their many customers have in common is coincidence."""
    crowd = Crowd(3)
    honest(crowd, 100, 10.0, 0)
    members = pool(crowd, "p", many=8, begin_day=6.0, days=1.0, each=6)
    for account in members:
        for _ in range(more):
            crowd.says(account, 24 * crowd.rng.uniform(6.0, 7.0), model="mira-think", status=200)
    found, tenants = group_without_signature(crowd, members)
    assert (found is None) == bool(more)
    if found is not None:
        assert found.members == tenants


def test_a_manner_names_nobody_where_half_use_another_model() -> None:
    """Agencies: five of nine happen to use their commonest model, and nothing else ties them."""
    crowd = Crowd(3)
    honest(crowd, 100, 10.0, 0)
    members = pool(crowd, "p", many=9, begin_day=6.0, days=1.0, each=6)
    for row in crowd.rows:
        if row["account"] in members[:4]:
            row["model"] = "mira-mini"
    assert group_without_signature(crowd, members)[0] is None


@pytest.mark.slow
def test_a_burst_is_named_in_the_hour_in_which_it_begins() -> None:
    crowd = Crowd(3)
    honest(crowd, 400, 10.0, 8)
    members = set(pool(crowd, "p", begin_day=6.01, days=2 / 24, each=25))
    (case,) = scan_log(crowd.log(), crowd.accounts(), options=Options(threads=1)).campaigns
    assert case.alarm_at == START + timedelta(days=6, hours=1)
    assert len(members & set(case.accounts)) == 40
    assert set(case.accounts) <= members
