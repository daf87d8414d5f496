"""The fifteenth author's world: its parts, without the texts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import fifteenth_author as fifteenth
import fifteenth_provider as provider
from author_world import (
    SameDialogues,
    check_campaign,
    check_group,
    check_nameless,
    check_rules,
    compose_campaign,
    owners,
    sessions,
)
from fifth_author import Honest
from fourth_author import moment
from test_thirteenth_author import customers
from thirteenth_provider import NEVER

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

PLACES = provider.CloudPlaces(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in fifteenth.OPERATIONS}
PEOPLE = (*provider.PRODUCTS, provider.EVAL_PERSON)


def a_campaign(style: str):
    return compose_campaign(fifteenth, fifteenth.FIFTEENTH, PLANS[style], PLACES, customers())


@pytest.mark.parametrize("product", PEOPLE, ids=[f"{one.kind}-{at}" for at, one in enumerate(PEOPLE)])
def test_every_software_lives_within_the_log_and_carries_its_person(product) -> None:
    rng = np.random.default_rng(1)
    world = Honest(provider.FortnightLog(1))
    accounts = provider.crowd(rng, replace(product, accounts=40), 0, world, PLACES)
    assert all(0 <= one.start < one.end <= provider.DAYS for one in accounts)
    assert all(one.created <= moment(one.start) for one in accounts)
    own, rows = next(sessions()) * 4, []
    for one in accounts:
        rows += provider.rows_of(rng, product, one, provider.times_of(rng, one, 3), own)
    prompts = [request.prompt for _, _, unit in rows for request in unit]
    assert any("rivets hold the hull" in prompt for prompt in prompts)
    for word in ("{ask}", "{text}", "{card}", "{to}", "{job}", "{}"):
        assert not any(
            word in f"{request.prompt} {request.system}" for _, _, unit in rows for request in unit
        )


def test_a_chat_front_end_asks_for_titles_in_its_own_words() -> None:
    rng, product = np.random.default_rng(3), provider.BY_KIND["chat_open_webui"]
    one = provider.crowd(rng, replace(product, accounts=1), 0, Honest(provider.FortnightLog(1)), PLACES)[0]
    rows = provider.rows_of(rng, product, one, [1.0, 2.0], next(sessions()))
    titles = [unit for _, _, unit in rows if "word title with an emoji" in unit[0].prompt]
    assert len(titles) == 2


def test_companies_hold_all_keys() -> None:
    companies = provider.found_companies(np.random.default_rng(2), PLACES)
    kinds = Counter(one.kind for company in companies for one in company.keys)
    assert kinds["firm_code"] == 200
    assert {kind: kinds[kind] for kind in provider.DESKS} == {
        kind: number for kind, (number, _, _) in provider.DESKS.items()
    }
    assert all(len({one.payment for one in company.keys}) == 1 for company in companies)


@pytest.mark.parametrize("team", fifteenth.TEAMS, ids=lambda team: team.kind)
def test_a_group_works_within_its_days_as_its_rule_says(team) -> None:
    for number in range(min(team.groups, 5)):
        rng = np.random.default_rng(7)
        accounts = fifteenth.team_accounts(rng, team, number, PLACES)
        texts = SameDialogues(), owners(), customers(), ()
        check_group(team, number, accounts, fifteenth.group_rows(rng, team, number, accounts, *texts), [])


@pytest.mark.parametrize("plan", fifteenth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = a_campaign(plan.style)
    check_campaign(plan, accounts, rows)
    check_nameless(plan, accounts)
    assert all(one.start < one.end <= plan.end for one in accounts)


def test_bans_and_pauses_are_those_of_the_rules() -> None:
    for style, number in (("fixed_prompt", 24), ("synchronised", 12), ("steady_fleet", 8)):
        accounts, rows = a_campaign(style)
        assert sum(one.state.get("ban", (0, 0))[1] == NEVER for one in accounts) == number
        first, last = fifteenth.PAUSES.get(PLANS[style].campaign, (0, 0))
        assert not any(first < when < last - 0.05 and one.end > last + 0.1 for one, when, _ in rows)
    accounts, _ = a_campaign("proxy_fleet")
    assert 10 < sum("ban" in one.state for one in accounts) < 60
    assert 10 < sum(one.start > 0 for one in accounts) < 80


def test_the_shapes_are_those_of_the_rules() -> None:
    numbers = Counter[str]()
    for product in PEOPLE:
        family = "_".join(product.kind.split("_")[: 1 if product.kind.startswith("automation") else 2])
        numbers["chat_front" if product.kind.startswith("chat_") else family] += product.accounts
    check_rules(fifteenth, "x", numbers)
    assert sum(plan.count for plan in fifteenth.OPERATIONS) < 0.055 * 150000
