"""The seventeenth author's world: its parts, without the texts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import fifteenth_author as fifteenth
import seventeenth_author as seventeenth
import seventeenth_provider as provider
from author_world import check_campaign, check_group, check_shapes, compose_campaign, compose_group
from fifteenth_provider import CloudPlaces, crowd, found_companies
from fifth_author import Honest
from fourth_author import Request, moment
from seventeenth_texts import exam_items, problem_of
from test_thirteenth_author import customers
from thirteenth_provider import NEVER, NEW_MODEL, OLD, SMALL, USUAL

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

PLACES = CloudPlaces(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in seventeenth.OPERATIONS}
TEAMS = {team.kind: team for team in seventeenth.TEAMS}


def a_campaign(style: str):
    return compose_campaign(fifteenth, seventeenth.SEVENTEENTH, PLANS[style], PLACES, customers())


def a_group(kind: str, number: int = 0):
    return compose_group(fifteenth, seventeenth.sable_rows, TEAMS[kind], number, PLACES, customers())


def row_of(model: str, when: float, **state: object) -> dict:
    product = replace(provider.PUBLIC.products[0], accounts=1)
    log = provider.SableLog(1)
    one = crowd(np.random.default_rng(3), product, 0, Honest(log), PLACES, provider.PUBLIC)[0]
    one.state, one.settings = {"changes": [], "late": NEVER, **state}, replace(one.settings, model=model)
    log.add(np.random.default_rng(2), one, when, [Request("Which tide is next?")])
    return log.rows[0]


@pytest.mark.parametrize("kind", TEAMS)
def test_a_group_works_within_its_days_as_its_rule_says(kind) -> None:
    for number in range(min(TEAMS[kind].groups, 4)):
        accounts, rows = a_group(kind, number)
        check_group(TEAMS[kind], number, accounts, rows, ["{text}", "{n}", "{ask}", "{shop}"])


@pytest.mark.parametrize("plan", seventeenth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    check_campaign(plan, *a_campaign(plan.style))


def test_campaigns_register_as_their_rules_say() -> None:
    bought, _ = a_campaign("harness_relay")
    assert all(one.created <= moment(-30) for one in bought)
    same_day, _ = a_campaign("synchronised")
    assert len({one.created.date() for one in same_day[:18]}) <= 2
    batches, _ = a_campaign("many_pathways")
    assert 1 < len({one.created.date() for one in batches}) < len(batches)


def test_bans_and_pauses_are_those_of_the_rules() -> None:
    for style, number in (("fixed_prompt", 28), ("synchronised", 11), ("steady_fleet", 8)):
        accounts, rows = a_campaign(style)
        assert sum(one.state.get("ban", (0, 0))[1] == NEVER for one in accounts) == number
        first, last = seventeenth.SEVENTEENTH.pauses.get(PLANS[style].campaign, (0, 0))
        assert not any(first < when < last - 0.05 and one.end > last + 0.1 for one, when, _ in rows)


def test_traces_are_sampled_four_times_and_paraphrases_differ() -> None:
    _, rows = a_campaign("trace_samples")
    counts = Counter(unit[0].prompt for _, _, unit in rows)
    assert Counter(counts.values()).most_common(1)[0][0] == 4
    _, rows = a_campaign("paraphrased")
    heads = Counter(line for _, _, unit in rows for line in unit[0].prompt.split("\n") if line)
    assert heads.most_common(1)[0][1] < len(rows) / 10


def test_the_family_reasons_launches_and_retires_on_its_days() -> None:
    moves = [(9.0, {"model": NEW_MODEL})]
    assert row_of(USUAL, 8.9, changes=moves)["model"] == "sable-r2"
    assert row_of(USUAL, 9.1, changes=moves)["model"] == "sable-r2.5"
    assert [row_of(OLD, day)["model"] for day in (15.0, 16.0)] == ["sable-r1", "sable-r2"]
    assert row_of(USUAL, 3.0)["reasoning_tokens"] > 0
    assert not row_of(SMALL, 3.0).get("reasoning_tokens")


def test_most_accounts_are_young() -> None:
    rng, product = np.random.default_rng(1), replace(provider.PUBLIC.products[1], accounts=300)
    accounts = crowd(rng, product, 0, Honest(provider.SableLog(1)), PLACES, provider.PUBLIC)
    provider.register(rng, accounts)
    assert all(one.created <= moment(one.start) for one in accounts)
    assert sum(one.created > moment(provider.LAUNCHED) for one in accounts) > 180
    keys = [one for firm in found_companies(rng, PLACES, provider.PUBLIC) for one in firm.keys]
    provider.register(rng, keys)
    assert all(one.created <= moment(one.start) for one in keys)


def test_texts_lose_what_their_publisher_put_around_them() -> None:
    body = "<!-- description:start -->\n<p>Return&nbsp;<code>n &lt; 2</code>.</p>\n<!-- description:end -->"
    assert problem_of(body) == "Return\xa0n < 2."
    assert list(exam_items("\nb\nPassage\nQuestion?\nA.x\nB.y\nC.z\nD.w\n")) == [
        "Passage\nQuestion?\nA.x\nB.y\nC.z\nD.w"
    ]


def test_the_shapes_are_those_of_the_rules() -> None:
    check_shapes(seventeenth, provider.PUBLIC, "z")
