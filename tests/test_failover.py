"""Refused work that moves to other customers turns a lead into a finding; honest behaviour does not."""

import random
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import binom

from holds_world import START_US, log_of, names
from scan_world import Crowd, sentence
from scan_world import log_of as log_of_table
from stillwatch.report.explain import explain
from stillwatch.scan import ScanResult
from stillwatch.scan.explanations import customers
from stillwatch.scan.failover import LEVEL, failover_finding
from stillwatch.scan.pipeline import Options, known_of, scan_log
from stillwatch.units import DAY_US
from test_source_leads import crowd_of, users_of_new_wording

MANY = 16
Rows = list[tuple[int, str, int, int]]


def group(
    rng: np.random.Generator, refused: int, moves: float, *, asked: int = 300, delay_s: int = 30
) -> Rows:
    """Sixteen accounts with texts of their own; some texts are refused, and a share of these moves."""
    rows, accounts = [], names(MANY)
    for text in range(1, asked + 1):
        at_us = START_US + int(rng.integers(0, 7 * DAY_US))
        a, b = rng.choice(MANY, 2, replace=False)
        rows.append((at_us, accounts[a], 429 if text <= refused else 200, text))
        if text <= refused and rng.random() < moves:
            rows.append((at_us + delay_s * 1_000_000, accounts[b], 200, text))
    return rows


def others(rng: np.random.Generator, moves: float = 0.03) -> Rows:
    """Two hundred people; others send a few of their refused texts."""
    rows = []
    for text in range(10**6, 10**6 + 3_000):
        at_us = START_US + int(rng.integers(0, 7 * DAY_US))
        a, b = rng.choice(200, 2, replace=False)
        failed = rng.random() < 0.1
        rows.append((at_us, f"person-{a:03}", 500 if failed else 200, text))
        if failed and rng.random() < moves:
            rows.append((at_us + 60_000_000, f"person-{b:03}", 200, text))
    return rows


def found_in(rows: Rows, together: dict[str, str] | None = None):
    """Return the finding of the sixteen. together: account -> the account that it counts as."""
    log = log_of(sorted(rows))
    customer = np.arange(len(log.accounts))
    for account, one in (together or {}).items():
        customer[log.accounts.index(account)] = log.accounts.index(one)
    codes = np.flatnonzero(np.isin(np.array(log.accounts), names(MANY))).astype(np.int32)
    found = failover_finding(log, codes, customer)
    return found, log


@pytest.mark.parametrize("moves", [0.75, 0.9, 1.0])
def test_a_queue_that_hands_its_refused_work_on_is_found(moves: float) -> None:
    rng = np.random.default_rng(int(moves * 20))
    found, log = found_in(group(rng, 20, moves) + others(rng))
    assert found is not None
    assert found.p_value <= LEVEL
    assert {log.accounts[code] for code in found.named_us} <= set(names(MANY))
    assert found.own.keys() == found.named_us.keys()
    assert all(one.repeated + one.taken_over > 0 for one in found.own.values())
    assert all(at_us >= found.found_us for at_us in found.named_us.values())
    assert found.moved == sum(one.repeated for one in found.own.values())
    assert found.moved == sum(one.taken_over for one in found.own.values())


def test_an_alarm_comes_when_enough_has_moved_and_not_when_it_began() -> None:
    rng = np.random.default_rng(3)
    rows = group(rng, 14, 1.0) + others(rng)
    found, _ = found_in(rows)
    earlier, _ = found_in([row for row in rows if row[0] < found.found_us - 1])
    later, _ = found_in([row for row in rows if row[0] <= found.found_us + 1])
    assert earlier is None
    assert later is not None
    assert later.found_us == found.found_us


@pytest.mark.slow
@pytest.mark.parametrize(
    "honest",
    [
        lambda rng: group(rng, 40, 0.2),  # a team: one in five is taken over by a colleague
        lambda rng: group(rng, 14, 0.0),
        lambda rng: group(rng, 14, 1.0, delay_s=660),  # too late to count as moved
    ],
    ids=["a team", "nobody", "later"],
)
def test_people_who_seldom_take_over_are_not(honest) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        assert found_in(honest(rng) + others(rng))[0] is None, seed


