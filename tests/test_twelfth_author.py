"""The twelfth author's world: its parts, without the texts."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

import twelfth_author as twelfth
import twelfth_provider as provider
from author_world import (
    SameTalks,
    check_campaign,
    check_campaign_rules,
    check_group,
    check_honest_traffic,
    check_nameless,
    owners,
    sessions,
)
from fifth_author import Honest
from fourth_author import Account, moment

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

NETS = provider.Networks(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in twelfth.OPERATIONS}
EVERYTHING = (*provider.PRODUCTS, *provider.PROJECTS)


def a_firm() -> Account:
    """An honest project whose wording can be copied."""
    one = provider.open_account(
        np.random.default_rng(2), "firm", "proj_extract", provider.PRODUCTS[0].settings, "x/1", 9
    )
    one.state |= {"task": "Extract amount, date. No prose.", "house": "You work for Tile works 4."}
    return one


def an_extraction(rng: np.random.Generator, plan):
    """A campaign's accounts, and what they send."""
    accounts = twelfth.extraction_accounts(rng, plan, NETS)
    return accounts, twelfth.extraction_rows(rng, plan, accounts, SameTalks(), sessions(), [a_firm()])


def one_extraction(style: str):
    return an_extraction(np.random.default_rng(5), PLANS[style])


@pytest.mark.parametrize("product", EVERYTHING, ids=[f"{one.kind}-{at}" for at, one in enumerate(EVERYTHING)])
def test_every_product_lives_within_the_log_and_carries_its_person(product) -> None:
    rng = np.random.default_rng(1)
    accounts = provider.crowd(
        rng, replace(product, accounts=min(60, product.accounts)), 0, Honest(provider.CloudLog(1)), NETS
    )
    assert all(0 <= one.start < one.end <= provider.DAYS for one in accounts)
    assert all(one.created <= moment(one.start) for one in accounts)
    assert all(one.org for one in accounts)
    for one in accounts[:2]:
        units = provider.units_of(rng, product, one, [1.0, 23.9], next(sessions()))
        assert any("rivets hold the hull" in request.prompt for unit in units for request in unit)
        assert not any("{" in (request.system or "") for unit in units for request in unit)


def test_a_vendor_changes_the_wording_of_all_its_customers_and_leaves_their_own_choices() -> None:
    rng, product = np.random.default_rng(1), provider.BY_KIND["mail_pilot"]
    accounts = provider.crowd(rng, product, 0, Honest(provider.CloudLog(1)), NETS)
    for one in accounts:
        ((late, fields),) = one.state["changes"]
        assert 8.35 <= late <= 8.6
        assert ("model" in fields) == (one.settings.model == product.settings.model)
        before, after = provider.units_of(rng, product, one, [8.3, 8.7], next(sessions()))
        assert before[0].prompt.startswith("Draft a reply") != after[0].prompt.startswith("Draft a reply")


@pytest.mark.slow
def test_companies_have_as_many_projects_as_the_rules_say_and_one_tenant_each() -> None:
    tenants = provider.found_tenants(np.random.default_rng(3), NETS)
    kinds = Counter(one.kind for firm in tenants for one in firm.projects)
    wanted = {product.kind: product.accounts for product in provider.PROJECTS}
    assert kinds == wanted | {kind: number for kind, (number, _, _) in provider.STAFFED.items()}
    assert 250 <= len(tenants) <= 420
    for firm in tenants:
        assert len({one.org for one in firm.projects}) == 1
        assert len({one.state["house"] for one in firm.projects}) == 1


@pytest.mark.parametrize("team", twelfth.TEAMS, ids=lambda team: team.kind)
def test_a_group_works_within_its_days_as_its_rule_says(team) -> None:
    for number in range(team.groups):
        rng = np.random.default_rng(7)
        accounts = twelfth.team_accounts(rng, team, number, NETS)
        check_group(
            team, number, accounts, twelfth.team_rows(rng, team, number, accounts, SameTalks(), owners())
        )
        assert (len({one.org for one in accounts}) == 1) == (team.firm[number % len(team.firm)] == "1")
        if team.pays == twelfth.INVOICE:
            assert {one.payment for one in accounts} == {None}


