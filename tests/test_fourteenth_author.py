"""The fourteenth author's world: its parts, without the texts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import fourteenth_author as fourteenth
import fourteenth_provider as provider
from author_world import (
    SameDialogues,
    check_campaign,
    check_group,
    check_nameless,
    check_rules,
    owners,
    sessions,
)
from fifth_author import Honest
from fourth_author import Account, moment
from selves import Person
from test_thirteenth_author import customers
from thirteenth_provider import DAYS, NEVER, WrenLog, crowd

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

PLACES = provider.SoftwarePlaces(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in fourteenth.OPERATIONS}
PUBLIC = provider.PublicTexts(
    [f"a puzzle of some length {at}" for at in range(15)], [f"row {at}" for at in range(420)], customers()
)


def a_crowd(kind: str, count: int = 40) -> list[Account]:
    rng = np.random.default_rng(1)
    product = replace(provider.BY_KIND[kind], accounts=count)
    accounts = crowd(rng, product, 0, Honest(WrenLog(1)), PLACES)
    for one in accounts:
        provider.settle_person(rng, one, PLACES)
    return accounts


def a_campaign(style: str):
    """A campaign's accounts, and what they send."""
    rng, plan = np.random.default_rng(5), PLANS[style]
    accounts = fourteenth.campaign_accounts(rng, plan, PLACES)
    return accounts, fourteenth.campaign_rows(rng, plan, accounts, SameDialogues(), customers(), owners())


@pytest.mark.parametrize("kind", provider.BY_KIND)
def test_every_kind_lives_within_the_log_and_carries_its_person(kind) -> None:
    accounts, rng, product = a_crowd(kind), np.random.default_rng(2), provider.BY_KIND[kind]
    assert all(0 <= one.start < one.end <= DAYS for one in accounts)
    assert all(one.created <= moment(one.start) for one in accounts)
    shape = provider.SHAPES.get(kind, provider.plain_rows)
    own, rows = next(sessions()) * 4, []
    for one in accounts:
        rows += shape(rng, product, one, provider.times_of(rng, one, 3), own, PUBLIC)
    prompts = [request.prompt for _, _, unit in rows for request in unit]
    assert any("rivets hold the hull" in prompt for prompt in prompts)
    assert not any("{" in prompt.replace("{}", "{") for prompt in prompts)
    assert all(0 <= when < DAYS for _, when, _ in rows)


def test_hidden_requests_repeat_the_text_in_the_softwares_own_frame() -> None:
    rng, one = np.random.default_rng(3), a_crowd("chat_front")[0]
    rows = provider.chat_rows(rng, provider.BY_KIND["chat_front"], one, [1.0, 2.0], next(sessions()), PUBLIC)
    titles = [
        unit for _, _, unit in rows if unit[0].prompt.startswith("### Task\nGive this conversation a title")
    ]
    assert len(titles) == 2
    assert all("rivets" in unit[0].prompt or "keel" in unit[0].prompt for unit in titles)


def test_a_course_is_run_in_its_order() -> None:
    for one in a_crowd("notebook_course"):
        rows = provider.course_cells(np.random.default_rng(1), one, one.start + 0.002, 14)
        cells = [provider.CELLS.index(unit[0].prompt) for _, _, unit in sorted(rows, key=lambda row: row[1])]
        assert cells == sorted(cells)


@pytest.mark.parametrize("team", fourteenth.TEAMS, ids=lambda team: team.kind)
def test_a_group_works_within_its_days_as_its_rule_says(team) -> None:
    for number in range(min(team.groups, 6)):
        rng = np.random.default_rng(7)
        accounts = fourteenth.team_accounts(rng, team, number, PLACES)
        paper = [f"note {at}" for at in range(90)]
        texts = SameDialogues(), owners(), customers(), paper
        check_group(team, number, accounts, fourteenth.group_rows(rng, team, number, accounts, *texts))


@pytest.mark.parametrize("plan", fourteenth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    accounts, rows = a_campaign(plan.style)
    check_campaign(plan, accounts, rows)
    check_nameless(plan, accounts)


def test_campaigns_do_what_their_rules_say() -> None:
    accounts, _ = a_campaign("fixed_frame_ring")
    assert sum(one.state.get("ban", (0, 0))[1] == NEVER for one in accounts) == 60
    accounts, rows = a_campaign("front_companies")
    assert len({one.org for one in accounts}) == len({one.payment for one in accounts}) == 6
    _, rows = a_campaign("ten_answers")
    answers = Counter(unit[0].prompt for _, _, unit in rows if unit[0].prompt not in fourteenth.TRIALS)
    assert set(answers.values()) == {10}
    _, rows = a_campaign("reworded")
    assert len({unit[0].prompt for _, _, unit in rows}) > 1200
    accounts, rows = a_campaign("cover_traffic")
    own = sum("own text" in unit[0].prompt or "own text" in (unit[0].system or "") for _, _, unit in rows)
    assert 0.5 < own / len(rows) < 0.7


def test_robots_and_exercises_are_no_people() -> None:
    robot = Person("r", "git a", [f"Updated from global requirements {at}" for at in range(30)])
    assert not fourteenth.speaks_for_itself(robot)
    assert fourteenth.speaks_for_itself(next(owners()))


def test_the_shapes_are_those_of_the_rules() -> None:
    numbers = Counter[str]()
    for product in provider.PRODUCTS:
        numbers[product.kind] += product.accounts
    check_rules(fourteenth, "w", numbers)
