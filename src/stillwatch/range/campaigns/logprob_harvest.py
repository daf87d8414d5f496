"""Short completions with log-probabilities: soft labels rather than text.

Published: extraction of classifiers by queries (MeaeQ, meaning-based extraction of BERT). Made up: five
log-probabilities and one to four tokens.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, bare
from stillwatch.range.stock import Corpora

DEFAULTS = {"model": "mira-mini", "visible_tokens": 3.0, "reasoning_tokens": 300.0}


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    sent = ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng)
    return [replace(r, top_logprobs=5, max_tokens=int(rng.choice([1, 2, 4]))) for r in sent]