@pytest.mark.parametrize("plan", twelfth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = one_extraction(plan.style)
    check_campaign(plan, accounts, rows, share=(0.97, 1.03))
    check_nameless(plan, accounts)


@pytest.mark.slow
def test_campaigns_do_what_their_rules_say() -> None:
    accounts, rows = one_extraction("second_pool")
    assert sum("ban" in one.state for one in accounts) == 40
    wordings = defaultdict(set)
    for one, _, unit in rows:
        if "Problem:" in unit[0].prompt:
            wordings[one.start > 9].add(unit[0].prompt.split("Problem:")[0])
    assert [len(texts) for texts in wordings.values()] == [1, 1]
    assert wordings[True] != wordings[False]
    accounts, _ = one_extraction("paper_firms")
    assert sorted(Counter(one.org for one in accounts).values()) == [4] * 9
    _, rows = one_extraction("no_two_alike")
    leads = [unit[0].prompt for _, _, unit in rows if unit[0].prompt not in twelfth.TRIALS]
    assert len(set(leads)) == len(leads)
    _, rows = one_extraction("numbers_only")
    assert all(
        not set(unit[0].prompt) & set("abcdefghijklmnopqrstuvw") - set("mod")
        for _, _, unit in rows
        if unit[0].prompt not in twelfth.TRIALS
    )
    _, rows = one_extraction("copied_firm")
    assert sum("Extract amount" in unit[0].prompt for _, _, unit in rows) > 350
    _, rows = one_extraction("nine_hours")
    assert max(when for _, when, _ in rows) - min(when for _, when, _ in rows) < 9 / 24


@pytest.mark.slow
def test_a_log_forgets_as_much_as_its_rule_says_and_the_same_each_time() -> None:
    rng, log = np.random.default_rng(1), provider.CloudLog(1)
    accounts = [
        provider.open_account(rng, f"somebody {at}", "try_once", provider.PRODUCTS[0].settings, "x/1", 9)
        for at in range(800)
    ]
    for at, one in enumerate(accounts):
        one.state |= {"firm": f"firm {at}", "small": True} if at % 2 else {}
        log.add(rng, one, 5.0, [provider.Request("hello")])
    provider.forget(accounts, log)
    first = [dict(row) for row in log.rows]
    for column, alone, firm in (("client_ip", 0.03, 0.09), ("user_agent", 0.04, 0.18), ("prompt", 0, 0.03)):
        for share, rows in ((alone, first[::2]), (firm, first[1::2])):
            assert abs(sum(row[column] is None for row in rows) / 400 - share) < 0.05
    provider.forget(accounts, log)
    assert log.rows == first


def test_two_labs_drop_a_setting() -> None:
    rng, log, one = np.random.default_rng(1), provider.CloudLog(1), a_firm()
    for model in (provider.OPEN, provider.NORDIC, provider.USUAL):
        changed = replace(one, settings=replace(one.settings, model=model, temperature=0.3, max_tokens=99))
        log.add(rng, changed, 5.0, [provider.Request("hello")])
    assert [(row["temperature"], row["max_tokens"]) for row in log.rows] == [
        (None, 99),
        (0.3, None),
        (0.3, 99),
    ]


def test_the_shapes_are_those_of_the_rules() -> None:
    assert [plan.campaign for plan in twelfth.OPERATIONS] == [f"u{at}" for at in range(1, 23)]
    numbers = Counter[str]()
    for product in EVERYTHING:
        numbers[product.kind] += product.accounts
    for kind, number in numbers.items():
        assert f"| {kind} | {number} |" in twelfth.RULES
    for team in twelfth.TEAMS:
        assert f"| {team.kind} | {team.groups} ×" in twelfth.RULES
    check_campaign_rules(twelfth)


def test_honest_traffic_is_the_same_with_and_without_campaigns(tmp_path) -> None:
    def compose(rng, world) -> None:
        twelfth.compose_teams(rng, world, SameTalks(), owners(), NETS)

    check_honest_traffic(
        twelfth, provider.CloudLog, compose, an_extraction, twelfth.OPERATIONS[::4], tmp_path
    )
