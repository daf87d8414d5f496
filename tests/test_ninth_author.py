"""The ninth author's world: its parts, without the texts."""

from collections import Counter

import numpy as np
import pytest

import ninth_author as ninth
import seventh_author as seventh
from author_world import Same, check_campaign, check_honest_traffic, owners, sessions
from fifth_author import Honest
from fourth_author import moment
from selves import Person

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

NETS = ninth.Networks.drawn(np.random.default_rng(4))


@pytest.mark.parametrize("product", ninth.PRODUCTS, ids=lambda product: product.kind)
def test_every_product_lives_within_the_month_and_carries_its_person(product) -> None:
    rng = np.random.default_rng(1)
    accounts = ninth.crowd(rng, product, 0, Honest(ninth.MonthLog(1)), NETS)
    for one in accounts:
        assert 0 <= one.start < one.end <= ninth.MONTH
        assert one.created <= moment(one.start)
    one = accounts[0]
    times = ninth.times_of(rng, one, 3)
    units = seventh.units_of(rng, product, one, times, next(sessions()))
    assert any("rivets hold the hull" in request.prompt for unit in units for request in unit)
    assert all("{" not in (request.system or "") for unit in units for request in unit)


def test_companies_share_a_card_a_domain_and_an_organisation() -> None:
    rng = np.random.default_rng(2)
    crowds = [
        (product, ninth.crowd(rng, product, at, Honest(ninth.MonthLog(1)), NETS))
        for at, product in enumerate(ninth.PRODUCTS)
    ]
    everybody = [one for _, accounts in crowds for one in accounts]
    ninth.found_companies(rng, crowds)
    ninth.settle_payments(rng, everybody)
    staff = [one for one in everybody if one.org]
    assert 0.15 < len(staff) / sum(one.kind in ninth.WORK for one in everybody) < 0.25
    assert len({one.org for one in staff}) == len({one.payment for one in staff}) < len(staff) / 3
    free = [one for one in everybody if one.tier == "free" and not one.org]
    assert 0.7 < sum(one.payment is None for one in free) / len(free) < 0.9
    cards = Counter(one.payment for one in everybody if one.payment and not one.org)
    assert max(cards.values()) == 2
    assert len(everybody) == sum(ninth.NUMBERS.values())


def test_who_runs_daily_keeps_the_minute_within_its_life() -> None:
    rng = np.random.default_rng(3)
    (product,) = (one for one in ninth.PRODUCTS if one.kind == "review_bot")
    (one, *_) = ninth.crowd(rng, product, 0, Honest(ninth.MonthLog(1)), NETS)
    one.start, one.end, one.state["minute"] = 3.0, 20.0, 0.25
    times = ninth.at_the_minute(one, np.sort(rng.uniform(3.1, 19.9, 30)))
    assert np.all((times % 1 >= 0.25) & (times % 1 < 0.28))


def test_nobody_wants_more_texts_than_there_are() -> None:
    rng = np.random.default_rng(4)
    product = ninth.BY_KIND["agent_cline"]
    crowds = [(product, ninth.crowd(rng, product, 0, Honest(ninth.MonthLog(1)), NETS))]
    people = [Person(f"p{at}", "git", ["text"] * (1 + at % 9)) for at in range(900)]
    counts, wanted = ninth.counts_of(rng, crowds, people)
    assert max(need for _, need in wanted.values()) <= 9
    assert all(1 <= count <= 400 for count in counts.values())


def a_campaign(rng: np.random.Generator, plan):
    """A campaign's accounts, and what they send."""
    accounts = ninth.campaign_accounts(rng, plan, NETS)
    return accounts, ninth.campaign_rows(rng, plan, accounts, Same(), sessions(), NETS)


@pytest.mark.parametrize("plan", ninth.PLANS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    rng = np.random.default_rng(5)
    accounts, rows = a_campaign(rng, plan)
    check_campaign(plan, accounts, rows, share=(0.7, 1.2), more_accounts=plan.successors)
    if plan.style in ("company_insiders", "bought_accounts"):
        own = ninth.own_work(rng, accounts, [next(owned) for owned in (owners(20),) for _ in range(18)])
        assert {one.name for one, _, _ in own} == {one.name for one in accounts}
        assert all(when < one.state.get("sold", ninth.MONTH) for one, when, _ in own)


def test_the_shapes_are_those_of_the_rules() -> None:
    assert 14 <= len(ninth.PLANS) <= 16
    assert all(40 <= plan.count <= 1250 for plan in ninth.PLANS)
    for name in (*ninth.NUMBERS, *(crew.kind for crew in ninth.CREWS)):
        assert name in ninth.RULES
    for plan in ninth.PLANS:
        assert f"| {plan.campaign} | {plan.style} |" in ninth.RULES


def test_honest_traffic_is_the_same_with_and_without_campaigns(tmp_path) -> None:
    def compose(rng, world) -> None:
        ninth.compose_crews(rng, world, Same(), sessions())

    check_honest_traffic(ninth, ninth.MonthLog, compose, a_campaign, ninth.PLANS, tmp_path)
