"""Leads from provider-observed facts, in a log that names no model."""

import random
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from scan_world import START, Crowd, honest, log_of, pool, sentence
from stillwatch.actors import AccountFacts
from stillwatch.scan import ScanResult
from stillwatch.scan.pipeline import scan_log
from stillwatch.scan.provider_ties import ProviderTies

BARE = ("model", "max_tokens", "temperature")


def without(table: pa.Table, *names: str) -> pa.Table:
    for name in names:
        at = table.column_names.index(name)
        table = table.set_column(
            at, table.schema.field(at), pa.nulls(len(table), table.schema.field(at).type)
        )
    return table


def world(seed: int = 21, cards: int = 2) -> tuple[Crowd, set[str]]:
    """People, and 57 accounts with one verbatim prefix that this many cards pay for."""
    crowd = Crowd(seed)
    honest(crowd, 300, 10.0)
    members = pool(crowd, "p", many=57, stock=[sentence(crowd.rng, 9) + " | "])
    for record in crowd.known:
        if record["account"] in members:
            record["payment"] = f"card-of-the-pool-{members.index(record['account']) % cards}"
    return crowd, set(members)


def leads_on(result: ScanResult, accounts: set[str]) -> list[set[str]]:
    return [set(lead.accounts) for lead in result.leads if set(lead.accounts) & accounts]


@pytest.mark.slow
def test_two_cards_behind_57_accounts_are_a_lead_where_no_model_is_named() -> None:
    crowd, members = world()
    result = scan_log(log_of(without(crowd.table(), *BARE)), crowd.accounts())
    assert not result.campaigns
    (found,) = leads_on(result, members)
    assert len(found & members) >= 50
    assert len(found - members) <= 2
    (lead,) = [lead for lead in result.leads if set(lead.accounts) == found]
    assert "names no model" in lead.text
    assert "2 payment instruments pay for" in lead.text


@pytest.mark.slow
def test_accounts_that_pay_and_sign_up_apart_are_no_such_lead() -> None:
    crowd, members = world(cards=57)
    result = scan_log(log_of(without(crowd.table(), *BARE)), crowd.accounts())
    assert not leads_on(result, members)
    assert not result.campaigns


@pytest.mark.slow
def test_accounts_that_sign_up_together_are_a_lead() -> None:
    crowd, members = world(cards=57)
    rng = random.Random(3)
    for record in crowd.known:
        if record["account"] in members:
            record["created"] = START + timedelta(days=5, hours=rng.uniform(0, 20))
    result = scan_log(log_of(without(crowd.table(), *BARE)), crowd.accounts())
    (found,) = leads_on(result, members)
    assert len(found & members) >= 50


@pytest.mark.slow
def test_a_log_that_names_models_has_no_leads_of_this_kind() -> None:
    crowd, _ = world()
    for table in (crowd.table(), without(crowd.table(), "max_tokens", "temperature")):
        assert all(
            "names no model" not in lead.text for lead in scan_log(log_of(table), crowd.accounts()).leads
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["payment", "created"])
def test_the_p_value_of_random_groups_is_no_smaller_than_it_says(kind: str) -> None:
    """Random groups of people, many of whom share cards, and many of whom signed up in one week."""
    rng = np.random.default_rng(5)
    many = 400
    payment = [f"c{k}" for k in rng.integers(0, 120, many)] if kind == "payment" else [""] * many
    days = np.where(rng.random(many) < 0.2, rng.uniform(0, 7, many), rng.uniform(0, 700, many))
    created = (days * 86_400_000_000).astype(np.int64) + 1 if kind == "created" else np.zeros(many, np.int64)
    blank = [""] * many
    ties = ProviderTies(AccountFacts(blank, payment, created, blank, [()] * many, blank), np.arange(many))
    active = np.arange(many)
    drawn = [ties.tail(rng.choice(many, rng.integers(5, 40), replace=False), active)[0] for _ in range(3000)]
    for level in (0.05, 0.01, 0.002):
        assert np.mean(np.array(drawn) < level) <= level + 2 * (level / 3000) ** 0.5
