"""One account, or very few, run a published pipeline as it is.

Published: the pipelines (Alpaca, Orca, OpenThoughts and others) say in their own code what they send.
Made up: that one account sends all of it. The campaign that any per-account limit sees.
"""

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.campaigns.asking import ask, bare
from stillwatch.range.stock import Corpora

DEFAULTS = {"accounts": 1}


def requests(
    plan: CampaignPlan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[PlannedRequest]:
    """One account, or very few, run a published pipeline as it is."""
    return ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng, as_published=True)
