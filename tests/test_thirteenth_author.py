"""The thirteenth author's world: its parts, without the texts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import thirteenth_author as thirteenth
import thirteenth_provider as provider
import thirteenth_texts as texts
from author_world import SameDialogues, check_campaign, check_group, check_nameless, owners, sessions
from fifth_author import Honest
from fourth_author import moment

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

PLACES = provider.Places(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in thirteenth.OPERATIONS}
EVERYTHING = (*provider.PRODUCTS, *provider.STAFF)


def customers():
    by_language = {language: sessions() for language in provider.LANGUAGES}
    return by_language | {f"{name} single": provider.singles(own) for name, own in by_language.items()}


def an_extraction(style: str):
    """A campaign's accounts, and what they send."""
    rng = np.random.default_rng(5)
    accounts = thirteenth.extraction_accounts(rng, PLANS[style], PLACES)
    return accounts, thirteenth.extraction_rows(rng, PLANS[style], accounts, SameDialogues(), customers())


@pytest.mark.parametrize("product", EVERYTHING, ids=[f"{one.kind}-{at}" for at, one in enumerate(EVERYTHING)])
def test_every_product_lives_within_the_log_and_carries_its_person(product) -> None:
    rng = np.random.default_rng(1)
    accounts = provider.crowd(rng, replace(product, accounts=40), 0, Honest(provider.WrenLog(1)), PLACES)
    assert all(0 <= one.start < one.end <= provider.DAYS for one in accounts)
    assert all(one.created <= moment(one.start) for one in accounts)
    for one in accounts[:2]:
        units = provider.units_of(rng, product, one, [1.0, 20.9], next(sessions()))
        assert any("rivets hold the hull" in request.prompt for unit in units for request in unit)
        assert not any("{" in request.prompt + (request.system or "") for unit in units for request in unit)


def test_companies_have_as_many_keys_as_the_rules_say() -> None:
    companies = provider.found_companies(np.random.default_rng(3), PLACES)
    kinds = Counter(one.kind for company in companies for one in company.keys)
    wanted = {product.kind: product.accounts for product in provider.STAFF}
    assert kinds == wanted | {kind: number for kind, (number, _, _) in provider.DESKS.items()}
    assert all(len({one.org for one in company.keys}) == 1 for company in companies)


@pytest.mark.parametrize("team", thirteenth.TEAMS, ids=lambda team: team.kind)
def test_a_group_works_within_its_days_as_its_rule_says(team) -> None:
    for number in range(team.groups):
        rng = np.random.default_rng(7)
        accounts = thirteenth.team_accounts(rng, team, number, PLACES)
        rows = thirteenth.team_rows(rng, team, number, accounts, SameDialogues(), owners(), customers())
        check_group(team, number, accounts, rows)


@pytest.mark.parametrize("plan", thirteenth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = an_extraction(plan.style)
    check_campaign(plan, accounts, rows)
    check_nameless(plan, accounts)


def test_campaigns_do_what_their_rules_say() -> None:
    accounts, rows = an_extraction("fixed_prompt")
    assert sum("ban" in one.state for one in accounts) == 350
    leads = {u[0].prompt.split("Task:")[0] for _, _, u in rows if u[0].prompt not in provider.TRIALS}
    assert len(leads) == 1
    _, rows = an_extraction("launch_pivot")
    late = [one.settings.model for one, when, _ in rows if when > provider.LAUNCH_DAY + 1]
    assert 0.4 < late.count(provider.NEW_MODEL) / len(late) < 0.6
    _, rows = an_extraction("many_pathways")
    assert not any("reasoning trace" in unit[0].prompt for _, when, unit in rows if when < 12)
    accounts, _ = an_extraction("synchronised")
    assert len({one.payment for one in accounts}) == 12


def test_no_session_comes_again_before_all_were_there() -> None:
    people = [next(owner) for owner in (owners(),) for _ in range(5)]
    texts_in_turn = thirteenth.windows(np.random.default_rng(1), people)
    seen: list[str] = []
    while len(seen) < 5 * 110:
        seen += [text for text, _ in next(texts_in_turn)]
    assert len(set(seen)) == len(seen)


def test_languages_are_told_apart() -> None:
    for language in provider.LANGUAGES:
        rng = np.random.default_rng(2)
        assert texts.language_of([provider.own_words(rng, language) for _ in range(40)]) == language


def test_a_log_forgets_the_same_each_time() -> None:
    rng, log = np.random.default_rng(1), provider.WrenLog(1)
    accounts = [provider.open_account(rng, f"x {at}", "quick_look", EVERYTHING[0].settings, "x/1", 9)
                for at in range(600)]  # fmt: skip
    for one in accounts:
        log.add(rng, one, 5.0, [provider.Request("hello")])
    provider.forget(accounts, log)
    first = [dict(row) for row in log.rows]
    assert 0 < sum(row["client_ip"] is None for row in first) < 30
    provider.forget(accounts, log)
    assert log.rows == first


def test_the_shapes_are_those_of_the_rules() -> None:
    assert [plan.campaign for plan in thirteenth.OPERATIONS] == [f"v{at}" for at in range(1, 20)]
    numbers = Counter[str]()
    for product in EVERYTHING:
        numbers[product.kind] += product.accounts
    for kind, number in (numbers | Counter({name: desk[0] for name, desk in provider.DESKS.items()})).items():
        assert f"| {kind} | {number} |" in thirteenth.RULES
    for team in thirteenth.TEAMS:
        assert f"| {team.kind} | {team.groups} ×" in thirteenth.RULES
    for plan in thirteenth.OPERATIONS:
        assert f"| {plan.campaign} | {plan.style} | {plan.accounts:,} | {plan.count:,} |" in thirteenth.RULES
