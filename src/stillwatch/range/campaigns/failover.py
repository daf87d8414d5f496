"""Pools of accounts that stop when banned, and fresh pools that go on with the same stock.

Published: banned accounts replaced (Anthropic, February 2026); a second pool took over after a ban (September
2026, second-hand). Made up: when the bans come (`bans`, shares of the campaign) and a pause of 3.6 hours.
"""

from dataclasses import replace
from itertools import pairwise

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, template
from stillwatch.range.stock import Corpora

DEFAULTS = {"bans": (0.4,)}


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    items = corpora.draw(plan.pipelines, plan.exchanges, rng)
    edges = (0.0, *plan.bans, 1.0)
    sent: Planned = []
    for wave, (begin, end) in enumerate(pairwise(edges)):
        part = items[round(begin * len(items)) : round(end * len(items))]
        pause = 0.15 if wave else 0.0
        now = replace(
            plan, start=plan.start + plan.days * begin + pause, days=plan.days * (end - begin) - pause
        )
        sent += [
            replace(r, account=r.account + wave * plan.accounts) for r in ask(now, part, template(plan), rng)
        ]
    return sent
