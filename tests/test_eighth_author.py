"""The eighth author's world: its parts, without the texts."""

from collections import Counter

import numpy as np
import pytest

import eighth_author as eighth
import eighth_provider as provider
import seventh_author as seventh
from author_world import Same, check_campaign, check_honest_traffic, sessions
from fifth_author import Honest
from fourth_author import DAYS, Account, Request, Settings, moment, new_account

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change


def a_campaign(rng: np.random.Generator, plan):
    """A campaign's accounts, and what they send."""
    accounts = eighth.campaign_accounts(rng, plan)
    return accounts, eighth.campaign_rows(rng, plan, accounts, Same(), sessions())


def a_group(count: int, kind: str = "queue_workers", group: str = "one") -> list[Account]:
    rng = np.random.default_rng(5)
    accounts = [
        new_account(rng, f"{kind} {group} {at}", kind, Settings("vesper-3", 0.0, 100, False), "test/1", 9)
        for at in range(count)
    ]
    for one in accounts:
        one.start, one.end, one.tier, one.state["pool"] = 0.0, DAYS, "scale", group
    return accounts


def a_log(accounts: list[Account], each: int, gap: float = 0.05) -> provider.VesperLog:
    log, rng = provider.VesperLog(1), np.random.default_rng(6)
    for who, one in enumerate(accounts):
        for at in range(each):
            log.add(rng, one, 0.1 + at * gap + who * 1e-4, [Request(f"work {who} {at} of {one.name}")])
    return log


def refused(log: provider.VesperLog, accounts: list[Account], reaction: provider.Reaction):
    names = {one.name: one for one in accounts}
    return provider.refuse(log, names, dict.fromkeys(names, ("one", reaction)))


@pytest.mark.parametrize("product", eighth.PRODUCTS, ids=lambda product: product.kind)
def test_every_product_carries_the_texts_of_its_person(product) -> None:
    rng = np.random.default_rng(1)
    (one, *_) = eighth.crowd(rng, product, Honest(eighth.VesperLog(1)))
    units = seventh.units_of(rng, product, one, [one.start + 0.1, one.start + 0.2], next(sessions()))
    assert any("rivets hold the hull" in request.prompt for unit in units for request in unit)
    assert all("{" not in (request.system or "") for unit in units for request in unit)
    assert one.settings.model.startswith("vesper")


@pytest.mark.parametrize("crew", eighth.CREWS, ids=lambda crew: crew.kind)
def test_a_crew_sends_about_what_its_rule_says_within_its_days(crew) -> None:
    rng = np.random.default_rng(2)
    accounts = eighth.crew_accounts(rng, crew, 0)
    rows = eighth.crew_rows(rng, crew, 0, accounts, Same(), ["common task"] * 5, sessions())
    texts = sum(len(unit) for _, _, unit in rows)
    assert 0.4 <= texts / len(accounts) / crew.each <= 2.1
    assert all(crew.days[0] <= when <= crew.days[1] for _, when, _ in rows)
    assert {one.name for one, _, _ in rows} <= {one.name for one in accounts}
    assert all("{" not in request.prompt for _, _, unit in rows for request in unit)
    cards = {one.payment for one in accounts}
    if crew.card in (0, 1):
        assert len(cards) == (1 if crew.card else len(accounts))


@pytest.mark.parametrize("plan", eighth.PLANS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = a_campaign(np.random.default_rng(3), plan)
    check_campaign(plan, accounts, rows, share=(0.8, 1.2), more_accounts=plan.successors)


def test_a_group_that_never_reacts_leaves_its_refused_work() -> None:
    accounts = a_group(3)
    log = a_log(accounts, 200)
    done = refused(log, accounts, provider.Reaction(0, 0.0, own=0.0))["queue_workers"]
    assert len(log.rows) == 600
    assert done["refused"] == done["given up"] > 0


def test_work_that_is_handed_on_reaches_another_account_in_the_same_words() -> None:
    accounts = a_group(3)
    log = a_log(accounts, 200)
    done = refused(log, accounts, provider.Reaction(0, 1.0, 0.5))["queue_workers"]
    senders: dict[str, set[str]] = {}
    for row in log.rows:
        senders.setdefault(row["prompt"], set()).add(row["account"])
    assert done["at another account"] > 0
    assert all(len(senders[row["prompt"]]) > 1 for row in log.rows if row["status"] != 200)


def test_a_free_account_may_ask_three_times_a_minute() -> None:
    accounts = a_group(1)
    accounts[0].tier = "free"
    log = a_log(accounts, 40, gap=1 / 86400)
    refused(log, accounts, provider.Reaction(0, 0.0, own=0.0))
    assert Counter(row["status"] for row in log.rows)[429] >= 30


def test_a_banned_account_falls_silent_and_its_work_goes_on_elsewhere() -> None:
    accounts = a_group(3)
    accounts[0].state["ban"] = (2.0, DAYS)
    log = a_log(accounts, 200)
    done = refused(log, accounts, provider.Reaction(0, 0.0, own=0.0, heirs=1.0))["queue_workers"]
    late = [row for row in log.rows if row["account"] == accounts[0].name and row["time"] > moment(2.0)]
    assert 1 <= len(late) <= 6
    assert {row["status"] for row in late} == {403}
    assert done["elsewhere after a ban"] > 100


@pytest.mark.slow
def test_who_comes_back_after_a_ban_has_a_new_account_later() -> None:
    world = Honest(eighth.VesperLog(1), a_group(3000, "chat_jan", ""))
    for one in world.accounts:
        one.tier = "payg"
    eighth.ban_in_error(np.random.default_rng(7), world)
    new = world.accounts[3000:]
    assert 0.006 < sum("ban" in one.state for one in world.accounts) / 3000 < 0.02
    assert new
    assert all(one.start > min(eighth.BAN_WAVES) and one.created < moment(one.start) for one in new)


def test_the_shapes_are_those_of_the_rules() -> None:
    sizes = [plan.accounts for plan in eighth.PLANS]
    assert len(sizes) == 14
    assert max(sizes) == 60
    assert all(100 <= plan.count <= 1200 for plan in eighth.PLANS)
    for plan in eighth.PLANS:
        assert f"| {plan.campaign} |" in eighth.RULES
    for crew in eighth.CREWS:
        assert f"| {crew.kind} |" in eighth.RULES


def test_honest_traffic_is_the_same_with_and_without_campaigns(tmp_path) -> None:
    def compose(rng, world) -> None:
        eighth.compose_crews(rng, world, Same(), sessions())
        eighth.ban_in_error(rng, world)

    check_honest_traffic(eighth, eighth.VesperLog, compose, a_campaign, eighth.PLANS, tmp_path)
    table = list(eighth.count_kinds(tmp_path / "14"))
    assert len(table) == len(eighth.CREWS) + 14
