"""Campaigns that run when a log begins are found only if their accounts signed up together."""

from datetime import timedelta

import numpy as np
import pytest

import stillwatch as sw
from scan_world import START, Crowd, honest, known_of, log_of, pool
from stillwatch.scan.pipeline import Options, scan_log
from stillwatch.scan.settings import DetectionSettings
from stillwatch.scan.signups import NO_SPAN, SIGNED_TOGETHER, Signups
from stillwatch.scan.watch import first_days, over_whole_log, watch
from stillwatch.units import DAY_US

SENT = np.zeros(2_000, np.int64)  # all accounts had sent requests before


def world(spread_days: float, seed: int = 4, people: int = 250) -> tuple[Crowd, set[str]]:
    """A pool of forty that runs throughout and whose accounts signed up within the given number of days."""
    crowd = Crowd(seed)
    honest(crowd, people, days=10.0)
    planted = set(pool(crowd, "p", begin_day=0.0, days=10.0, each=40))
    for row in crowd.known:
        if row["account"] in planted:
            row["created"] = START - timedelta(days=5 + spread_days * crowd.rng.random())
    return crowd, planted


def named(result: sw.ScanReport) -> set[str]:
    return {account for campaign in result.campaigns for account in campaign.accounts}


@pytest.mark.slow
def test_a_pool_that_runs_when_the_log_begins_is_named_by_its_signups() -> None:
    crowd, planted = world(spread_days=30)
    result = sw.scan(crowd.table(), accounts=crowd.accounts())
    assert named(result) <= planted
    assert len(named(result)) >= 30
    (campaign,) = result.campaigns
    assert campaign.alarm_at < START + timedelta(days=5)
    text = campaign.reasons[0].text
    assert "in use when the log began" in text
    assert "signed up within" in text
    assert not any("new in this log" in reason.text for reason in campaign.reasons)
    assert "synchronous_start" not in {reason.detector for reason in campaign.reasons}
    assert named(sw.scan(crowd.table())) == set()  # the sign-up times are unknown


@pytest.mark.slow
def test_it_is_named_as_well_where_nothing_else_is_found() -> None:
    crowd, planted = world(spread_days=30, seed=6, people=120)
    result = scan_log(
        log_of(crowd.table()), crowd.accounts(), options=Options(threads=1, every_account=False)
    )
    (campaign,) = result.campaigns
    assert set(campaign.accounts) <= planted


@pytest.mark.slow
def test_whose_users_signed_up_at_times_of_their_own_is_an_older_program() -> None:
    crowd, _ = world(spread_days=700)
    assert named(sw.scan(crowd.table(), accounts=crowd.accounts())) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("sponsored", "found"), [(0.6, False), (0.3, True)])
def test_who_signed_up_for_a_sponsor_s_class_is_not_named(sponsored: float, found: bool) -> None:
    crowd, planted = world(spread_days=30)
    paid_for = sorted(planted)[: round(sponsored * len(planted))]
    for row in crowd.known:
        if row["account"] in paid_for:
            row["payment"] = "voucher"
    assert bool(named(sw.scan(crowd.table(), accounts=crowd.accounts()))) == found


@pytest.mark.slow
def test_a_live_scan_does_not_ask_what_was_in_use_before_it_began() -> None:
    crowd, _ = world(spread_days=30)
    live = sw.LiveScan(crowd.accounts())
    live.add(crowd.table())
    live.finish()
    assert named(live.result) == set()


# --- when accounts signed up ------------------------------------------------------------------------------


def signups(created_us: np.ndarray) -> Signups:
    return Signups(created_us, np.arange(len(created_us)), SENT[: len(created_us)])


@pytest.mark.parametrize("size", [4, 8, 30])
def test_a_group_by_chance_seldom_signed_up_together(size: int) -> None:
    rng = np.random.default_rng(size)
    created = (700 * DAY_US * rng.beta(2, 1, 2_000)).astype(np.int64) + 1  # the rate of sign-ups grows
    looked_at = signups(created)
    p_values = np.array([looked_at.span(rng.choice(2_000, size, False), 1).p_value for _ in range(1_000)])
    for level in (0.05, 0.01):
        assert (p_values <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 1_000)


def test_a_group_that_signed_up_within_a_month_did_so_together() -> None:
    rng = np.random.default_rng(1)
    created = (700 * DAY_US * rng.random(2_000)).astype(np.int64) + 1
    created[:12] = 300 * DAY_US + (30 * DAY_US * rng.random(12)).astype(np.int64)
    created[12] = 600 * DAY_US  # one account from another time hides nothing
    span = signups(created).span(np.arange(13), 1)
    assert span.p_value <= SIGNED_TOGETHER
    assert span.days <= 30
    assert "signed up within" in span.text


def test_where_signups_are_unknown_nothing_is_said() -> None:
    created = np.zeros(2_000, np.int64)
    assert signups(created).span(np.arange(20), 1) == NO_SPAN
    created[:20] = DAY_US * np.arange(1, 21)
    assert signups(created).span(np.arange(20), 1) == NO_SPAN  # no others to compare with
    created = np.arange(2_000) * DAY_US + 1
    created[:8] = 0
    assert signups(created).span(np.arange(20), 1) == NO_SPAN  # unknown for too many of the group


def test_who_comes_later_changes_nothing() -> None:
    created = np.arange(1, 2_001) * DAY_US // 3
    sent = np.where(np.arange(2_000) < 1_000, 0, 100)
    early = Signups(created, np.arange(2_000), sent)
    fewer = Signups(created[:1_000], np.arange(1_000), sent[:1_000])
    members = np.arange(40, 52)
    assert early.span(members, 100) == fewer.span(members, 100)
    assert early.span(members, 101) != fewer.span(members, 101)


@pytest.mark.slow
def test_the_first_days_tell_all_that_the_whole_log_would() -> None:
    crowd, _ = world(spread_days=30)
    log = crowd.log()
    known = known_of(log, crowd.known)
    tenant = np.arange(len(log.accounts), dtype=np.int32)
    looked_at = Signups(known.created_us, tenant, np.zeros(len(tenant), np.int64))
    settings = DetectionSettings()
    days = first_days(log, settings)
    assert 0 < len(days) < len(log)
    by_days, by_log = (
        watch(some, tenant, settings=settings, known=known, signups=looked_at) for some in (days, log)
    )
    assert len(by_days.spread.row) < len(by_log.spread.row)
    by_days = over_whole_log(by_days, log, tenant)
    assert by_days.alarms == by_log.alarms
    assert by_days.alarms
    for name in ("row", "fingerprint", "entry_row", "entry_tenant", "entry_fingerprint", "fingerprint_value"):
        assert np.array_equal(getattr(by_days.spread, name), getattr(by_log.spread, name))
    members = np.array(sorted(by_log.alarms[0].named), np.int32)
    assert by_days.signature.typical(members).tolist() == by_log.signature.typical(members).tolist()