def test_two_accounts_of_one_person_are_none_and_one_customer_is_none() -> None:
    rng = np.random.default_rng(5)
    rows = group(rng, 14, 1.0) + others(rng)
    one = dict.fromkeys(names(MANY), names(MANY)[0])
    assert found_in(rows, one)[0] is None
    two = one | dict.fromkeys(names(MANY)[8:], names(MANY)[8])
    assert found_in(rows, two)[0] is None  # two cards may belong to one person


@pytest.mark.slow
def test_a_class_whose_texts_are_shared_anyway_is_not_accused() -> None:
    """All send the same exercises within minutes, refused or not."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = []
        for text in range(1, 60):
            at_us = START_US + int(rng.integers(0, 3 * DAY_US))
            for k in rng.choice(MANY, 4, replace=False):
                status = 500 if rng.random() < 0.1 else 200
                rows.append((at_us + int(rng.integers(0, 9 * 60_000_000)), names(MANY)[k], status, text))
        assert found_in(rows + others(rng))[0] is None, seed


@pytest.mark.slow
def test_the_level_holds_where_refused_texts_move_everywhere_as_often() -> None:
    """An API with faults: others send one in six of all accounts' refused texts."""
    raised, runs = 0, 300
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        raised += found_in(group(rng, 60, 1 / 6) + others(rng, 1 / 6))[0] is not None
    assert raised <= binom.ppf(0.999, runs, LEVEL), raised


# --- in a scan ---


def refuse(crowd: Crowd, accounts: set[str], many: int, moves: float, same: bool = False) -> None:
    """Refuse some requests. A share continues within a minute, at another of the accounts or the same one."""
    rng = random.Random(crowd.seed)
    settings = {row["account"]: row for row in crowd.rows}
    wanted = [row for row in crowd.rows if row["account"] in accounts]
    for row in rng.sample(wanted, many):
        row["status"] = 429
        if rng.random() < moves:
            taker = row["account"] if same else rng.choice(sorted(accounts - {row["account"]}))
            more = settings[taker] | {
                "exchange_id": f"again-{row['exchange_id']}",
                "time": row["time"] + timedelta(seconds=rng.uniform(5, 60)),
                "prompt": row["prompt"],
                "status": 200,
            }
            crowd.rows.append(more)
    for row in rng.sample([r for r in crowd.rows if r["account"] not in accounts], 300):
        row["status"] = 500


def scanned(crowd: Crowd) -> ScanResult:
    crowd.rows.sort(key=lambda row: row["time"])
    return scan_log(log_of_table(crowd.table()), crowd.accounts(), options=Options(threads=1))


@pytest.mark.slow
def test_a_pool_that_draws_its_settings_is_found_by_what_it_hands_on() -> None:
    crowd = crowd_of(41)
    pool = users_of_new_wording(crowd, own_subjects=False)
    refuse(crowd, pool, 16, 0.8)
    result = scanned(crowd)
    (case,) = result.campaigns
    assert set(case.accounts) <= pool
    assert len(case.accounts) >= 0.8 * len(pool)
    assert case.reasons[0].detector == "failover"
    assert not [lead for lead in result.leads if pool.intersection(lead.accounts)]
    took_part = set(case.own_reactions)
    assert took_part < set(case.accounts)
    assert set(case.firm) <= took_part  # our refusals, which no client chooses
    assert len(case.firm) > len(took_part) / 2
    assert all(case.own_reactions[account].p_value <= 0.1 for account in case.firm)
    own = {v.account: v.p_value for v in result.accounts}
    assert all(own[account] == one.p_value for account, one in case.own_reactions.items())
    told = "\n".join(explain(result, min(took_part)).compared_with)
    assert "What refusals in the log show of this account" in told
    assert "holds" not in told


