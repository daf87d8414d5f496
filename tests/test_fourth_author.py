"""The fourth author's world: its parts, without the corpora."""

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

import fourth_author as fourth
import selves

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change


def account(name: str, **changes: object) -> fourth.Account:
    one = fourth.new_account(
        np.random.default_rng(3),
        name,
        "commit_hook",
        fourth.Settings("sable-2", 0.2, 120, False),
        "hook/1",
        90,
    )
    one.created, one.start = fourth.moment(-30), 0.0
    for key, value in changes.items():
        setattr(one, key, value)
    return one


@pytest.mark.parametrize(("start", "end"), [(0.0, 14.0), (5.2, 6.1), (13.4, 14.0)])
def test_an_account_acts_within_its_days_only(start: float, end: float) -> None:
    one = account("a", start=start, end=end)
    times = fourth.schedule(np.random.default_rng(1), one, 200)
    assert len(times) == 200
    assert (times > start).all()
    assert (times < end).all()
    assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize("product", fourth.PRODUCTS, ids=lambda product: product.kind)
def test_every_product_carries_the_text_of_its_person(product: fourth.Product) -> None:
    rng = np.random.default_rng(2)
    one = account("a", state={"house": "Nord"})
    prompts = [
        request.prompt
        for _ in range(40)
        for request in product.render(rng, one, "zebrafish cross the weir at night", "src/weir.c")
    ]
    assert any("zebra" in prompt for prompt in prompts)
    assert all(prompts)


def test_contested_requests_are_all_different() -> None:
    requests = fourth.contested(np.random.default_rng(1), 300)
    assert len(set(requests)) == len(requests) == 300


def test_a_sticky_campaign_deals_topics_to_homes() -> None:
    plan = next(plan for plan in fourth.PLANS if plan.style == "sticky_evolver")
    free = fourth.Plan("x", "other", plan.accounts, plan.share, plan.start, plan.days)
    accounts = [account(f"s{at}", start=7.3, end=12.0) for at in range(plan.accounts)]
    themes = (
        "river boat paddle",
        "oven bread yeast",
        "violin bow string",
        "router cable packet",
        "bee hive wax",
    )
    units = [[fourth.Request(f"{themes[at % 5]} {themes[at % 5]} number {at}")] for at in range(400)]

    def clinging(how: fourth.Plan) -> float:
        dealt = fourth.deal_units(np.random.default_rng(4), how, accounts, units)
        assert len(dealt) == len(units)
        within, across = selves.cling(
            [unit[0].prompt for _, _, unit in dealt], [one.name for one, _, _ in dealt], ["x"] * len(dealt)
        )
        return within - across

    assert clinging(plan) > clinging(free) + 0.05


def test_what_fails_comes_back_where_the_rules_say() -> None:
    rng = np.random.default_rng(5)
    people = [account(f"p{at}") for at in range(20)]
    pool = [account(f"c{at}", kind="campaign", campaign="x") for at in range(20)]
    log = fourth.Log(1)
    for at in range(2000):
        log.add(rng, people[at % 20], at / 150, [fourth.Request(f"honest {at}")])
        log.add(rng, pool[at % 20], at / 150, [fourth.Request(f"pool {at}")], "x")
    before = len(log.rows)
    accounts = {one.name: one for one in (*people, *pool)}
    names = {"commit_hook": [one.name for one in people], "x": [one.name for one in pool]}
    counts = fourth.fail_and_retry(log, accounts, names, {})
    failed = {row["prompt"]: row for row in log.rows[:before] if row["status"] != 200}
    again = log.rows[before:]
    assert 0.01 < len(failed) / before < 0.04
    for row in again:
        first = failed[row["prompt"]]
        assert timedelta(0) < row["time"] - first["time"] <= timedelta(minutes=20)
        assert row["status"] == 200
        assert (row["exchange_id"] in log.labels) == row["prompt"].startswith("pool")
    assert counts["campaign, another account"] > 2 * counts["campaign, own account"]
    assert counts["honest, own account"] > 10 * counts["honest, another account"]


def test_nobody_speaks_in_two_accounts_but_declared_pairs() -> None:
    people = [
        selves.Person(f"p{at}", "made", [f"text {n}" for n in range(40)], ["a/b.c"]) for at in range(150)
    ]
    wanted = {f"a{at}": ("shell_helper", 10) for at in range(120)}
    texts, report = fourth.people_of(np.random.default_rng(1), wanted, people)
    assert len(texts) == len(report) == 120
    persons = [row["person"] for row in report]
    assert len(persons) - len(set(persons)) == 2  # a0 with a1, a100 with a101
    first, second = (next(row["texts"] for row in report if row["account"] == name) for name in ("a0", "a1"))
    assert not set(first) & set(second)
