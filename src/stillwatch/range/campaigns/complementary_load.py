"""One queue over all accounts: a request refused at one account is sent by the next at once.

Published: load balancing over accounts (Anthropic, February 2026); one account's 429 is another's
request. Made up: that one request in six meets a limit, and the 1 to 4 seconds until the next account
asks.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, wrap_items
from stillwatch.range.stock import Corpora

TURNED = 1 / 6  # of the requests are refused by a limit first


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    turned = round(plan.exchanges * TURNED / (1 + TURNED))
    asks = ask(plan, corpora.draw(plan.pipelines, plan.exchanges - turned, rng), wrap_items(plan), rng)
    sent: Planned = []
    repeated = set(rng.permutation(len(asks))[:turned].tolist())
    for n, r in enumerate(asks):
        if n in repeated:
            sent.append(replace(r, status=429))
            other = int((r.account + 1 + rng.integers(max(1, plan.accounts - 1))) % plan.accounts)
            r = replace(r, account=other, day=r.day + float(rng.uniform(1, 4)) / 86400)
        sent.append(r)
    return sent