@pytest.mark.slow
def test_who_wrote_the_wording_that_a_pool_copies_is_not_named_beside_it() -> None:
    crowd = crowd_of(41)
    rng = random.Random(crowd.seed + 1)
    stock = [sentence(rng, 9), sentence(rng, 9)]  # the pool's, which is drawn from the same seed
    for n in range(60):
        text = f"{stock[0]} {sentence(rng, 14)} {stock[1]}"
        crowd.says("author", 24 * (3.3 + 6 * n / 60), text, status=200, output_tokens=900, turn=1)
    crowd.known.append({"account": "author", "payment": "card-author"})
    pool = users_of_new_wording(crowd, own_subjects=False)
    refuse(crowd, pool, 16, 0.8)
    (case,) = (c for c in scanned(crowd).campaigns if pool.intersection(c.accounts))
    assert len(pool.intersection(case.accounts)) >= 0.8 * len(pool)
    assert "author" not in case.accounts


@pytest.mark.slow
@pytest.mark.parametrize("honest", ["the same account", "one domain", "a colleague in five", "no table"])
def test_the_same_community_in_honest_hands_stays_a_lead(honest: str) -> None:
    crowd = crowd_of(41)
    users = users_of_new_wording(crowd, own_subjects=False)
    refuse(crowd, users, 16, 0.2 if honest == "a colleague in five" else 0.8, honest == "the same account")
    if honest == "one domain":
        for row in crowd.known:
            if row["account"] in users:
                row["email_domain"] = "laboratory.example"
    if honest == "no table":
        crowd.rows.sort(key=lambda row: row["time"])
        result = scan_log(log_of_table(crowd.table()), options=Options(threads=1))
        assert not [c for c in result.campaigns if users.intersection(c.accounts)]
        return
    result = scanned(crowd)
    assert not [c for c in result.campaigns if users.intersection(c.accounts)]
    assert [lead for lead in result.leads if users.intersection(lead.accounts)]


def test_who_sends_most_from_one_network_is_one_customer_unless_it_is_a_hub() -> None:
    """A server with donors' keys; people who once were in one café; a hundred accounts of one operator."""
    crowd = Crowd()
    for k in range(6):
        for n in range(4):
            own = k < 3 or n == 0
            crowd.says(f"acct-{k:03}", k + n, "a question", client_ip="198.51.7.9" if own else f"10.0.{k}.1")
    for k in range(101):
        crowd.says(f"acct-{100 + k:03}", k, "a question", client_ip="203.0.113.5")
    crowd.known = [{"account": name} for name in dict.fromkeys(row["account"] for row in crowd.rows)]
    log = crowd.log()
    found = customers(log, known_of(log, crowd.accounts()), np.arange(len(log.accounts), dtype=np.int32))
    of = {name: int(found[code]) for code, name in enumerate(log.accounts)}
    assert len({of[f"acct-{k:03}"] for k in range(3)}) == 1
    assert len({of[f"acct-{k:03}"] for k in range(6)}) == 4
    assert len({of[f"acct-{100 + k:03}"] for k in range(101)}) == 101


def test_colleagues_and_institutions_are_one_customer_and_a_free_mailer_is_none() -> None:
    crowd = Crowd()
    few = ["firm.example", "firm.example", "gmail.com", "gmail.com"]
    domains = [*few, *["uni.ac.at"] * 30, *["big.example"] * 101]
    for k, domain in enumerate(domains):
        crowd.says(f"acct-{k:03}", k, "a question")
        crowd.known.append({"account": f"acct-{k:03}", "email_domain": domain})
    known = known_of(crowd.log(), crowd.accounts())
    found = customers(crowd.log(), known, np.arange(len(domains), dtype=np.int32))
    assert found[0] == found[1]
    assert found[2] != found[3]
    assert len(set(found[4:34].tolist())) == 1
    assert len(set(found[34:].tolist())) == 101
