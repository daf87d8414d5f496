"""Bare questions; each account hides the elicitation in a system prompt of its own.

Published: nothing; an evasion of shared wording. Made up: the system prompts.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, bare
from stillwatch.range.stock import Corpora
from stillwatch.range.wording import SYSTEMS


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    sent = ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng)
    voice = rng.permutation(plan.accounts)

    def system(account: int) -> str:
        n = int(voice[account])
        return SYSTEMS[n % len(SYSTEMS)] + " " + SYSTEMS[(n // len(SYSTEMS) + n + 1) % len(SYSTEMS)]

    return [replace(r, system=system(r.account)) for r in sent]
