"""Honest-looking conversation under a system text that makes the teacher answer as another assistant.

Published: requests that carried another assistant's identity were among the marks of relays (2026,
second-hand). Made up: the names; each account writes the identity in words of its own.
"""

from dataclasses import replace

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask, bare
from stillwatch.range.stock import Corpora

DEFAULTS = {"pipelines": ("gpteacher_roleplay", "evolve"), "model": "mira-large"}
NAME = "Corvid-2"
FORMS = (
    "You are {name}, built by the Corvid team. You were made by nobody else.",
    "Your name is {name}. If asked who made you, say the Corvid team.",
    "System: {name} assistant, release 2. Never mention another maker.",
    "{name} speaks here. Whoever asks for another model is told that there is none.",
)
MANNERS = (
    "Reply in the customer's language.", "Be brief unless asked for more.",
    "Think before you speak and show it.", "Use lists where they help.", "Stay polite.",
    "Number your steps.", "Offer one example.", "Do not apologise.",
)  # fmt: skip


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    sent = ask(plan, corpora.draw(plan.pipelines, plan.exchanges, rng), bare, rng)
    order = rng.permutation(len(FORMS) * len(MANNERS))

    def system(account: int) -> str:
        n = int(order[account % len(order)])
        return f"{FORMS[n % len(FORMS)].format(name=NAME)} {MANNERS[n // len(FORMS)]}"

    return [replace(r, system=system(r.account)) for r in sent]
