"""Leads from content alone: a pool whose accounts each draw their own settings, and honest users."""

import random
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from scan_world import START, Crowd, habits, honest, log_of, sentence, words
from stillwatch.actors.behaviour import EmergingRows
from stillwatch.scan import Lead
from stillwatch.scan.hold_candidates import candidates
from stillwatch.scan.live import Keep, LiveScan
from stillwatch.scan.pipeline import Options, scan_log
from stillwatch.scan.source_leads import devotion
from stillwatch.stats.dealing import deal
from stillwatch.terms import Holds
from stillwatch.terms.holds import HoldSchedule, plan
from stillwatch.units import DAY_US

DAYS = 10.0
MANY = 24


def users_of_new_wording(
    crowd: Crowd,
    *,
    own_subjects: bool,
    own_work: int = 0,
    user_agent: str = "",
    of: int = MANY,
    each: int = 24,
) -> set[str]:
    """Accounts with their own habits that all use new wording from day 5 on.

    own_work: the number of other requests for each one with that wording; user_agent: replaces the own one of
        the first `of` accounts.
    """
    rng = random.Random(crowd.seed + 1)
    signature = [sentence(rng, 9), sentence(rng, 9)]
    names = [f"user-{rng.getrandbits(40):010x}" for _ in range(MANY)]
    for k, name in enumerate(names):
        mine = habits(rng) | ({"user_agent": user_agent} if user_agent and k < of else {})
        subject = words(1000 + k, 40)
        for n in range(each):
            text = " ".join(rng.choices(subject, k=14)) if own_subjects else sentence(rng, 14)
            hour = 24 * (5.0 + 4.5 * (n + rng.random()) / each)
            crowd.says(
                name,
                hour,
                f"{signature[0]} {text} {signature[1]}",
                status=200,
                output_tokens=900,
                turn=1,
                **mine,
            )
            for _ in range(own_work):
                crowd.says(
                    name, hour + rng.random(), sentence(rng, 14), status=200, output_tokens=200, **mine
                )
        made = START + timedelta(days=rng.uniform(-200, 4))
        crowd.known.append({"account": name, "payment": f"card-{name}", "created": made})
    return set(names)


def crowd_of(seed: int) -> Crowd:
    crowd = Crowd(seed)
    honest(crowd, 300, DAYS)
    return crowd


def leads_on(crowd: Crowd, accounts: set[str]) -> list[Lead]:
    result = scan_log(log_of(crowd.table()), crowd.accounts(), options=Options(threads=1))
    named = {account for campaign in result.campaigns for account in campaign.accounts}
    assert not accounts & named, "content alone accuses nobody"
    return [lead for lead in result.leads if len(accounts.intersection(lead.accounts)) > 0.2 * len(accounts)]


@pytest.mark.slow
def test_a_pool_whose_accounts_draw_their_settings_is_a_lead_and_held_first() -> None:
    crowd = crowd_of(41)
    pool = users_of_new_wording(crowd, own_subjects=False)
    (lead,) = leads_on(crowd, pool)
    assert len(pool.intersection(lead.accounts)) >= 0.8 * len(pool)
    assert len(pool.intersection(lead.accounts)) >= 0.9 * len(lead.accounts)
    assert lead.hands == "one"
    assert lead.p_value == 1.0
    assert "people with one task" in lead.text
    result = scan_log(log_of(crowd.table()), crowd.accounts(), options=Options(threads=1))
    assert lead.id in [one.candidate for one in candidates(result)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [44, 46])
def test_a_community_that_carries_its_wording_alone_is_a_lead_within_two_days(seed: int) -> None:
    """No other account uses the wording, so only the community's members have it."""
    crowd = crowd_of(seed)
    pool = users_of_new_wording(crowd, own_subjects=False, each=40)
    (lead,) = leads_on(crowd, pool)
    assert set(lead.accounts) == pool
    assert lead.since <= START + timedelta(days=7)


@pytest.mark.slow
def test_it_needs_an_accounts_table_and_settings() -> None:
    crowd = crowd_of(44)
    pool = users_of_new_wording(crowd, own_subjects=False, each=40)
    table = crowd.table()
    assert not [one for one in scan_log(log_of(table)).leads if pool.intersection(one.accounts)]
    for name in ("model", "max_tokens", "temperature"):
        field = table.schema.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.nulls(len(table), field.type))
    result = scan_log(log_of(table), crowd.accounts())
    assert not result.campaigns
    assert not [one for one in result.leads if pool.intersection(one.accounts)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [44, 46])
def test_users_of_a_program_are_left_out_where_enough_others_remain(seed: int) -> None:
    """Some were counted before there were enough of them to distinguish a program from chance."""
    crowd = crowd_of(seed)
    pool = users_of_new_wording(crowd, own_subjects=False, each=40, user_agent="Cline/3.1", of=8)
    (lead,) = leads_on(crowd, pool)
    users = {row["account"] for row in crowd.rows if row.get("user_agent") == "Cline/3.1"}
    assert pool - users <= set(lead.accounts)
    assert len(users.intersection(lead.accounts)) < 4


@pytest.mark.slow
def test_people_who_use_one_template_for_subjects_of_their_own_are_none() -> None:
    crowd = crowd_of(42)
    people = users_of_new_wording(crowd, own_subjects=True)
    assert not leads_on(crowd, people)


@pytest.mark.slow
def test_accounts_for_which_the_wording_is_a_small_part_are_none() -> None:
    crowd = crowd_of(43)
    people = users_of_new_wording(crowd, own_subjects=False, own_work=8, each=16)
    assert not leads_on(crowd, people)


