"""Shared parts of the tests of other authors' worlds: texts that name themselves, and checks for each world.

The checks take a world's module; its plans, groups and rules have the same fields in all of them.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fifth_author import Honest
from fourth_author import Account, Request, moment
from selves import Person

Row = tuple[Account, float, list[Request]]  # the account, the day, and the requests


class Same:
    """Texts that contain only their own names."""

    def take(self, name: str, count: int) -> list[Any]:
        texts = [f"text {at} of {name}, long enough to be told from others" for at in range(count)]
        if name == "talks pairs":
            return [("talk", json.dumps([text, "an answer", "and then?", "so"])) for text in texts]
        return [(text, text) for text in texts] if name.endswith("pairs") else texts


class SameTalks(Same):
    """Texts that contain only their own names, and conversations of one line."""

    def take(self, name: str, count: int) -> list[Any]:
        texts = super().take(name, count)
        return [[(text, "an answer")] for text in texts] if name == "talks" else texts


class SameDialogues(SameTalks):
    """Texts that contain only their own names, and dialogues as lists of lines."""

    def take(self, name: str, count: int) -> list[Any]:
        taken = super().take(name, count)
        if name.startswith(("chats", "talks pairs")):
            return [
                (name, json.dumps([f"a line of some length {at} in {name} {n}" for n in range(6)]))
                for at in range(len(taken))
            ]
        return taken


def sessions() -> Iterator[list[tuple[str, str]]]:
    while True:
        yield [("rivets hold the hull", "yard/hull.md"), ("the keel is oak", "yard/keel.md")]


def owners(texts: int = 120) -> Iterator[Person]:
    at = 0
    while True:
        at += 1
        yield Person(f"p{at}", "git", [f"own text {at} {n}" for n in range(texts)])


def compose_campaign(
    author: Any, world: Any, plan: Any, places: Any, customers: Sequence[Any]
) -> tuple[list[Account], list[Row]]:
    """Compose a campaign's accounts and requests. author: the module whose code composes the world."""
    rng = np.random.default_rng(5)
    accounts = author.campaign_accounts(rng, plan, places, world)
    return accounts, author.campaign_rows(rng, plan, accounts, SameDialogues(), customers, world)


def compose_group(
    author: Any,
    rows_of: Callable[..., list[Row]],
    team: Any,
    number: int,
    places: Any,
    customers: Sequence[Any],
) -> tuple[list[Account], list[Row]]:
    """Compose a group's accounts, and what they send by `rows_of`."""
    rng = np.random.default_rng(7)
    accounts = author.team_accounts(rng, team, number, places)
    for one in accounts:
        one.state["language"] = "en"
    return accounts, rows_of(rng, team, number, accounts, SameDialogues(), owners(), customers, ())


def check_group(
    group: Any, number: int, accounts: Sequence[Account], rows: Sequence[Row], holes: Sequence[str] = ("{",)
) -> None:
    """Check that an honest group has as many accounts as its rule states, and works within its days.

    holes: what no prompt may contain, such as the marks of an unfilled template.
    """
    first, last = group.days[number % len(group.days)]
    assert group.size[0] <= len(accounts) <= group.size[1]
    assert rows
    assert all(first <= when <= last for _, when, _ in rows)
    assert all(one.created <= moment(one.start) for one in accounts)
    check_filled(rows, holes)


def check_campaign(
    plan: Any,
    accounts: Sequence[Account],
    rows: Sequence[Row],
    *,
    share: tuple[float, float] = (0.94, 1.06),
    hole: str = "{}",
    more_accounts: int = 0,
) -> None:
    """Check that a campaign sends about what its rule states, from so many accounts, within its days.

    share: of the planned requests, least and most. hole: what no prompt may contain, as in `check_group`.
    """
    assert share[0] <= sum(len(unit) for _, _, unit in rows) / plan.count <= share[1]
    assert all(plan.start <= when <= plan.end for _, when, _ in rows)
    check_filled(rows, [hole])
    assert len({one.name for one in accounts}) == len(accounts) == plan.accounts + more_accounts
    assert all(one.created < moment(one.start) for one in accounts)


def check_nameless(plan: Any, accounts: Iterable[Account]) -> None:
    """Check that no account's name gives its campaign away."""
    for one in accounts:
        names = [name or "" for name in (one.name, one.org, one.payment, one.email_domain)]
        assert not any(plan.campaign in name.split("_") or "camp" in name for name in names)


def check_filled(rows: Iterable[Row], holes: Sequence[str]) -> None:
    prompts = [request.prompt for _, _, unit in rows for request in unit]
    assert all(prompts)
    assert not any(hole in prompt for prompt in prompts for hole in holes)


def check_campaign_rules(author: Any) -> None:
    """Check that the rules state each campaign's numbers of accounts and requests in a line of its own."""
    for plan in author.OPERATIONS:
        begin = f"| {plan.campaign} | {plan.style} |"
        (rule,) = [line for line in author.RULES.split("\n") if line.startswith(begin)]
        assert f"| {plan.accounts} |" in rule
        assert f"| {plan.count:,} |" in rule


def check_rules(author: Any, letter: str, numbers: dict[str, int]) -> None:
    """Check that the rules state each kind with its accounts, each group with its size, each campaign."""
    assert [plan.campaign for plan in author.OPERATIONS] == [
        f"{letter}{at}" for at in range(1, len(author.OPERATIONS) + 1)
    ]
    for kind, number in numbers.items():
        assert f"| {kind} | {number} |" in author.RULES
    for team in author.TEAMS:
        size = str(team.size[0]) if team.size[0] == team.size[1] else f"{team.size[0]} to {team.size[1]}"
        assert f"| {team.kind} | {team.groups} × {size} |" in author.RULES
    for plan in author.OPERATIONS:
        assert f"| {plan.campaign} | {plan.style} | {plan.accounts:,} | {plan.count:,} |" in author.RULES


def check_shapes(author: Any, public: Any, letter: str) -> None:
    """Check that the rules state the accounts of each family of software, and of each kind of desk."""
    numbers = Counter[str]()
    for product in (*public.products, public.eval_person):
        family = "_".join(product.kind.split("_")[: 1 if product.kind.startswith("automation") else 2])
        numbers["chat_front" if product.kind.startswith("chat_") else family] += product.accounts
    check_rules(author, letter, numbers)
    for kind, (number, _, _) in public.desks.items():
        assert f"{kind} {number}" in author.RULES


def check_honest_traffic(
    author: Any,
    new_log: Callable[[int], Any],
    compose: Callable[[np.random.Generator, Honest], object],
    campaign: Callable[[np.random.Generator, Any], tuple[list[Account], Iterable[Row]]],
    plans: Sequence[Any],
    folder: Path,
) -> None:
    """Check that honest traffic is the same with and without campaigns, which have only the labelled rows."""
    worlds = []
    for chosen in ((), plans):
        rng = np.random.default_rng(8)
        world = Honest(new_log(8))
        compose(rng, world)
        world.people.append({"person": "nobody"})
        campaigns: list[Account] = []
        for plan in chosen:
            accounts, rows = campaign(rng, plan)
            for one, when, unit in rows:
                world.log.add(rng, one, when, unit, plan.campaign)
            campaigns += accounts
        author.finish(folder / f"{len(chosen)}", world, campaigns, world.log, 8)
        taken = {one.name for one in campaigns}
        worlds.append([row for row in world.log.rows if row["account"] not in taken])
        labels = world.log.labels
        assert all((row["account"] in taken) == (row["exchange_id"] in labels) for row in world.log.rows)
    assert worlds[0] == worlds[1]
