"""What the provider sees that makes members of a group honest: classes among them."""

import numpy as np
import pytest

from holds_world import HOUR_US, START_US, log_of
from stillwatch.actors import AccountFacts
from stillwatch.scan.explanations import class_members, main_networks, one_event, share_instruments


def known_by(domains: list[str]) -> AccountFacts:
    blank = [""] * len(domains)
    return AccountFacts(blank, blank, np.zeros(len(domains), np.int64), blank, [()] * len(domains), domains)


@pytest.mark.parametrize(
    ("students", "others", "elsewhere", "set_aside"),
    [(20, 8, 5, 20), (3, 20, 5, 3), (2, 20, 5, 0), (20, 8, 700, 0), (0, 20, 5, 0)],
    ids=["a class beside a pool", "a few", "two by chance", "a log of a university", "none"],
)
def test_a_class_is_taken_out_of_a_group_and_leaves_the_pool(
    students: int, others: int, elsewhere: int, set_aside: int
) -> None:
    domains = ["uni.ac.at"] * students + ["gmail.com"] * others
    domains += ["mit.edu"] * elsewhere + ["example.com"] * (1000 - elsewhere)
    group = np.arange(students + others, dtype=np.int32)
    assert class_members(known_by(domains), group).tolist() == list(range(set_aside))
    assert class_members(None, group).tolist() == []


@pytest.mark.parametrize(
    ("payment", "party", "shared"),
    [
        (["a"] * 9 + ["b"] * 9, [0] * 9 + [9] * 9, False),
        (["a", "a", "b", "b"], [0, 1, 2, 3], True),
        (["a"] * 9 + ["b", "c", "d"], [0] * 9 + [9, 10, 11], False),
        (["a"] * 6 + ["b"], [0, 1, 1, 1, 1, 1, 6], True),
        ([""] * 4, [0, 1, 2, 3], False),
    ],
    ids=["two firms' cards", "strangers in pairs", "a firm and three", "a firm and a stranger", "none known"],
)
def test_colleagues_with_their_firms_card_share_nothing_with_others(
    payment: list[str], party: list[int], shared: bool
) -> None:
    blank = [""] * len(payment)
    zero = np.zeros(len(payment), np.int64)
    known = AccountFacts(blank, payment, zero, blank, [()] * len(payment), blank)
    assert share_instruments(known, np.arange(len(payment)), np.array(party)) is shared


@pytest.mark.parametrize(
    ("networks", "cards", "hours", "explained"),
    [
        ([1] * 10, 0, 40, True),
        ([1] * 8 + [2, 3], 2, 40, True),
        ([1] * 7 + [2, 3, 4], 0, 40, False),
        ([1] * 10, 3, 40, False),
        ([1] * 10, 0, 80, False),
        ([-1] * 10, 0, 40, False),
    ],
    ids=["a hackathon", "two at home, two who pay", "several networks", "they pay", "it goes on", "unknown"],
)
def test_an_event_pays_nothing_at_one_network_and_ends(
    networks: list[int], cards: int, hours: float, explained: bool
) -> None:
    many = len(networks)
    times = [START_US, START_US + int(hours * HOUR_US)]
    log = log_of([(at_us + k, f"acct-{k:02}", 200, k) for at_us in times for k in range(many)])
    log.columns["net"] = np.array(networks, np.int32)[log["account"]]
    blank, payment = [""] * many, [f"card{k}" for k in range(cards)] + [""] * (many - cards)
    known = AccountFacts(blank, payment, np.zeros(many, np.int64), blank, [()] * many, blank)
    everybody = np.arange(many, dtype=np.int32)
    assert bool(one_event(known, main_networks(log), everybody, log["ts_us"])) is explained
