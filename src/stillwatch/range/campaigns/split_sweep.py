"""The train split of a benchmark in its order, each item with its running number, distributed in blocks.

Published: train splits of public benchmarks and incremental ids are among the signs of a sweep. Made up: the
form of the id, and that blocks of twenty go to one account.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, PlannedRequest, Rng
from stillwatch.range.campaigns.asking import spread
from stillwatch.range.stock import Corpora

DEFAULTS = {"pipelines": ("reasoning_sft_math",)}
BLOCK = 20


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    items = corpora.draw(plan.pipelines, plan.exchanges, rng)
    day = spread(plan, plan.exchanges, rng)[1]
    block = max(1, min(BLOCK, plan.exchanges // plan.accounts))  # so that every account gets some
    turn = rng.permutation(plan.accounts)
    first = int(rng.integers(1, 40_000))
    return [
        PlannedRequest(
            int(turn[n // block % len(turn)]), float(when), f"id: train-{first + n:06d}\n{item.question}"
        )
        for n, (item, when) in enumerate(zip(items, day, strict=True))
    ]
