"""Folds a campaign's links into a small picture: groups of accounts beside what they share.

At most `MARKS` marks are drawn, whatever the number of accounts.
"""

import math
import statistics
from collections import Counter
from dataclasses import dataclass

from stillwatch.scan import Campaign, Link

SHARED = 8  # nodes on the right
GROUPS = 7  # nodes on the left
MARKS = 40  # nodes and lines together
OTHER = ("other clues", "")


@dataclass(frozen=True)
class SharedTrait:
    """Something that accounts share: a row of the table of links and a node of the picture."""

    letter: str
    clue: str
    text: str
    control: str
    accounts: int
    links: int
    bits: float  # median over its links
    total_bits: float


@dataclass(frozen=True)
class AccountGroup:
    """Accounts that share exactly the same things."""

    accounts: int
    letters: tuple[str, ...]
    example: str
    mixed: bool  # the remaining accounts: not all of them share all of `letters`


@dataclass(frozen=True)
class LinkLine:
    group: int
    shared: int
    accounts: int


@dataclass(frozen=True)
class LinkPicture:
    shared: tuple[SharedTrait, ...]  # most bits first
    groups: tuple[AccountGroup, ...]
    lines: tuple[LinkLine, ...]
    lines_left_out: int
    unlinked: int  # accounts without a link


def node_of_each(links: tuple[Link, ...]) -> dict[tuple[str, str], tuple[str, str]]:
    """Map each (clue, text) to its node: common ones get their own, a clue's rare ones share one."""
    seen = Counter((link.clue, link.text) for link in links)
    of_clue: dict[str, list[tuple[str, str]]] = {}
    for key in sorted(seen, key=lambda x: (-seen[x], x)):
        of_clue.setdefault(key[0], []).append(key)
    nodes: dict[tuple[str, str], tuple[str, str]] = {}
    for clue, keys in of_clue.items():
        for i, key in enumerate(keys):
            nodes[key] = key if len(keys) <= 3 or (i < 2 and seen[key] > 2) else (clue, "")
    bits: dict[tuple[str, str], list[float]] = {}
    for link in links:
        bits.setdefault(nodes[link.clue, link.text], []).append(link.bits)
    # exact sums: the picture does not depend on the order of links
    weight = {node: math.fsum(bits_of_node) for node, bits_of_node in bits.items()}
    ranked = sorted(weight, key=lambda x: (-weight[x], x))
    if len(ranked) > SHARED:
        rest = set(ranked[SHARED - 1 :])
        nodes = {key: (OTHER if node in rest else node) for key, node in nodes.items()}
    return nodes


def shared_traits(
    links: tuple[Link, ...], accounts: frozenset[str]
) -> tuple[list[SharedTrait], dict[str, set[int]]]:
    nodes = node_of_each(links)
    by_node: dict[tuple[str, str], list[Link]] = {}
    for link in links:
        by_node.setdefault(nodes[link.clue, link.text], []).append(link)
    order = sorted(by_node, key=lambda x: (-math.fsum(link.bits for link in by_node[x]), x))
    rows, of_account = [], {account: set[int]() for account in accounts}
    for i, node in enumerate(order):
        own_links = by_node[node]
        members = {account for link in own_links for account in (link.a, link.b)} & accounts
        for account in members:
            of_account[account].add(i)
        texts = {link.text for link in own_links}
        text = node[1] or f"{len(texts):,} different ones, such as: {min(texts)}"
        bits = [link.bits for link in own_links]
        control = ", ".join(sorted({link.control for link in own_links}))
        letter, counts = chr(ord("A") + i), (len(members), len(own_links))
        sums = statistics.median(bits), math.fsum(bits)
        rows.append(SharedTrait(letter, node[0], text, control, *counts, *sums))
    return rows, of_account


def fold(campaign: Campaign) -> LinkPicture:
    """Group accounts by what they share; the same campaign always gives the same picture."""
    accounts = frozenset(campaign.accounts)
    rows, of_account = shared_traits(campaign.links, accounts)
    alike: dict[tuple[int, ...], list[str]] = {}
    for account in sorted(accounts):
        if of_account[account]:
            alike.setdefault(tuple(sorted(of_account[account])), []).append(account)
    ranked = sorted(alike.items(), key=lambda x: (-len(x[1]), x[0]))
    shown, rest = (ranked, []) if len(ranked) <= GROUPS else (ranked[: GROUPS - 1], ranked[GROUPS - 1 :])
    groups_made = [(Counter({i: len(who) for i in key}), who, False) for key, who in shown]
    if rest:
        counts: Counter[int] = Counter()
        for key, who in rest:
            counts.update({i: len(who) for i in key})
        groups_made.append((counts, [account for _, who in rest for account in who], True))
    groups_made.sort(key=lambda g: (g[2], sum(g[0]) / len(g[0]), -len(g[1]), g[1][0]))  # fewer crossings
    groups = tuple(
        AccountGroup(len(who), tuple(rows[i].letter for i in sorted(n)), min(who), mixed)
        for n, who, mixed in groups_made
    )
    lines = [
        LinkLine(g, i, n)
        for g, (counts_of_group, _, _) in enumerate(groups_made)
        for i, n in counts_of_group.items()
    ]
    lines.sort(key=lambda x: (-x.accounts, x.group, x.shared))
    lines_left = MARKS - len(rows) - len(groups)
    unlinked = sum(not s for s in of_account.values())
    return LinkPicture(
        tuple(rows), groups, tuple(lines[:lines_left]), max(0, len(lines) - lines_left), unlinked
    )
