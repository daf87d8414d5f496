"""A resold service: a minority of each account's traffic is the campaign, the rest is honest talk (`cover`).

Published: one proxy network of over 20,000 accounts mixed distillation with unrelated requests of its
customers (Anthropic, February 2026). Made up: the share of cover and that customers' talk is like
everybody's.
"""

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.campaigns.asking import ask, wrap_items
from stillwatch.range.stock import Corpora

DEFAULTS = {"cover": 0.65}


def requests(
    plan: CampaignPlan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[PlannedRequest]:
    """A resold service: a minority of each account's traffic is the campaign, the rest is honest talk."""
    return ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrap_items(plan), rng)
