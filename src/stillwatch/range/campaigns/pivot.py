"""Within 24 hours of a release the campaign moves to the new model, each account at an hour of its own.

Published: nearly half of the traffic went to a new model within 24 hours (Anthropic, February 2026, MiniMax).
Made up: that each account moves when it likes.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, wrap_items
from stillwatch.range.stock import Corpora


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    """Within 24 hours of a release the campaign moves to the new model, each account at its own time."""
    sent = ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrap_items(plan), rng)
    moves = new_model_day + rng.random(plan.accounts)
    return [replace(r, model="mira-think-2") if r.day >= moves[r.account] else r for r in sent]
