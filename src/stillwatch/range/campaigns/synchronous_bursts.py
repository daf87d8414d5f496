"""All accounts start and stop together, a few times a day: one job, run from one place.

Published: synchronised traffic across accounts (Anthropic, February 2026, DeepSeek). Made up: three
bursts a day of forty minutes each, at hours of the campaign's own.
"""

from dataclasses import replace

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, wrap_items
from stillwatch.range.stock import Corpora

A_DAY = 3
LENGTH = 40 / 1440  # of a day


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    bursts = max(1, round(plan.days * A_DAY))
    begins = np.sort(plan.start + (plan.days - LENGTH) * rng.random(bursts)) if plan.days > LENGTH else None
    sent = ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrap_items(plan), rng)
    if begins is None:
        return sent
    moved = [replace(r, day=float(begins[rng.integers(bursts)] + LENGTH * rng.random())) for r in sent]
    return sorted(moved, key=lambda r: r.day)
