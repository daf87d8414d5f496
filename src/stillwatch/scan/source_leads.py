"""Groups that share new wording and content of one source, though each account has settings of its own.

A pool that draws a model and limits for each account passes the test of settings, but its content is still of
one source. The content of a course, a hackathon or a benchmark is of one source as well, and nothing in a log
separates them (docs/lab.md): such a group is a lead, and the gateway's holds may decide.

Blind to: a pool that deals whole subjects to its accounts; a group without shared wording; accounts for which
    the wording is a small part of what they do; a log without settings that vary, or without an accounts
    table: a class cannot be ruled out there.
Fooled by: people with one task.
Source: docs/scan.md, leads; docs/lab.md.
"""

# mypy: allow-untyped-defs

from collections.abc import Collection, Iterable

import numpy as np

from stillwatch.actors.behaviour import EmergingRows
from stillwatch.scan.alarms import Alarm
from stillwatch.scan.explanations import software_text
from stillwatch.scan.follow import exchanges_since
from stillwatch.stats.dealing import deal_rows

EVALUATIONS = (
    3,
    2,
)  # evaluations within a day that must agree, six hours apart; and that must include an account
DEVOTED = 0.25  # of the median account's exchanges since it took the wording up, those that carry it
OVERLAP = 0.3  # of the smaller of two groups, above which they are one


def source_text(users: dict[int, str], members: int) -> str:
    """Return why a group of one source stays a lead. users: those who run one program, and which."""
    text = (
        "its accounts share new wording and what they ask is of one source, but their settings say nothing: "
        "one operator that draws settings for each account, or people with one task, as in a course, a "
        "hackathon or a benchmark"
    )
    return f"{text}; {software_text(users, members)}" if users else text


def devotion(
    rows: np.ndarray, label: np.ndarray, members: Collection[int], every: EmergingRows, end: int
) -> float:
    """Return the share of the median member's exchanges that carry the group's wording, since its first such
    one.

    rows: (m,) a window's exchanges that carry it, in time order; label: (exchanges,) int32 sender of each;
    every: all exchanges by label; end: the window's. Members without any are left out; 0 if none is left.
    """
    if len(rows) == 0:
        return 0.0
    who, begin, dealt = deal_rows(rows, label)
    count = np.diff(begin)
    sent = exchanges_since(who, dealt[begin[:-1]].astype(np.int64), every.begin, every.row, end)
    is_member = np.isin(who, list(members))
    return float(np.median(count[is_member] / np.maximum(sent[is_member], 1))) if is_member.any() else 0.0


def overlaps(members: frozenset[int], groups: Iterable[frozenset[int]]) -> bool:
    """Return whether some members are already those of a group."""
    return any(len(members & group) > OVERLAP * min(len(members), len(group)) for group in groups)


def mostly_in(alarm: Alarm, tenants: Collection[int]) -> bool:
    """Return whether half of an alarm's tenants are among some."""
    return sum(p in tenants for p in alarm.evaluations) >= 0.5 * len(alarm.evaluations)


def mostly_one_of(alarm: Alarm, others: Iterable[Alarm]) -> bool:
    """Return whether an alarm shares half of its tenants, and half of the other's, with one of others."""
    return any(
        mostly_in(alarm, other.evaluations) and mostly_in(other, alarm.evaluations) for other in others
    )
