"""A few requests per account and day over very many accounts; half in a template, half wrapped.

Published: 5.6 to 25.6 exchanges per account and day (the campaigns of 2026). Made up: the mixture of
wordings.
"""

from stillwatch.range.campaigns import CampaignPlan
from stillwatch.range.campaigns.asking import Words, dealt_out, template, wrap_items


def _either(plan: CampaignPlan) -> Words:
    one, other = template(plan), wrap_items(plan)
    return lambda item, rng: (one if rng.random() < 0.5 else other)(item, rng)


requests = dealt_out(_either)
