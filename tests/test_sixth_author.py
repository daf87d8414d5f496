"""The sixth author's world: its parts, without the texts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import sixth_author as sixth
from fourth_author import Account, Request, Settings, new_account

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change


def account(name: str, kind: str = "clipper", **changes: object) -> Account:
    one = new_account(
        np.random.default_rng(1), name, kind, Settings("tern-3", 0.1, 1500, True), "agent/1", 100
    )
    one.start = 0.0
    return replace(one, state={}, **changes)


@pytest.mark.parametrize("product", sixth.PRODUCTS, ids=lambda product: product.kind)
def test_every_product_carries_the_texts_of_its_person(product: sixth.Product) -> None:
    rng, one = np.random.default_rng(2), account("x")
    one.state["own"] = {name: choices[0] for name, choices in product.own.items()} | {
        "card": "Act as a cook."
    }
    pieces = [("rivets hold the hull", "yard/hull.md"), ("the keel is oak", "yard/keel.md")]
    for late in (False, True):
        unit = sixth.render(rng, product, sixth.words_at(one, 1.0), pieces[: product.parts[1]], late)
        assert "rivets hold the hull" in unit[0].prompt
        assert "{" not in (unit[0].system or "")
        assert product.parts[1] == 1 or "the keel is oak" in unit[1].prompt


def test_an_agent_that_updates_takes_the_wording_and_the_limit_of_each_release() -> None:
    product = sixth.BY_KIND["agent_cli"]
    one, log = account("x"), sixth.TernLog(1)
    one.settings, one.state["own"] = product.settings, {"os": "linux"}
    sixth.adopt_releases(np.random.default_rng(3), one, product, quick=True)
    for day in (1.0, 2.0, 6.0, 11.0):
        log.add(np.random.default_rng(4), one, day, [Request("hello")])
    assert [row["max_tokens"] for row in log.rows] == [16000, 16000, 32000, 32000]
    assert [row["user_agent"] for row in log.rows][1:] == [
        "wrenchline/1.31",
        "wrenchline/1.32",
        "wrenchline/1.33",
    ]
    assert len({sixth.words_at(one, day)["release"] for day in (1.0, 2.0, 6.0, 11.0)}) == 4


@pytest.mark.parametrize("firm", sixth.FIRMS, ids=lambda firm: firm.kind)
def test_each_item_goes_to_as_many_colleagues_as_the_rule_says(firm: sixth.Firm) -> None:
    rng = np.random.default_rng(5)
    accounts = sixth.staff(rng, firm, 0)
    assert all("{text}" in lead for lead in firm.leads)
    shares = sixth.deal(rng, firm, accounts, 200)
    assert set(Counter(int(item) for share in shares for item in share).values()) == {firm.copies}
    assert firm.dealt == "queue" or all(len(share) for share in shares)


def test_times_stay_within_the_life_of_an_account_and_off_its_holidays() -> None:
    rng = np.random.default_rng(6)
    one = account("x", start=5.2, end=13.0, country="IN")
    one.state["at_once"] = True
    times = sixth.times_of(rng, one, 300)
    assert 5.2 < times[0] < 5.31
    assert times[-1] < 13.0
    moved = sixth.without_holidays(rng, one, times)
    assert len(moved) == 300
    assert (moved.astype(int) == 7).sum() < 0.5 * (times.astype(int) == 7).sum()
    assert (moved < 13.0).all()


def test_every_plan_has_its_style_and_no_two_prompts_of_four_hands_are_worded_alike() -> None:
    assert {plan.style for plan in sixth.PLANS} == set(sixth.STYLES)

    class Same:
        def texts(self, name: str, count: int) -> list[str]:
            return ["the task"] * count

    plan = next(plan for plan in sixth.PLANS if plan.style == "four_hands")
    rows = sixth.four_hands(
        np.random.default_rng(7),
        sixth.campaign_accounts(np.random.default_rng(8), plan),
        300,
        Same(),
        iter(()),
    )
    assert len({unit[0].prompt for _, _, unit in rows}) == 300


@pytest.mark.slow
def test_who_asks_again_and_where_is_as_the_rules_say() -> None:
    rng, log = np.random.default_rng(9), sixth.TernLog(1)
    strangers = [account(f"stranger {at}") for at in range(5)]
    lab = [account(f"lab {at}", "lab_harness") for at in range(5)]
    pool = [account(f"pool {at}", "campaign", campaign="h10") for at in range(5)]
    for one in lab:
        one.state["pool"] = "lab_harness 0"
    for one in pool:
        one.state["pool"] = "h10"
    for at in range(36000):
        one = (strangers + lab + pool)[at % 15]
        log.add(rng, one, at / 2800, [Request(f"order {at}")], one.campaign)
    everybody = {one.name: one for one in strangers + lab + pool}
    sixth.failures(log, everybody)
    failed = {row["prompt"]: row["account"] for row in log.rows if row["status"] != 200}
    again = {row["prompt"]: row["account"] for row in log.rows if row["status"] == 200}
    for group, away, none in (
        (strangers, 0.006, 0.25 + 0.6 * 0.25 * 0.25),
        (lab, 0.75, 0.06),
        (pool, 0.9, 0.05),
    ):
        names = {one.name for one in group}
        own = [prompt for prompt, name in failed.items() if name in names]
        assert len(own) > 50
        assert {again[prompt] for prompt in own if prompt in again} <= names
        moved = np.mean([again.get(prompt, failed[prompt]) != failed[prompt] for prompt in own])
        assert moved == pytest.approx(away, abs=0.1)
        assert np.mean([prompt not in again for prompt in own]) == pytest.approx(none, abs=0.1)


def test_paragraphs_are_taken_without_code_headings_and_targets_of_links() -> None:
    text = (
        "---\ntitle: x\n---\n\n# Head\n\n"
        + "A [link](https://example.org) in prose. " * 30
        + "\n\n```\ncode\n```"
    )
    (piece,) = sixth.pieces_of(text)
    assert piece.startswith("A link in prose.")
    assert "example.org" not in piece
    assert "code" not in piece
