"""Groups that share new wording and ask what is of one source, though each account has settings of its own.

A pool that draws a model and limits for each account passes the test of settings. What it asks is of one
source all the same. So is what a course, a hackathon or a benchmark asks, and nothing that a log holds tells
these apart (docs/lab.md): such a group is a lead, and the gateway's holds may tell.

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
)  # evaluations within a day that must agree, six hours apart; and that must have an account
DEVOTED = 0.25  # of what the median account sent since it took the wording up, that carries it
OVERLAP = 0.3  # of the smaller of two groups, from which they are one


def source_text(users: dict[int, str], members: int) -> str:
    """Why a group of one source stays a lead. users: those who run one program, and which."""
    text = (
        "its accounts share new wording and what they ask is of one source, but their settings say nothing: "
        "one operator that draws settings for each account, or people with one task, as in a course, a "
        "hackathon or a benchmark"
    )
    return f"{text}; {software_text(users, members)}" if users else text


def devotion(
    rows: np.ndarray, label: np.ndarray, members: Collection[int], every: EmergingRows, end: int
) -> float:
    """How much of what the median member sends carries the group's wording, since its first such exchange.

    rows: (m,) a window's exchanges that carry it, in time order; label: (exchanges,) int32 who sent each;
    every: all exchanges by label; end: the window's. Members without any are left out; 0 where there are
    none.
    """
    if len(rows) == 0:
        return 0.0
    who, begin, dealt = deal_rows(rows, label)
    count = np.diff(begin)
    sent = exchanges_since(who, dealt[begin[:-1]].astype(np.int64), every.begin, every.row, end)
    is_member = np.isin(who, list(members))
    return float(np.median(count[is_member] / np.maximum(sent[is_member], 1))) if is_member.any() else 0.0


def overlaps(members: frozenset[int], groups: Iterable[frozenset[int]]) -> bool:
    """Return whether some members are those of a group already."""
    return any(len(members & group) > OVERLAP * min(len(members), len(group)) for group in groups)


def mostly_in(alarm: Alarm, tenants: Collection[int]) -> bool:
    """Return whether half of an alarm's tenants are among some."""
    return sum(p in tenants for p in alarm.evaluations) >= 0.5 * len(alarm.evaluations)


def mostly_one_of(alarm: Alarm, others: Iterable[Alarm]) -> bool:
    """Whether an alarm has half of its tenants in common with one of others, and half of that one's."""
    return any(
        mostly_in(alarm, other.evaluations) and mostly_in(other, alarm.evaluations) for other in others
    )
