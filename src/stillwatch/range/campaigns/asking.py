"""How requests are distributed over accounts and days, and how an item is put into words."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, Planned, PlannedRequest, Requests, Rng
from stillwatch.range.stock import Corpora, Item
from stillwatch.range.wording import CLOSINGS, OPENINGS, TEMPLATES

Words = Callable[[Item, Rng], str]


def bare(item: Item, rng: Rng) -> str:
    return item.question


def as_it_is(plan: CampaignPlan) -> Words:
    """Send items without added wording."""
    return bare


def template(plan: CampaignPlan) -> Words:
    """Put every item into the plan's template."""
    forms = TEMPLATES[plan.language]
    form = forms[plan.wording % len(forms)]
    return lambda item, rng: form.replace("{q}", item.question)


def wrap_items(plan: CampaignPlan) -> Words:
    """Put every item between a newly drawn opening and closing."""
    openings, closings = OPENINGS[plan.language], CLOSINGS[plan.language]

    def words(item: Item, rng: Rng) -> str:
        return openings[rng.integers(len(openings))] + item.question + closings[rng.integers(len(closings))]

    return words


def fill_form(forms: Sequence[str]) -> Callable[[CampaignPlan], Words]:
    """Put every question with its answer into one of some forms, chosen by the plan."""

    def words(plan: CampaignPlan) -> Words:
        form = forms[plan.wording % len(forms)]
        return lambda item, rng: form.format(q=item.question, a=item.answer)

    return words


def spread(plan: CampaignPlan, count: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Choose the account and the day of `count` requests, in the order of time; every account gets one.

    At tradecraft 2 volumes differ between accounts and each has waking hours of its own; below it, work is
    distributed evenly and round the clock.
    """
    pool, human = plan.accounts, plan.tradecraft == 2
    weight = rng.gamma(2.5, size=pool) if human else np.ones(pool)
    first = np.arange(min(pool, count))
    account = np.concatenate([first, rng.choice(pool, size=count - len(first), p=weight / weight.sum())])
    day = plan.start + plan.days * rng.random(count)
    if human:
        waking = rng.random(pool)[account]  # when the account's day begins, as a share of a day
        asleep = (day - waking) % 1.0 > 0.67
        day[asleep] -= rng.uniform(0.34, 0.67, size=int(asleep.sum()))
        day = plan.start + (day - plan.start) % plan.days
    order = np.argsort(day, kind="stable")
    return account[order], day[order]


def sessions(exchanges: int, accounts: int, longest: int, rng: Rng) -> list[int]:
    """Split exchanges into sessions of 1 to `longest` turns, with at least as many sessions as accounts."""
    lengths: list[int] = []
    exchanges_left = exchanges
    while exchanges_left > 0:
        owed = max(0, accounts - len(lengths) - 1)
        length = min(1 + int(rng.integers(longest)), max(1, exchanges_left - owed))
        lengths.append(length)
        exchanges_left -= length
    return [lengths[i] for i in rng.permutation(len(lengths))]


def ask(
    plan: CampaignPlan, items: list[Item], words: Words, rng: Rng, *, as_published: bool = False
) -> Planned:
    """Distribute the items over the plan's accounts and days; `as_published` keeps the system text."""
    account, day = spread(plan, len(items), rng)
    return [
        PlannedRequest(int(a), float(d), words(item, rng), item.system if as_published else None)
        for a, d, item in zip(account, day, items, strict=True)
    ]


def ask_by_pools(plan: CampaignPlan, items: list[Item], words: Words, pause: float, rng: Rng) -> Planned:
    """Distribute the items over pools, each of which takes over `pause` days after the last one's ban."""
    edges = (0.0, *plan.bans, 1.0)
    sent: Planned = []
    for pool, (begin, end) in enumerate(pairwise(edges)):
        part = items[round(begin * len(items)) : round(end * len(items))]
        late = pause if pool else 0.0
        start, days = plan.start + plan.days * begin + late, plan.days * (end - begin) - late
        asked = ask(replace(plan, start=start, days=days), part, words, rng)
        sent += [replace(r, account=r.account + pool * plan.accounts) for r in asked]
    return sent


def dealt_out(
    words: Callable[[CampaignPlan], Words], *, pipelines: tuple[str, ...] = (), as_published: bool = False
) -> Requests:
    """Return the shape that only draws its items, puts each into words and distributes them.

    pipelines: sources to draw from instead of the plan's.
    """

    def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
        items = corpora.draw(pipelines or plan.pipelines, plan.exchanges, rng)
        return ask(plan, items, words(plan), rng, as_published=as_published)

    return requests
