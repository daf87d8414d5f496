"""All accounts change the model, and half of them the subject, within the same minutes.

Published: nearly half of the traffic went to a new model within 24 hours of its release (Anthropic, February
2026, MiniMax). Made up: that one operator switches all accounts at once, two to twenty hours after the
release.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, PlannedRequest, Rng
from stillwatch.range.campaigns.asking import spread, wrap_items
from stillwatch.range.stock import Corpora

DEFAULTS = {"pipelines": ("reasoning_sft_math", "word_problems")}


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    half = plan.exchanges // 2
    before, after = (plan.pipelines[0],), plan.pipelines[1:] or plan.pipelines
    items = corpora.draw(before, plan.exchanges - half, rng) + corpora.draw(after, half, rng)
    account, day = spread(plan, plan.exchanges, rng)
    turn = new_model_day + float(rng.uniform(2, 20)) / 24
    words = wrap_items(plan)
    sent = []
    for a, d, item in zip(account, day, items, strict=True):
        late = d >= turn + a % 12 / 1440  # one minute later for each twelfth of the pool
        sent.append(
            PlannedRequest(int(a), float(d), words(item, rng), model="mira-think-2" if late else None)
        )
    return sent
