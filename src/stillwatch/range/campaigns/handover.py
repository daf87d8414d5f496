"""A conversation begins on one account and continues on another: the history moves, the account changes.

Published: cross-session replay, with thinking signatures of other accounts (2026, second-hand). The
exchange record has no field for a signature; what is left of it is a later turn with a long input on an
account that never had the first. Made up: how often it happens (every time) and after how long.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, bare
from stillwatch.range.stock import Corpora
from stillwatch.range.wording import FOLLOW_UPS


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    """A conversation begins on one account and continues on another:

    the history moves, the account changes.
    """
    first = ask(plan, corpora.draw(plan.pipelines, -(-plan.exchanges // 2), rng), bare, rng)
    sent: Planned = []
    for talk, opening in enumerate(first):
        sent.append(replace(opening, talk=talk))
        if len(sent) == plan.exchanges:
            break
        other = int((opening.account + 1 + rng.integers(max(1, plan.accounts - 1))) % plan.accounts)
        later = opening.day + float(rng.uniform(0.2, 6)) / 24
        words = FOLLOW_UPS[rng.integers(len(FOLLOW_UPS))]
        sent.append(replace(opening, account=other, day=later, prompt=words, turn=2, talk=talk))
    return [
        r if r.day < plan.start + plan.days else replace(r, day=plan.start + plan.days - 1e-4) for r in sent
    ]
