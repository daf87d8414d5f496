"""The sixteenth author's world: its parts, without the texts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import fifteenth_author as fifteenth
import sixteenth_author as sixteenth
import sixteenth_provider as provider
from author_world import check_campaign, check_group, check_shapes, compose_campaign, compose_group, sessions
from fifteenth_provider import CloudPlaces, crowd, found_companies
from fifth_author import Honest
from fourth_author import Request, moment
from test_thirteenth_author import customers
from thirteenth_provider import NEVER, NEW_MODEL, OLD, USUAL

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

PLACES = CloudPlaces(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in sixteenth.OPERATIONS}
TEAMS = {team.kind: team for team in sixteenth.TEAMS}


def a_campaign(style: str):
    return compose_campaign(fifteenth, sixteenth.SIXTEENTH, PLANS[style], PLACES, customers())


def a_group(kind: str, number: int = 0):
    return compose_group(fifteenth, sixteenth.garden_rows, TEAMS[kind], number, PLACES, customers())


def an_account(**state: object):
    product = replace(provider.PUBLIC.products[0], accounts=1)
    world = Honest(provider.GardenLog(1))
    one = crowd(np.random.default_rng(3), product, 0, world, PLACES, provider.PUBLIC)[0]
    one.state = {"changes": [], "late": NEVER, **state}
    return one


def model_of(one, when: float) -> str:
    log = provider.GardenLog(1)
    log.add(np.random.default_rng(2), one, when, [Request("Which tide is next?")])
    return log.rows[0]["model"]


@pytest.mark.parametrize("kind", TEAMS)
def test_a_group_works_within_its_days_as_its_rule_says(kind) -> None:
    for number in range(min(TEAMS[kind].groups, 4)):
        accounts, rows = a_group(kind, number)
        check_group(TEAMS[kind], number, accounts, rows, ["{text}", "{n}", "{ask}", "{shop}"])


@pytest.mark.parametrize("plan", sixteenth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = a_campaign(plan.style)
    check_campaign(plan, accounts, rows)
    assert all(one.start < one.end <= plan.end for one in accounts)


def test_campaigns_register_as_their_rules_say() -> None:
    bought, _ = a_campaign("harness_relay")
    assert all(one.created <= moment(-60) for one in bought)
    same_day, _ = a_campaign("start_up_clone")
    assert len({one.created.date() for one in same_day}) <= 2
    batches, _ = a_campaign("many_pathways")
    assert 1 < len({one.created.date() for one in batches}) < len(batches)


def test_bans_and_pauses_are_those_of_the_rules() -> None:
    for style, number in (("fixed_prompt", 26), ("synchronised", 10), ("steady_fleet", 9)):
        accounts, rows = a_campaign(style)
        assert sum(one.state.get("ban", (0, 0))[1] == NEVER for one in accounts) == number
        first, last = sixteenth.SIXTEENTH.pauses.get(PLANS[style].campaign, (0, 0))
        assert not any(first < when < last - 0.05 and one.end > last + 0.1 for one, when, _ in rows)


def test_a_maker_launches_retires_and_loses_settings_on_its_days() -> None:
    moves = [(9.0, {"model": NEW_MODEL})]
    for maker, before, after in (("halden", 8.9, 9.1), ("orsay", 19.7, 19.9)):
        one = an_account(maker=maker, changes=moves)
        one.settings = replace(one.settings, model=USUAL)
        assert model_of(one, before) == provider.MAKERS[maker].models[USUAL]
        assert model_of(one, after) == provider.MAKERS[maker].models[NEW_MODEL]
    assert model_of(an_account(maker="miro", changes=moves), 27.0) in provider.MAKERS["miro"].models.values()
    old = an_account(maker="tanso")
    old.settings = replace(old.settings, model=OLD)
    assert (model_of(old, 22.0), model_of(old, 23.0)) == ("tanso-v3", "tanso-v4-lite")
    later = an_account(maker="orsay", maker_later=(17.0, "kestrel"))
    assert model_of(later, 16.0).startswith("orsay")
    assert model_of(later, 18.0).startswith("kestrel")


def test_a_company_signs_a_contract_before_its_keys_are_made() -> None:
    keys = [
        one
        for company in found_companies(np.random.default_rng(2), PLACES, provider.PUBLIC)
        for one in company.keys
    ]
    kinds = Counter(one.kind for one in keys)
    assert {kind: kinds[kind] for kind in provider.DESKS} == {
        kind: number for kind, (number, _, _) in provider.DESKS.items()
    }
    provider.register(np.random.default_rng(1), keys)
    assert all(one.created <= moment(one.start) for one in keys)
    assert all(moment(-902) < one.created for one in keys)


def test_every_software_lives_within_the_log_and_carries_its_person() -> None:
    rng, own = np.random.default_rng(1), next(sessions()) * 4
    for product in provider.PUBLIC.products:
        accounts = crowd(
            rng, replace(product, accounts=8), 0, Honest(provider.GardenLog(1)), PLACES, provider.PUBLIC
        )
        assert all(0 <= one.start < one.end <= provider.DAYS for one in accounts)
        assert all(one.created <= moment(one.start) for one in accounts)
        assert own


def test_the_shapes_are_those_of_the_rules() -> None:
    check_shapes(sixteenth, provider.PUBLIC, "y")
