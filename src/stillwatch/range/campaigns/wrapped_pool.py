"""The same stock, each prompt in a wrapper of its own.

Published: nothing; the evasion that a shared template invites. Made up: openings and closings.
"""

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.campaigns.asking import ask, wrap_items
from stillwatch.range.stock import Corpora


def requests(
    plan: CampaignPlan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[PlannedRequest]:
    """The same stock, each prompt in a wrapper of its own."""
    return ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrap_items(plan), rng)
