"""One template around every item, over many accounts.

Published: Anthropic (February 2026), identical prompt patterns over accounts. Made up: the templates.
"""

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.campaigns.asking import ask, template
from stillwatch.range.stock import Corpora


def requests(
    plan: CampaignPlan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[PlannedRequest]:
    """One template around every item, over many accounts."""
    return ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), template(plan), rng)
