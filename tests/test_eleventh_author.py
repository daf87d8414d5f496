"""The eleventh author's world: its parts, without the texts."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from test_eighth_author import Same, sessions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import eleventh_author as eleventh
from fifth_author import Honest
from fourth_author import Account, moment
from selves import Person

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

NETS = eleventh.SharedNetworks.drawn(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in eleventh.OPERATIONS}


class SameTalks(Same):
    """Texts that say only which one they are, and talks of one line."""

    def take(self, name: str, count: int) -> list:
        texts = super().take(name, count)
        return [[(text, "an answer")] for text in texts] if name == "talks" else texts


def owners() -> Iterator[Person]:
    at = 0
    while True:
        at += 1
        yield Person(f"p{at}", "git", [f"own text {at} {n}" for n in range(120)])


def an_extraction(style: str):
    """A campaign's accounts, and what they send."""
    rng = np.random.default_rng(5)
    accounts = eleventh.extraction_accounts(rng, PLANS[style], NETS)
    return accounts, eleventh.extraction_rows(rng, PLANS[style], accounts, SameTalks(), owners(), sessions())


@pytest.mark.parametrize(
    "product", eleventh.PRODUCTS, ids=[f"{one.kind}-{n}" for n, one in enumerate(eleventh.PRODUCTS)]
)
def test_every_product_lives_within_the_log_and_carries_its_person(product) -> None:
    rng = np.random.default_rng(1)
    accounts = eleventh.crowd(rng, product, 0, Honest(eleventh.TarnLog(1)), NETS)
    assert all(0 <= one.start < one.end <= eleventh.DAYS for one in accounts)
    assert all(one.created <= moment(one.start) for one in accounts)
    one = accounts[0]
    units = eleventh.units_of(rng, product, one, eleventh.times_of(rng, one, 3), next(sessions()))
    assert any("rivets hold the hull" in request.prompt for unit in units for request in unit)
    assert all("{" not in (request.system or "") for unit in units for request in unit)


@pytest.mark.parametrize("team", eleventh.TEAMS, ids=lambda team: team.kind)
def test_a_team_works_within_its_days_as_its_rule_says(team) -> None:
    for number in range(team.groups):
        rng = np.random.default_rng(7)
        accounts = eleventh.team_accounts(rng, team, number, NETS)
        rows = eleventh.team_rows(rng, team, number, accounts, SameTalks(), owners())
        first, last = team.days[number % len(team.days)]
        assert team.size[0] <= len(accounts) <= team.size[1]
        assert rows
        assert all(first <= when <= last for _, when, _ in rows)
        assert all(one.created <= moment(one.start) for one in accounts)
        assert all(request.prompt and "{" not in request.prompt for _, _, unit in rows for request in unit)
        if team.pays == ({"invoice": 1},):
            assert {one.payment for one in accounts} == {None}


@pytest.mark.parametrize("plan", eleventh.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = an_extraction(plan.style)
    assert 0.97 <= sum(len(unit) for _, _, unit in rows) / plan.count <= 1.03
    assert all(plan.start <= when <= plan.end for _, when, _ in rows)
    assert all(request.prompt and "{" not in request.prompt for _, _, unit in rows for request in unit)
    assert len(accounts) == plan.accounts + 15 * (plan.style == "trace_farm")
    assert all(one.created < moment(one.start) for one in accounts)
    for one in accounts:
        names = (one.name, one.org or "", one.payment or "", one.email_domain)
        assert not any(plan.campaign in name.split("_") or "camp" in name for name in names)


@pytest.mark.slow
def test_campaigns_hide_as_their_rules_say() -> None:
    accounts, _ = an_extraction("half_office")
    sites = defaultdict(int)
    for one in accounts:
        sites[tuple(one.addresses)] += 1
    assert max(sites.values()) >= 10
    _, rows = an_extraction("early_start")
    early = defaultdict(int)
    for one, when, _ in rows:
        early[one.name] += when < 3
    assert min(early.values()) >= 2
    _, rows = an_extraction("paraphrase_pool")
    leads = [unit[0].prompt for _, _, unit in rows]
    assert len(set(leads)) == len(leads)
    _, rows = an_extraction("small_cells")
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
    for plan in eleventh.OPERATIONS:
        (rule,) = [
            line
            for line in eleventh.RULES.split("\n")
            if line.startswith(f"| {plan.campaign} | {plan.style} |")
        ]
        assert f"| {plan.accounts} |" in rule
        assert f"| {plan.count:,} |" in rule


def test_honest_traffic_is_the_same_with_and_without_campaigns(tmp_path) -> None:
    worlds = []
    for plans in ((), eleventh.OPERATIONS[::4]):
        rng = np.random.default_rng(8)
        world = Honest(eleventh.TarnLog(8))
        eleventh.compose_teams(rng, world, SameTalks(), owners(), NETS)
        world.people.append({"person": "nobody"})
        campaigns: list[Account] = []
        for plan in plans:
            accounts = eleventh.extraction_accounts(rng, plan, NETS)
            for one, when, unit in eleventh.extraction_rows(
                rng, plan, accounts, SameTalks(), owners(), sessions()
            ):
                world.log.add(rng, one, when, unit, plan.campaign)
            campaigns += accounts
        eleventh.finish(tmp_path / f"{len(plans)}", world, campaigns, world.log, 8)
        taken = {one.name for one in campaigns}
        worlds.append([row for row in world.log.rows if row["account"] not in taken])
        assert all(
            (row["account"] in taken) == (row["exchange_id"] in world.log.labels) for row in world.log.rows
        )
    assert worlds[0] == worlds[1]
