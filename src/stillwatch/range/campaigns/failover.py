"""Pools of accounts that stop when banned, and fresh pools that continue with the same stock.

Published: banned accounts replaced (Anthropic, February 2026); a second pool took over after a ban (September
2026, second-hand). Made up: when the bans come (`bans`, shares of the campaign) and a pause of 3.6 hours.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask_by_pools, template
from stillwatch.range.stock import Corpora

DEFAULTS = {"bans": (0.4,)}


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    items = corpora.draw(plan.pipelines, plan.exchanges, rng)
    return ask_by_pools(plan, items, template(plan), 0.15, rng)
