"""The seventh author's world: its parts, without the texts."""

import numpy as np
import pytest

import seventh_author as seventh
from author_world import Same, sessions
from fifth_author import Honest

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change


@pytest.mark.parametrize("product", seventh.PRODUCTS, ids=lambda product: product.kind)
def test_every_product_carries_the_texts_of_its_person_and_one_release(product) -> None:
    rng = np.random.default_rng(1)
    (one, *_) = seventh.crowd(rng, product, Honest(seventh.QuillLog(1)))
    pieces = next(sessions())
    units = seventh.units_of(rng, product, one, [one.start + 0.1, one.start + 0.2], pieces)
    prompts = [request.prompt for unit in units for request in unit]
    assert any("rivets hold the hull" in prompt for prompt in prompts)
    assert all("{" not in (request.system or "") for unit in units for request in unit)


def test_an_update_changes_a_limit_only_for_those_who_kept_it() -> None:
    accounts = seventh.crowd(
        np.random.default_rng(2), seventh.BY_KIND["home_voice"], Honest(seventh.QuillLog(1))
    )
    updated = [one for one in accounts if "late" in one.state]
    assert 0.5 < len(updated) / len(accounts) < 0.85
    for one in updated:
        new = {name for _, fields in one.state["changes"] for name in fields}
        assert ("max_tokens" in new) == (one.settings.max_tokens == 150)


@pytest.mark.parametrize("plan", seventh.PLANS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan, monkeypatch) -> None:
    monkeypatch.setattr(seventh.selves, "cluster", lambda vectors, count, rng: np.arange(200) % count)
    monkeypatch.setattr(seventh.selves, "tfidf", lambda texts: texts)
    rng = np.random.default_rng(3)
    accounts = seventh.campaign_accounts(rng, plan)
    rows = seventh.campaign_rows(rng, plan, accounts, 200, Same(), sessions())
    units = sum(len(unit) for _, _, unit in rows)
    assert 100 <= units <= 210
    assert all(plan.start <= when <= plan.end for _, when, _ in rows)
    assert {one.name for one, _, _ in rows} <= {one.name for one in accounts}
    assert all(unit and "{}" not in unit[0].prompt for _, _, unit in rows)


def test_each_pair_of_preferences_is_asked_at_two_accounts() -> None:
    plan = next(plan for plan in seventh.PLANS if plan.style == "preference_pairs")
    rng = np.random.default_rng(4)
    rows = seventh.campaign_rows(rng, plan, seventh.campaign_accounts(rng, plan), 100, Same(), sessions())
    bearers: dict[str, set[str]] = {}
    for one, _, unit in rows:
        bearers.setdefault(unit[0].prompt, set()).add(one.name)
    assert len(bearers) == 50
    assert all(len(names) == 2 for names in bearers.values())


def test_the_shapes_are_those_of_the_rules() -> None:
    sizes = [plan.accounts for plan in seventh.PLANS]
    assert len(sizes) == 14
    assert min(sizes) == 3
    assert max(sizes) == 80
    assert sum(size <= 6 for size in sizes) == 5
    assert all(0.0005 <= plan.share <= 0.012 for plan in seventh.PLANS)
    for plan in seventh.PLANS:
        assert f"| {plan.campaign} |" in seventh.RULES
