"""The eleventh author's world: its parts, without the texts."""

from collections import defaultdict

import numpy as np
import pytest

import eleventh_author as eleventh
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
from fourth_author import moment
from seventh_author import units_of

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

NETS = eleventh.SharedNetworks.drawn(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in eleventh.OPERATIONS}


def an_extraction(rng: np.random.Generator, plan):
    """A campaign's accounts, and what they send."""
    accounts = eleventh.extraction_accounts(rng, plan, NETS)
    return accounts, eleventh.extraction_rows(rng, plan, accounts, SameTalks(), owners(), sessions())


def one_extraction(style: str):
    return an_extraction(np.random.default_rng(5), PLANS[style])


@pytest.mark.parametrize(
    "product", eleventh.PRODUCTS, ids=[f"{one.kind}-{n}" for n, one in enumerate(eleventh.PRODUCTS)]
)
def test_every_product_lives_within_the_log_and_carries_its_person(product) -> None:
    rng = np.random.default_rng(1)
    accounts = eleventh.crowd(rng, product, 0, Honest(eleventh.TarnLog(1)), NETS)
    assert all(0 <= one.start < one.end <= eleventh.DAYS for one in accounts)
    assert all(one.created <= moment(one.start) for one in accounts)
    one = accounts[0]
    units = units_of(rng, product, one, eleventh.times_of(rng, one, 3), next(sessions()))
    assert any("rivets hold the hull" in request.prompt for unit in units for request in unit)
    assert all("{" not in (request.system or "") for unit in units for request in unit)


@pytest.mark.parametrize("team", eleventh.TEAMS, ids=lambda team: team.kind)
def test_a_team_works_within_its_days_as_its_rule_says(team) -> None:
    for number in range(team.groups):
        rng = np.random.default_rng(7)
        accounts = eleventh.team_accounts(rng, team, number, NETS)
        check_group(
            team, number, accounts, eleventh.team_rows(rng, team, number, accounts, SameTalks(), owners())
        )
        if team.pays == ({"invoice": 1},):
            assert {one.payment for one in accounts} == {None}


@pytest.mark.parametrize("plan", eleventh.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    more = 15 * (plan.style == "trace_farm")
    accounts, rows = one_extraction(plan.style)
    check_campaign(plan, accounts, rows, share=(0.97, 1.03), hole="{", more_accounts=more)
    check_nameless(plan, accounts)


@pytest.mark.slow
def test_campaigns_hide_as_their_rules_say() -> None:
    accounts, _ = one_extraction("half_office")
    sites = defaultdict(int)
    for one in accounts:
        sites[tuple(one.addresses)] += 1
    assert max(sites.values()) >= 10
    _, rows = one_extraction("early_start")
    early = defaultdict(int)
    for one, when, _ in rows:
        early[one.name] += when < 3
    assert min(early.values()) >= 2
    _, rows = one_extraction("paraphrase_pool")
    leads = [unit[0].prompt for _, _, unit in rows]
    assert len(set(leads)) == len(leads)
    _, rows = one_extraction("small_cells")
    templates = defaultdict(set)
    for one, _, unit in rows:
        templates[unit[0].prompt.split(" of ")[-1]].add(one.name)
    assert max(map(len, templates.values())) <= 3


def test_a_log_forgets_as_much_as_its_rule_says_and_the_same_each_time() -> None:
    rng, log = np.random.default_rng(1), eleventh.TarnLog(1)
    accounts = [
        eleventh.open_account(rng, f"somebody {at}", "trial", eleventh.PRODUCTS[0].settings, "x/1", 9)
        for at in range(600)
    ]
    for one in accounts:
        log.add(rng, one, 5.0, [eleventh.Request("hello")])
    eleventh.forget(accounts, log)
    first = [dict(row) for row in log.rows]
    for column, share in (("asn", 0.16), ("client_ip", 0.04), ("user_agent", 0.03)):
        assert abs(sum(row[column] is None for row in first) / 600 - share) < 0.04
    eleventh.forget(accounts, log)
    assert log.rows == first


def test_the_shapes_are_those_of_the_rules() -> None:
    assert [plan.campaign for plan in eleventh.OPERATIONS] == [f"e{at}" for at in range(1, 23)]
    assert all(4 <= plan.accounts <= 60 for plan in eleventh.OPERATIONS)
    assert all(100 <= plan.count <= 8000 for plan in eleventh.OPERATIONS)
    for product in eleventh.PRODUCTS:
        assert product.kind in eleventh.RULES
    for team in eleventh.TEAMS:
        assert f"| {team.kind} | {team.groups} ×" in eleventh.RULES
    check_campaign_rules(eleventh)


def test_honest_traffic_is_the_same_with_and_without_campaigns(tmp_path) -> None:
    def compose(rng, world) -> None:
        eleventh.compose_teams(rng, world, SameTalks(), owners(), NETS)

    check_honest_traffic(
        eleventh, eleventh.TarnLog, compose, an_extraction, eleventh.OPERATIONS[::4], tmp_path
    )
