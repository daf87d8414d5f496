"""The question alone first, the elicitation as a follow-up in the same conversation.

Published: nothing; an evasion of everything that looks at first turns. Made up: the follow-ups.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, bare
from stillwatch.range.stock import Corpora
from stillwatch.range.wording import FOLLOW_UPS


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    first = ask(plan, corpora.draw(plan.pipelines, -(-plan.exchanges // 2), rng), bare, rng)
    sent: Planned = []
    for talk, opening in enumerate(first):
        request = replace(opening, talk=talk)
        later = request.day + float(rng.uniform(40, 240)) / 86400
        words = FOLLOW_UPS[rng.integers(len(FOLLOW_UPS))]
        sent += [request, replace(request, day=later, prompt=words, turn=2)]
    return sent[: plan.exchanges]
