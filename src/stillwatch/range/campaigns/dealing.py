"""Variations of a pool's queue: topics stay with an account, failed requests and answers move.

`sticky`: a share of the items is assigned by topic, so that one account asks all of a topic. The volumes and
times stay as the shape has them; only the texts are exchanged. `retries`: a request refused at one account is
sent again word for word at another within minutes. `cleaned`: a share of the answers comes back from another
account, to be cleaned.

Published: routing by subject and session affinity are options of common gateways; a task queue repeats failed
tasks; cleaners of reasoning traces (`trace_cleaning.py`). Made up: that a topic is a word that some but not
many of the items have; the minutes and hours; that any account cleans.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from stillwatch.range.answers import answer
from stillwatch.range.campaigns import CampaignPlan, Planned, PlannedRequest, Rng

WORD = re.compile(r"[^\W\d_]{4,}")
# of the items with a topic's word: a rarer word is no topic, a more common one is wording
LEAST_ITEMS, MOST_SHARE = 3, 0.2
FAILS = 0.006  # share of requests that the service refuses, as in any composed scene (rows.py)
RETRY_MINUTES = (0.2, 8.0)
MOST_RETRIES = 3
ANSWERED, BUSY = 200, 429
CLEANED_HOURS = (0.2, 12.0)
ORDER = (
    "RAW TRACE {n}\n{answer}\n\nRemove loops and false starts, keep every step that matters, end with VALID."
)


def topics_of(prompts: Sequence[str]) -> list[str]:
    """Return each prompt's topic: its most frequent word that is no common word; empty if it has none.

    >>> topics_of(["solve the equation", "an equation of mine", "this equation now", "cook rice"])[:3]
    ['', '', '']
    """
    words = [set(WORD.findall(prompt.lower())) for prompt in prompts]
    count = Counter(word for item in words for word in item)
    most = MOST_SHARE * len(prompts)
    return [
        max((w for w in item if LEAST_ITEMS <= count[w] <= most), key=lambda w: (count[w], w), default="")
        for item in words
    ]


def stick(plan: CampaignPlan, sent: Planned, rng: Rng) -> Planned:
    """Assign `plan.sticky` of the items by topic: each such topic to one account, or to as few as hold it."""
    by: dict[tuple[object, ...], list[int]] = {}
    for n, r in enumerate(sent):
        if r.talk is None and r.turn == 1:  # the turns of a conversation stay where they are
            pool = r.account // plan.accounts  # shapes with bans have consecutive pools
            by.setdefault((pool, r.system is None, r.refused, r.model, r.status, r.dropped), []).append(n)
    dealt = list(sent)
    for places in by.values():
        prompts = _deal_prompts(
            [sent[n].account for n in places], [sent[n].prompt for n in places], plan.sticky, rng
        )
        for n, prompt in zip(places, prompts, strict=True):
            dealt[n] = replace(sent[n], prompt=prompt)
    return dealt


def _deal_prompts(accounts: Sequence[int], prompts: Sequence[str], share: float, rng: Rng) -> list[str]:
    """Return the prompt of each place, so that the given share of them is with its topic's account."""
    items: dict[str, list[str]] = {}
    for prompt, topic in zip(prompts, topics_of(prompts), strict=True):
        items.setdefault(topic, []).append(prompt)
    free = items.pop("", [])
    room = Counter(accounts)
    items_of: dict[int, list[str]] = {account: [] for account in room}
    stuck = 0
    names = sorted(items)
    for name in (names[i] for i in rng.permutation(len(names))):
        own_items = items[name]
        if stuck >= share * len(prompts):
            free += own_items
            continue
        stuck += len(own_items)
        while own_items:
            account = max(room, key=lambda a: (room[a], -a))
            first, own_items = own_items[: room[account]], own_items[room[account] :]
            items_of[account] += first
            room[account] -= len(first)
    free = [free[i] for i in rng.permutation(len(free))]
    for account, n in room.items():
        items_of[account] += [free.pop() for _ in range(n)]
    for account, own_items in items_of.items():
        items_of[account] = [own_items[i] for i in rng.permutation(len(own_items))]
    return [items_of[account].pop() for account in accounts]


def retry(plan: CampaignPlan, sent: Planned, rng: Rng) -> Planned:
    """Let some requests fail, and repeat `plan.retries` of those at another account within minutes.

    Requests refused or answered by the shape itself stay as they are.
    """
    out: Planned = []
    for request in sent:
        if request.status is not None:
            out.append(request)
            continue
        tries = [replace(request, status=ANSWERED)]
        while rng.random() < FAILS and len(tries) <= MOST_RETRIES:
            tries[-1] = replace(tries[-1], status=BUSY)
            if rng.random() >= plan.retries:
                break
            tries.append(_elsewhere(plan, tries[-1], rng))
        out += tries
    return out


def _elsewhere(plan: CampaignPlan, failed: PlannedRequest, rng: Rng) -> PlannedRequest:
    """Return the same words at another account of the same pool, minutes later."""
    pool, position = divmod(failed.account, plan.accounts)
    if plan.accounts > 1:
        position = (position + 1 + int(rng.integers(plan.accounts - 1))) % plan.accounts
    day = failed.day + float(rng.uniform(*RETRY_MINUTES)) / 1440
    talk = failed.talk if plan.accounts == 1 else None  # a conversation belongs to one account
    return replace(failed, account=pool * plan.accounts + position, day=day, status=ANSWERED, talk=talk)


def clean(plan: CampaignPlan, sent: Planned, rng: Rng) -> Planned:
    """Send the planned share of the answers back from another account, hours later, to be cleaned."""
    out: Planned = []
    for request in sent:
        if request.status not in (None, ANSWERED) or request.refused or rng.random() >= plan.cleaned:
            out.append(request)
            continue
        trace = answer(plan.visible_tokens * rng.lognormal(0, 0.5), rng)
        order = ORDER.format(n=rng.integers(1000, 9999), answer=trace)
        day = request.day + float(rng.uniform(*CLEANED_HOURS)) / 24
        retried = replace(_elsewhere(plan, request, rng), prompt=order, day=day, turn=1, talk=None)
        out += [
            replace(request, answer=trace, status=ANSWERED),
            replace(retried, answer=f"{trace} VALID", system=None),
        ]
    return out


def deal(plan: CampaignPlan, sent: Planned, rng: Rng) -> Planned:
    """Apply the plan's variations; without any, no random number is drawn."""
    if plan.sticky:
        sent = stick(plan, sent, rng)
    if plan.retries:
        sent = retry(plan, sent, rng)
    if plan.cleaned:
        sent = clean(plan, sent, rng)
    return sent