@pytest.mark.slow
def test_a_pool_that_copies_a_program_is_a_lead_that_says_so() -> None:
    crowd = crowd_of(44)
    pool = users_of_new_wording(crowd, own_subjects=False, user_agent="Cline/3.1", each=40)
    (lead,) = leads_on(crowd, pool)
    assert "run cline" in lead.text.lower()


@pytest.mark.slow
def test_a_live_scan_that_goes_on_gives_the_same_lead() -> None:
    crowd = crowd_of(41)
    pool = users_of_new_wording(crowd, own_subjects=False)
    (whole,) = leads_on(crowd, pool)
    table, live = crowd.table(), LiveScan(Options(threads=1), accounts=crowd.accounts(), keep=Keep(days=30))
    at_us = pc.cast(pc.cast(table["time"], pa.timestamp("us", "UTC")), pa.int64()).to_numpy()
    since_us = 0
    for until_us in (int(START.timestamp() * 1e6) + day * DAY_US for day in range(2, int(DAYS) + 2, 2)):
        live.add(table.filter(pa.array((at_us >= since_us) & (at_us < until_us))))
        result = live.tick(until_us, until_us)
        since_us = until_us
    (lead,) = [one for one in result.leads if len(pool.intersection(one.accounts)) > 0.2 * len(pool)]
    assert (lead.id, lead.since, lead.accounts) == (whole.id, whole.since, whole.accounts)


def test_devotion_counts_from_a_members_first_use_on() -> None:
    label = np.array([0, 1, 0, 1, 0, 1, 2, 0, 1, 0], np.int32)
    begin, row = deal(label, 3)
    every = EmergingRows(begin, row, row.astype(np.int64), row.astype(np.int64))
    carrying = np.array([2, 3, 5, 7])  # account 0: 2 of 4 since its first; account 1: 2 of 3
    assert devotion(carrying, label, {0}, every, 10) == pytest.approx(2 / 4)
    assert devotion(carrying, label, {1}, every, 10) == pytest.approx(2 / 3)
    assert devotion(carrying, label, {2}, every, 10) == 0.0
    assert devotion(carrying, label, {1}, every, 8) == pytest.approx(2 / 2)  # later requests do not count
    assert devotion(carrying[:0], label, {0}, every, 10) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["", "notequiz/1.0"], ids=["clients of their own", "users of one product"])
def test_holds_of_half_a_lead_of_one_source_name_all_of_it_but_where_they_use_one_product(agent: str) -> None:
    crowd = crowd_of(41)
    pool = users_of_new_wording(crowd, own_subjects=False, user_agent=agent)
    held = sorted(pool)[::2]
    begin_us = round((START + timedelta(days=5.5)).timestamp() * 1e6)
    schedule = plan(Holds(one_block_in=8), "lead-1", held, begin_us, b"k" * 32)
    rng, ready = random.Random(7), sorted(pool)
    settings = {row["account"]: row for row in crowd.rows}
    for row in [row for row in crowd.rows if row["account"] in held]:
        if schedule.hold_end_us(row["account"], round(row["time"].timestamp() * 1e6)) is not None:
            row["status"] = 429
            taker = rng.choice([name for name in ready if name != row["account"]])
            more = {"exchange_id": f"again-{row['exchange_id']}", "prompt": row["prompt"], "status": 200}
            crowd.rows.append(settings[taker] | more | {"time": row["time"] + timedelta(hours=2)})
    crowd.rows.sort(key=lambda row: row["time"])
    options = Options(threads=1, held=(schedule,))
    (case,) = scan_log(log_of(crowd.table()), crowd.accounts(), options=options).campaigns
    assert case.reasons[0].detector == "holds"
    assert set(case.accounts) <= pool
    assert case.own_reactions.keys() <= set(case.accounts)
    if agent:
        assert case.own_reactions.keys() == set(case.accounts)  # others may be customers
    else:
        assert len(case.accounts) >= 0.8 * len(pool)
        assert len(case.own_reactions) < len(case.accounts)
        assert all(case.own_ties[name].markers > 0 for name in set(case.accounts) - case.own_reactions.keys())


def hold(crowd: Crowd, accounts: list[str]) -> HoldSchedule:
    """Hold accounts in every second block on average; another of them does what one is refused."""
    begin_us = int((START + timedelta(days=5)).timestamp()) * 1_000_000
    drawn = HoldSchedule("lead-1", dict.fromkeys(accounts, begin_us), begin_us, 7, 5, 2, bytes(range(32)))
    rng = random.Random(crowd.seed)
    for row in [row for row in crowd.rows if row["account"] in accounts]:
        if drawn.hold_end_us(row["account"], round(row["time"].timestamp() * 1e6)) is not None:
            row["status"] = 429
            taker = rng.choice([account for account in accounts if account != row["account"]])
            later = row["time"] + timedelta(hours=1)  # not within minutes: refused work would show it already
            again = {
                "account": taker,
                "time": later,
                "status": 200,
                "exchange_id": f"again-{row['exchange_id']}",
            }
            crowd.rows.append(row | again)
    crowd.rows.sort(key=lambda row: row["time"])
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize("held", [5, 16])
def test_holds_name_the_rest_of_a_lead_only_where_they_named_half_of_it(held: int) -> None:
    """Three accounts of a pool were enough to name 187 honest users of one wording."""
    crowd = crowd_of(41)
    users = sorted(users_of_new_wording(crowd, own_subjects=False))
    pool = set(users[:held])
    options = Options(threads=1, held=(hold(crowd, users[:held]),))
    result = scan_log(log_of(crowd.table()), crowd.accounts(), options=options)
    (case,) = [one for one in result.campaigns if one.reasons[0].detector == "holds"]
    assert len(pool.intersection(case.accounts)) >= 0.8 * held
    rest = set(case.accounts) - pool
    assert len(rest) >= 6 if 2 * held > MANY else not rest
