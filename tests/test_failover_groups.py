"""Groups formed by refused work alone: queues are found with any wording and settings, people are not."""

from collections.abc import Callable

import numpy as np
import pytest

from holds_world import START_US, log_of, names
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan.failover import failover_finding
from stillwatch.scan.failover_groups import failover_groups
from stillwatch.scan.parts import claim_of
from stillwatch.units import DAY_US, MINUTE_US
from test_failover import Rows, others, refuse, scanned
from test_source_leads import crowd_of

SENT = ("agent", "system", "temperature_milli", "max_tokens")


def with_settings(rows: Rows, settings: Callable[[str], int]) -> ExchangeLog:
    """A log in which each account sends one value in all client-controlled columns."""
    log = log_of(rows)
    number = np.array([settings(account) for account in log.accounts], np.int64)[log["account"]]
    log.columns.update(dict.fromkeys(SENT, number))
    return log


def anything(account: str) -> int:
    """Return settings that differ for each account."""
    return int.from_bytes(account.encode()) % 1_000_003


def found_in(log: ExchangeLog, customer: np.ndarray | None = None) -> list[set[str]]:
    """Return the groups that a scan would report as findings, by name."""
    customer = np.arange(len(log.accounts)) if customer is None else customer
    groups = failover_groups(log, customer, customer)
    suspects = set().union(*(group.accounts for group in groups))
    named = []
    for group in groups:
        codes = np.array(sorted(group.accounts), np.int32)
        found = failover_finding(log, codes, customer, suspects)
        if found is not None:
            named.append({log.accounts[code] for code in found.named_us})
    return named


def pool(rng: np.random.Generator, accounts: list[str], refused: int, moves: float, asked: int = 400) -> Rows:
    """A queue over accounts, each text once. A share of the refused ones continues at another account."""
    rows: Rows = []
    for text in range(1, asked + 1):
        at_us = START_US + int(rng.integers(0, 7 * DAY_US))
        a, b = rng.choice(len(accounts), 2, replace=False)
        rows.append((at_us, accounts[a], 429 if text <= refused else 200, text))
        if text <= refused and rng.random() < moves:
            rows.append((at_us + 30_000_000, accounts[b], 200, text))
    return rows


def pairs(rng: np.random.Generator, persons: int, refused: int) -> Rows:
    """Persons with two unconnected accounts each: after a refusal, the other one continues."""
    rows: Rows = []
    for text in range(10**7, 10**7 + 8 * persons):
        at_us = START_US + int(rng.integers(0, 7 * DAY_US))
        person, first = int(rng.integers(persons)), int(rng.integers(2))
        failed = text < 10**7 + refused
        rows.append((at_us, f"two-{person:03}-{first}", 429 if failed else 200, text))
        if failed:
            rows.append((at_us + MINUTE_US, f"two-{person:03}-{1 - first}", 200, text))
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_a_pool_whose_accounts_have_nothing_in_common_is_found_by_what_it_hands_on(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = with_settings(pool(rng, names(12), 24, 0.8) + others(rng), anything)
    (named,) = found_in(log)
    assert named <= set(names(12))
    assert len(named) >= 9


@pytest.mark.parametrize("seed", range(4))
def test_a_pool_whose_moves_hardly_connect_is_found_by_what_its_client_sends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    accounts = [f"pool-{k:03}" for k in range(200)]
    rows = pool(rng, accounts, 14, 0.9) + others(rng)
    (named,) = found_in(with_settings(rows, lambda account: 1 if account in accounts else anything(account)))
    assert named <= set(accounts)
    # the same moves, between accounts with different settings, connect too few
    assert found_in(with_settings(rows, anything)) == []


def test_a_popular_text_ties_nobody() -> None:
    """An attacker sends common texts and is refused: accounts that send them minutes later are not named."""
    rng = np.random.default_rng(7)
    rows = others(rng)
    for text in range(1, 30):
        at_us = START_US + int(rng.integers(0, 7 * DAY_US))
        rows.append((at_us, names(1)[0], 429, text))
        for k, person in enumerate(rng.choice(200, 6, replace=False)):
            rows.append((at_us + (k + 1) * MINUTE_US, f"person-{person:03}", 200, text))
    assert found_in(with_settings(rows, lambda account: 1)) == []


@pytest.mark.slow
@pytest.mark.parametrize("settings", [anything, lambda account: 1], ids=["own settings", "one program"])
@pytest.mark.parametrize(
    "honest",
    [
        lambda rng: others(rng, 1 / 6),  # an API with faults: others send everybody's refused texts
        lambda rng: pool(rng, names(16), 40, 0.2) + others(rng),  # a team: colleagues take over one in five
        lambda rng: pairs(rng, 20, 30) + others(rng),  # persons with two accounts each
        lambda rng: others(rng),
    ],
    ids=["trouble", "a team", "two accounts", "nothing"],
)
def test_honest_people_are_in_no_group(honest: Callable, settings: Callable) -> None:
    raised = 0
    for seed in range(60):
        raised += bool(found_in(with_settings(honest(np.random.default_rng(seed)), settings)))
    assert raised == 0


def labs(rng: np.random.Generator) -> Rows:
    """Four laboratories run one public data set in one order, on the same evening of an API with faults."""
    rows: Rows = []
    for lab in range(4):
        at_us = START_US + 2 * DAY_US + int(rng.integers(0, 60 * MINUTE_US))
        for text in range(500):
            at_us += int(rng.exponential(5_000_000))
            rows.append((at_us, f"lab-{lab}", 500 if rng.random() < 0.05 else 200, 10**8 + text))
    return rows


@pytest.mark.slow
def test_laboratories_that_run_one_public_set_are_none() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        assert found_in(with_settings(labs(rng) + others(rng), lambda account: len(account))) == [], seed


def friends(rng: np.random.Generator) -> Rows:
    """Three people whose bot has a key from each of them."""
    return pool(rng, [f"friend-{k}" for k in range(3)], 30, 1.0)


def test_three_friends_are_no_group() -> None:
    rng = np.random.default_rng(2)
    assert found_in(with_settings(friends(rng) + others(rng), anything)) == []


def test_what_moves_within_one_customer_is_nothing() -> None:
    rng = np.random.default_rng(3)
    log = with_settings(pool(rng, names(12), 24, 0.9) + others(rng), anything)
    own = [log.accounts.index(name) for name in names(12)]
    customer = np.arange(len(log.accounts))
    customer[own] = own[0]
    assert found_in(log, customer) == []
    customer[own[6:]] = own[6]
    assert found_in(log, customer) == []  # two cards may belong to one person


@pytest.mark.slow
def test_a_scan_names_who_took_part_and_nobody_else() -> None:
    """Accounts that differ in wording, client and settings: no lead leads to them."""
    crowd = crowd_of(43)
    accounts = sorted({row["account"] for row in crowd.rows})[::13][:14]
    refuse(crowd, set(accounts), 40, 0.9)
    result = scanned(crowd)
    (case,) = result.campaigns
    assert case.reasons[0].detector == "failover"
    assert set(case.accounts) <= set(accounts)
    assert len(case.accounts) >= 10
    assert set(case.own_reactions) == set(case.accounts)
    assert "keys lent to one project" in {b.kind for b in case.benign_alternatives}
    assert all(at >= case.alarm_at for at in case.named_at.values())
    assert "goes on at others" in claim_of({reason.detector for reason in case.reasons})  # not: are alike


def test_a_log_without_refusals_has_none() -> None:
    rows = [row for row in others(np.random.default_rng(1)) if row[2] == 200]
    assert found_in(with_settings(rows, anything)) == []
