"""Each answer is streamed, and the client disconnects shortly before its end, when it has what it wants.

Published: nothing; an evasion of meters that count finished answers only. Made up: that 60 to 98 % of an
answer has been delivered. The gateway counts what was delivered.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, wrap_items
from stillwatch.range.stock import Corpora

DROPPED = 0.9


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    sent = ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), wrap_items(plan), rng)
    return [replace(r, dropped=bool(rng.random() < DROPPED)) for r in sent]
