"""The eighteenth author's world: its parts, without the texts."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

import eighteenth_author as eighteenth
import eighteenth_provider as provider
import fifteenth_author as fifteenth
from author_world import check_campaign, check_group, check_shapes, compose_campaign, compose_group
from eighteenth_texts import conversations_of, paragraphs_of, sift_logs
from fifteenth_provider import CloudPlaces, crowd, found_companies
from fifth_author import Honest
from fourth_author import Request, moment
from test_thirteenth_author import customers
from thirteenth_provider import NEVER, NEW_MODEL, OLD, USUAL

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change

PLACES = CloudPlaces(np.random.default_rng(4))
PLANS = {plan.style: plan for plan in eighteenth.OPERATIONS}
TEAMS = {team.kind: team for team in eighteenth.TEAMS}


def a_campaign(style: str):
    return compose_campaign(fifteenth, eighteenth.EIGHTEENTH, PLANS[style], PLACES, customers())


def a_group(kind: str, number: int = 0):
    return compose_group(fifteenth, eighteenth.petrel_rows, TEAMS[kind], number, PLACES, customers())


def row_of(model: str, when: float, **state: object) -> dict:
    product = replace(provider.PUBLIC.products[0], accounts=1)
    log = provider.PetrelLog(1)
    one = crowd(np.random.default_rng(3), product, 0, Honest(log), PLACES, provider.PUBLIC)[0]
    one.state, one.settings = {"changes": [], "late": NEVER, **state}, replace(one.settings, model=model)
    log.add(np.random.default_rng(2), one, when, [Request("Which tide is next?")])
    return log.rows[0]


@pytest.mark.parametrize("kind", TEAMS)
def test_a_group_works_within_its_days_as_its_rule_says(kind) -> None:
    for number in range(min(TEAMS[kind].groups, 4)):
        accounts, rows = a_group(kind, number)
        check_group(TEAMS[kind], number, accounts, rows, ["{text}", "{n}", "{ask}", "{shop}", "{day}"])
        if kind in eighteenth.ONE_PLACE:
            assert len({one.country for one in accounts}) == 1


@pytest.mark.parametrize("plan", eighteenth.OPERATIONS, ids=lambda plan: plan.campaign)
def test_a_campaign_sends_about_what_its_rule_says_within_its_days(plan) -> None:
    check_campaign(plan, *a_campaign(plan.style))


def test_most_campaigns_begin_within_the_log() -> None:
    assert sum(plan.start > 0 for plan in eighteenth.OPERATIONS) == 18
    assert min(plan.accounts for plan in eighteenth.OPERATIONS) == 8


def test_campaigns_register_as_their_rules_say() -> None:
    bought, _ = a_campaign("harness_relay")
    assert all(one.created <= moment(4 - 30) for one in bought)
    same_day, _ = a_campaign("synchronised")
    assert len({one.created.date() for one in same_day[:20]}) <= 2
    batches, _ = a_campaign("user_relay")
    assert 1 < len({one.created.date() for one in batches}) < len(batches) / 3


def test_bans_and_pauses_are_those_of_the_rules() -> None:
    for plan in eighteenth.OPERATIONS:
        if plan.campaign not in eighteenth.EIGHTEENTH.bans:
            continue
        accounts, rows = a_campaign(plan.style)
        number = eighteenth.EIGHTEENTH.bans[plan.campaign][0]
        assert sum(one.state.get("ban", (0, 0))[1] == NEVER for one in accounts) == number
        first, last = eighteenth.EIGHTEENTH.pauses.get(plan.campaign, (0, 0))
        assert not any(first < when < last - 0.05 and one.end > last + 0.1 for one, when, _ in rows)


def test_cards_are_shared_in_part() -> None:
    accounts, _ = a_campaign("launch_pivot")
    cards = Counter(one.payment for one in accounts if one.payment)
    assert 1 < sum(number > 1 for number in cards.values()) <= 6
    assert sum(number == 1 for number in cards.values()) > 5


def test_accounts_of_one_campaign_differ_where_its_rule_says() -> None:
    accounts, rows = a_campaign("spread_settings")
    assert len({(one.user_agent, str(one.settings)) for one in accounts}) > 30
    _, rows = a_campaign("subject_split")
    owners = defaultdict(list)
    for one, _, unit in rows:
        owners[one.name].append(unit[0].prompt)
    assert len(owners) == 16
    _, rows = a_campaign("paraphrased")
    heads = Counter(line for _, _, unit in rows for line in unit[0].prompt.split("\n") if line)
    assert heads.most_common(1)[0][1] < len(rows) / 10
    _, rows = a_campaign("client_mimic")
    titles = sum(unit[0].prompt.startswith("Summarize the conversation") for _, _, unit in rows)
    assert 0.4 < titles / len(rows) < 0.6


def test_traces_are_sampled_four_times() -> None:
    _, rows = a_campaign("trace_samples")
    counts = Counter(unit[0].prompt for _, _, unit in rows)
    assert Counter(counts.values()).most_common(1)[0][0] == 4


def test_models_launch_and_retire_on_their_days() -> None:
    moves = [(9.0, {"model": NEW_MODEL})]
    assert row_of(USUAL, 8.9, changes=moves)["model"] == "petrel-3"
    assert row_of(USUAL, 9.1, changes=moves)["model"] == "petrel-3.5"
    assert [row_of(OLD, day)["model"] for day in (16.0, 17.0)] == ["petrel-2", "petrel-3-small"]


def test_a_home_is_in_a_network_of_its_country() -> None:
    ip, system = provider.routed(("23.4.5.6", 7018), "JP")
    assert system in provider.ISPS["JP"]
    assert ip.endswith(".5.6")
    assert provider.routed(("23.4.5.6", 7018), "JP") == (ip, system)
    assert provider.routed(("23.4.5.6", 24940), "JP")[1] == 24940


def test_accounts_are_made_before_they_begin() -> None:
    rng, product = np.random.default_rng(1), replace(provider.PUBLIC.products[1], accounts=300)
    accounts = crowd(rng, product, 0, Honest(provider.PetrelLog(1)), PLACES, provider.PUBLIC)
    firms = found_companies(rng, PLACES, provider.PUBLIC)
    keys = [one for firm in firms for one in firm.keys]
    provider.register(rng, [*accounts, *keys])
    assert all(one.created <= moment(one.start) for one in (*accounts, *keys))
    assert all(len({one.country for one in firm.keys}) == 1 for firm in firms)


def test_texts_lose_what_their_publisher_put_around_them() -> None:
    page = (
        "<para>Le <function>tri</function> d'un &array;\n est stable.</para><screen><para>no</para></screen>"
    )
    assert paragraphs_of(page) == "Le tri d'un est stable."
    body = '[{"instruction": "Name a tide.", "input": "", "output": "Ebb."}]'
    assert list(conversations_of(body)) == [["Name a tide.", "Ebb."]]


def test_nobody_of_a_former_history_and_nobody_twice_is_kept(tmp_path) -> None:
    def history(folder: str, name: str, *addresses: str) -> None:
        (tmp_path / folder).mkdir(exist_ok=True)
        lines = [f"\x01{address}\x021700000000\x02Mend the net\x02\nnet.c\n" for address in addresses]
        (tmp_path / folder / name).write_text("".join(lines))

    history("new", "a.log", "Old@x.org", "ann@x.org", "ann@x.org", "bo@x.org")
    history("new", "b.log", "ann@x.org", "cy@x.org")
    history("old", "z.log", "old@x.org")
    assert sift_logs(tmp_path / "new", [tmp_path / "old"], tmp_path / "out") == (4, 1)
    assert (tmp_path / "out" / "a.log").read_text().count("\x01") == 3
    assert (tmp_path / "out" / "b.log").read_text().count("\x01") == 1


def test_the_shapes_are_those_of_the_rules() -> None:
    check_shapes(eighteenth, provider.PUBLIC, "k")
