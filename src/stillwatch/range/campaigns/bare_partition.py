"""One distribution dealt out over many accounts, no two asking the same, no words added.

Published: Anthropic (February 2026) saw load balancing over accounts with identical patterns; complementary
parts of one data set are what a task queue leaves behind. Made up: the absence of any shared wording.
"""

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.campaigns.asking import ask, bare
from stillwatch.range.stock import Corpora


def requests(
    plan: CampaignPlan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[PlannedRequest]:
    """One distribution dealt out over many accounts, no two asking the same, no words added."""
    return ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng, as_published=True)
