"""A few requests per account and day over very many accounts; half in a template, half wrapped.

Published: 5.6 to 25.6 exchanges per account and day (the campaigns of 2026). Made up: the mixture of
wordings.
"""

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.campaigns.asking import ask, template, wrap_items
from stillwatch.range.stock import Corpora


def requests(
    plan: CampaignPlan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[PlannedRequest]:
    """A few requests per account and day over very many accounts; half in a template, half wrapped."""
    one, other = template(plan), wrap_items(plan)
    items = corpora.draw(plan.pipelines, plan.exchanges, rng)
    return ask(plan, items, lambda item, r: (one if r.random() < 0.5 else other)(item, r), rng)
