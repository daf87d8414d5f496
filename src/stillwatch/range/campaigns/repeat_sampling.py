"""Each question several times, on different accounts: rejection sampling at the teacher's cost.

Published: OpenThoughts draws 16 samples per question (`repeats = 16`). Made up: that no account asks one
twice, as far as chance allows.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, bare
from stillwatch.range.stock import Corpora


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    items = corpora.draw(plan.pipelines, -(-plan.exchanges // plan.repeats), rng)
    repeated = [items[i // plan.repeats] for i in rng.permutation(plan.exchanges)]
    return ask(plan, repeated, bare, rng)
