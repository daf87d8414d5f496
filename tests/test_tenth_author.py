"""The tenth author's world: its parts, without the texts."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

import tenth_author as tenth
from author_world import (
    Same,
    check_campaign,
    check_group,
    check_honest_traffic,
    check_nameless,
    owners,
    sessions,
)
from fifth_author import Honest
from fourth_author import Account, moment
from seventh_author import units_of

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

NETS = tenth.Networks.drawn(np.random.default_rng(4))
BY_KIND = {group.kind: group for group in tenth.GROUPS}


def a_group(kind: str, number: int = 0):
    """The members of a group, and what they send in order of time."""
    rng, group = np.random.default_rng(7), BY_KIND[kind]
    accounts = tenth.group_accounts(rng, group, number, NETS)
    rows = tenth.group_rows(rng, group, number, accounts, Same(), owners(30))
    return accounts, sorted(rows, key=lambda row: row[1])


@pytest.mark.parametrize(
    "product", tenth.PRODUCTS, ids=[f"{one.kind}-{n}" for n, one in enumerate(tenth.PRODUCTS)]
)
def test_every_product_lives_within_the_log_and_carries_its_person(product) -> None:
    rng = np.random.default_rng(1)
    accounts = tenth.crowd(rng, product, 0, Honest(tenth.OpalLog(1)), NETS)
    for one in accounts:
        assert 0 <= one.start < one.end <= tenth.DAYS
        assert one.created <= moment(one.start)
    one = accounts[0]
    units = units_of(rng, product, one, tenth.times_of(rng, one, 3), next(sessions()))
    assert any("rivets hold the hull" in request.prompt for unit in units for request in unit)
    assert all("{" not in (request.system or "") for unit in units for request in unit)


def test_companies_share_a_domain_and_mostly_a_card() -> None:
    rng = np.random.default_rng(2)
    crowds = [
        (product, tenth.crowd(rng, product, at, Honest(tenth.OpalLog(1)), NETS))
        for at, product in enumerate(tenth.PRODUCTS)
    ]
    everybody = [one for _, accounts in crowds for one in accounts]
    tenth.seat_companies(rng, crowds)
    companies: dict[str, list[Account]] = defaultdict(list)
    for one in everybody:
        if "pool" in one.state:
            companies[one.state["pool"]].append(one)
    seats = sum(map(len, companies.values()))
    assert 0.15 < seats / sum(one.kind in tenth.WORK for one in everybody) < 0.25
    assert all(len({one.email_domain for one in staff}) == 1 for staff in companies.values())
    assert max(map(len, companies.values())) <= 60
    large = [staff for staff in companies.values() if len(staff) > 1]
    one_card = sum(len({one.payment for one in staff}) == 1 for staff in large)
    assert 0.5 < one_card / len(large) < 0.9


@pytest.mark.parametrize("group", tenth.GROUPS, ids=lambda group: group.kind)
def test_a_group_works_within_its_days_as_its_rule_says(group) -> None:
    for number in range(group.groups):
        accounts, rows = a_group(group.kind, number)
        check_group(group, number, accounts, rows, ["{text}", "{language}"])
        if "voucher" in group.pays:
            assert len({one.payment for one in accounts if (one.payment or "").startswith("voucher_")}) == 1
        if group.pays.get("nothing") == 1:
            assert {one.payment for one in accounts} == {None}


def test_one_volunteer_is_on_duty_at_a_time() -> None:
    _, rows = a_group("helpline_roster")
    on_duty = defaultdict(set)
    for one, when, _ in rows:
        on_duty[int(when * 4)].add(one.name)
    assert max(map(len, on_duty.values())) == 1
    assert len(set.union(*on_duty.values())) > 5


def test_keys_of_a_ring_take_strict_turns() -> None:
    accounts, rows = a_group("mod_keyring")
    order = [accounts.index(one) for one, _, _ in rows]
    assert all((second - first) % len(accounts) == 1 for first, second in pairwise(order))


def test_shops_of_a_contractor_have_their_own_texts_card_and_organisation() -> None:
    accounts, rows = a_group("contractor_keys")
    words = defaultdict(set)
    for one, _, unit in rows:
        words[one.name].add(unit[0].prompt.split("own text ")[1].split(" ")[0])
    assert all(len(shop) == 1 for shop in words.values())
    assert len({one.payment for one in accounts}) == len({one.org for one in accounts}) == len(accounts)
    assert len({one.addresses[0] for one in accounts}) == 1


def test_two_markers_see_each_script() -> None:
    _, rows = a_group("exam_markers")
    markers = defaultdict(list)
    for one, _, unit in rows:
        markers[unit[0].prompt].append(one.name)
    assert all(len(who) == len(set(who)) == 2 for who in markers.values())


def an_operation(rng: np.random.Generator, plan):
    """A campaign's accounts, and what they send."""
    accounts = tenth.operation_accounts(rng, plan, NETS)
    return accounts, tenth.operation_rows(rng, plan, accounts, Same(), owners(30))


@pytest.mark.parametrize("plan", tenth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = an_operation(np.random.default_rng(5), plan)
    check_campaign(plan, accounts, rows, share=(0.9, 1.1), hole="{")
    check_nameless(plan, accounts)


def test_a_relay_race_has_one_runner_at_a_time() -> None:
    (plan,) = (one for one in tenth.OPERATIONS if one.style == "relay_race")
    accounts = tenth.operation_accounts(np.random.default_rng(5), plan, NETS)
    assert all(one.end < other.start for one, other in pairwise(accounts))


def test_the_shapes_are_those_of_the_rules() -> None:
    assert len(tenth.GROUPS) == 12
    assert all(1 <= group.groups <= 3 for group in tenth.GROUPS)
    assert 14 <= len(tenth.OPERATIONS) <= 18
    assert all(3 <= plan.accounts <= 60 for plan in tenth.OPERATIONS)
    for kind in (*tenth.BY_KIND, *BY_KIND):
        assert kind in tenth.RULES
    for plan in tenth.OPERATIONS:
        assert f"| {plan.campaign} | {plan.style} |" in tenth.RULES
        assert f"| {plan.count:,} |" in tenth.RULES


def test_honest_traffic_is_the_same_with_and_without_campaigns(tmp_path) -> None:
    def compose(rng, world) -> None:
        tenth.compose_groups(rng, world, Same(), owners(30), NETS)

    check_honest_traffic(tenth, tenth.OpalLog, compose, an_operation, tenth.OPERATIONS, tmp_path)
