"""Wrapped prompts on honest accounts whose keys were taken: the owner's own traffic goes on beside it.

Published: stolen keys resold as access to hosted models (reported since 2024 as LLM-jacking). Made up:
that every key of the pool is stolen (`stolen` sets the share), which accounts are hit, and that the thief
takes a few requests from each. Only in scenes composed among honest people; the account's history is its
owner's.
"""

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.campaigns.asking import ask, wrap_items
from stillwatch.range.stock import Corpora

DEFAULTS = {"stolen": 1.0}


def requests(
    plan: CampaignPlan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[PlannedRequest]:
    """Wrapped prompts on honest accounts whose keys were taken: the owner's own traffic goes on beside it."""
    return ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrap_items(plan), rng)
