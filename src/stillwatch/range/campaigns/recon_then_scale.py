"""A few accounts try many different tricks and are refused; a day later the others run one template.

Published: the order of the two, in campaigns of 2026 (second-hand). Made up: the tricks, and that a
twentieth of the accounts does the searching.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, bare, template
from stillwatch.range.stock import Corpora, Item
from stillwatch.range.wording import PROBE_HEADS, PROBE_TWISTS


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    probes = min(150, plan.exchanges // 10)
    scouts = min(max(2, plan.accounts // 20), max(1, plan.accounts - 1))
    search, wait = (0.6, 1.0) if plan.days >= 2 else (plan.days * 0.3, plan.days * 0.5)
    pairs = [(h, t) for h in PROBE_HEADS for t in PROBE_TWISTS]
    tricks = [Item(f"{h} {t}.") for h, t in (pairs[i] for i in rng.permutation(len(pairs))[:probes])]
    recon = ask(replace(plan, accounts=scouts, days=search), tricks, bare, rng)
    items = corpora.draw(plan.pipelines, plan.exchanges - len(tricks), rng)
    others = plan.accounts - scouts
    later = replace(plan, accounts=others or 1, start=plan.start + wait, days=plan.days - wait)
    scaled = [
        replace(r, account=r.account + (scouts if others else 0))
        for r in ask(later, items, template(plan), rng)
    ]
    return [replace(r, refused=bool(rng.random() < 0.8)) for r in recon] + scaled
