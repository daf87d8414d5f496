"""The nineteenth author's world: its parts, without the texts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import fifteenth_author as fifteenth
import nineteenth_author as nineteenth
import nineteenth_provider as provider
from author_world import (
    check_campaign,
    check_group,
    check_nameless,
    check_rules,
    compose_campaign,
    compose_group,
)
from fifteenth_provider import CloudPlaces, crowd, found_companies
from fifth_author import Honest
from fourth_author import Request, moment
from nineteenth_texts import problem_of, translations_of
from test_thirteenth_author import customers
from thirteenth_provider import NEVER, NEW_MODEL, OLD, USUAL

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

PLACES = CloudPlaces(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in nineteenth.OPERATIONS}
TEAMS = {team.kind: team for team in nineteenth.TEAMS}


def a_campaign(style: str):
    return compose_campaign(fifteenth, nineteenth.NINETEENTH, PLANS[style], PLACES, customers())


def a_group(kind: str, number: int = 0):
    return compose_group(fifteenth, nineteenth.dipper_rows, TEAMS[kind], number, PLACES, customers())


def a_log_of(product, when: float, *prompts: str, **state: object) -> provider.DipperLog:
    log = provider.DipperLog(1)
    one = crowd(
        np.random.default_rng(3), replace(product, accounts=1), 0, Honest(log), PLACES, provider.PUBLIC
    )[0]
    one.state = {"changes": [], "late": NEVER} | state.pop("state", {})
    one.user_agent, one.settings = product.agent, replace(product.settings, **state)
    for _ in range(20):
        log.add(np.random.default_rng(len(log.rows)), one, when, [Request(prompt) for prompt in prompts])
    return log


@pytest.mark.parametrize("kind", TEAMS)
def test_a_group_works_within_its_days_as_its_rule_says(kind) -> None:
    for number in range(min(TEAMS[kind].groups, 5)):
        accounts, rows = a_group(kind, number)
        check_group(
            TEAMS[kind], number, accounts, rows, ["{text}", "{n}", "{ask}", "{shop}", "{day}", "{file}"]
        )
        if kind in nineteenth.HERE:
            assert len({one.country for one in accounts}) == 1


@pytest.mark.parametrize("plan", nineteenth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = a_campaign(plan.style)
    check_campaign(plan, accounts, rows)
    check_nameless(plan, accounts)


def test_campaigns_have_a_dozen_accounts_or_more_and_mostly_begin_within_the_log() -> None:
    assert min(plan.accounts for plan in nineteenth.OPERATIONS) == 12
    assert sum(plan.start > 0 for plan in nineteenth.OPERATIONS) == 16


def test_bans_and_pauses_are_those_of_the_rules() -> None:
    for plan in nineteenth.OPERATIONS:
        if plan.campaign not in nineteenth.NINETEENTH.bans:
            continue
        accounts, rows = a_campaign(plan.style)
        number = nineteenth.NINETEENTH.bans[plan.campaign][0]
        assert sum(one.state.get("ban", (0, 0))[1] == NEVER for one in accounts) == number
        first, last = nineteenth.NINETEENTH.pauses.get(plan.campaign, (0, 0))
        assert not any(first < when < last - 0.05 and one.end > last + 0.1 for one, when, _ in rows)


def test_seats_are_rented_pooled_and_shared_as_the_rules_say() -> None:
    rented, rows = a_campaign("harness_relay")
    assert sum(one.tier == "plan" for one in rented) > 0.9 * len(rented)
    assert len({one.user_agent for one, _, _ in rows}) == 2
    pooled, rows = a_group("plan_pool", 1)
    assert {one.tier for one in pooled} == {"plan"}
    assert len({one.user_agent for one, _, _ in rows}) > 3
    (one,), rows = a_group("shared_plan")
    assert 3 <= len(one.addresses) <= 5
    assert len({sender.user_agent for sender, _, _ in rows}) > 1


def test_a_task_is_tried_on_three_seats_and_a_loop_repeats_its_prompt() -> None:
    _, rows = a_campaign("rollouts")
    tries = Counter(unit[0].prompt for _, _, unit in rows)
    assert Counter(tries.values()).most_common(1)[0][0] == 3
    assert all(
        len({one.name for one, _, unit in rows if unit[0].prompt == prompt}) == number
        for prompt, number in tries.items()
    )
    accounts, rows = a_group("agent_loop")
    assert len({one.payment for one in accounts}) == 1
    assert len({unit[0].prompt for _, _, unit in rows}) == 1


def test_claude_code_asks_for_topics_by_itself_and_others_do_not() -> None:
    rows = a_log_of(provider.CLAUDE_CODE, 3.0, "Mend the net", "net.c").rows
    topics = [row for row in rows if row["system"] == provider.TOPIC]
    assert 3 <= len(topics) <= 17
    assert {row["model"] for row in topics} == {"dipper-4-air"}
    assert all(
        "Claude Code" in row["system"] for row in rows if row not in topics and row["prompt"] != "quota"
    )
    other = next(product for product in provider.AGENTS if product.kind == "coding_agent_goose")
    assert len(a_log_of(other, 3.0, "Mend the net", "net.c").rows) == 40


def test_models_launch_and_retire_on_their_days() -> None:
    product = provider.PUBLIC.products[0]
    moves = {"changes": [(9.0, {"model": NEW_MODEL})]}
    assert a_log_of(product, 8.9, "Tide?", model=USUAL, state=moves).rows[0]["model"] == "dipper-4"
    assert a_log_of(product, 9.1, "Tide?", model=USUAL, state=moves).rows[0]["model"] == "dipper-4.5"
    assert [a_log_of(product, day, "Tide?", model=OLD).rows[0]["model"] for day in (17.0, 18.0)] == [
        "dipper-3",
        "dipper-4-air",
    ]


def test_accounts_are_made_before_they_begin_and_most_agents_are_on_a_plan() -> None:
    rng = np.random.default_rng(1)
    accounts = crowd(
        rng,
        replace(provider.CLAUDE_CODE, accounts=300),
        0,
        Honest(provider.DipperLog(1)),
        PLACES,
        provider.PUBLIC,
    )
    keys = [one for firm in found_companies(rng, PLACES, provider.PUBLIC) for one in firm.keys]
    provider.register(rng, [*accounts, *keys])
    assert all(one.created <= moment(one.start) for one in (*accounts, *keys))
    assert 0.65 < sum(one.tier == "plan" for one in accounts) / 300 < 0.9


def test_texts_lose_what_their_publisher_put_around_them() -> None:
    assert problem_of('def problem():\n    """\n    how far ? n0 = 14.0 n1 = 2.0\n    """\n') == "how far ?"
    catalogue = (
        'msgid ""\nmsgstr ""\n"head: x\\n"\n\nmsgid "a"\nmsgstr ""\n"La marée "\n"de :ref:`juin <x>`."\n'
        '\nmsgid "b"\nmsgstr "Bref."\n'
    )
    assert translations_of(catalogue) == "La marée de juin.\n\nBref."


def test_the_shapes_are_those_of_the_rules() -> None:
    numbers = Counter[str]()
    for product in (*provider.PUBLIC.products, provider.PUBLIC.eval_person):
        family = "_".join(product.kind.split("_")[: 1 if product.kind.startswith("automation") else 2])
        numbers["chat_front" if product.kind.startswith("chat_") else family] += product.accounts
    check_rules(nineteenth, "p", numbers)
    for kind, (number, _, _) in provider.PUBLIC.desks.items():
        assert f"{kind} {number}" in nineteenth.RULES
