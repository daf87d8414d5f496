"""The teacher as reward model: question and answer pairs under one rubric.

Published: rubric-based grading for a reward model (Anthropic, February 2026). Made up: the rubrics.
"""

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.campaigns.asking import ask
from stillwatch.range.stock import Corpora
from stillwatch.range.wording import RUBRICS

DEFAULTS = {"pipelines": ("pairs",), "model": "mira-large", "visible_tokens": 170.0}


def requests(
    plan: CampaignPlan, corpora: Corpora, rng: np.random.Generator, new_model_day: float
) -> list[PlannedRequest]:
    """The teacher as reward model: question and answer pairs under one rubric."""
    form = RUBRICS[plan.wording % len(RUBRICS)]
    items = corpora.draw(("pairs",), plan.exchanges, rng)
    return ask(plan, items, lambda item, _: form.format(q=item.question, a=item.answer), rng)
