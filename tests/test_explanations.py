"""What the provider sees that makes members of a group honest: classes among them."""

import numpy as np
import pytest

from stillwatch.actors import AccountFacts
from stillwatch.scan.explanations import class_members


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
