"""A reseller passes its own customers' sessions through its accounts, and keeps the answers.

Published: relays of own users' requests and sessions, 300,000 in ten days over 5,380 accounts; selected users
of coding tools (2026, second-hand). Made up: that the customers' conversations are like everybody's, and how
a session's turns follow each other. Every request is covert, although each alone is honest conversation:
meant to be close to the limit of what can be detected.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, PlannedRequest, Rng
from stillwatch.range.campaigns.asking import sessions, spread
from stillwatch.range.stock import Corpora

DEFAULTS = {"pipelines": ("seeds", "gpteacher_roleplay"), "model": "mira-large", "visible_tokens": 300.0}
CUSTOMERS = (
    "ok, and shorter?", "why is that", "that does not work, try again", "can you give me an example",
    "in my language", "thanks. one more thing: what if it fails?", "make a table of it", "are you sure",
    "which one would you take", "add a test", "rename the function", "what does the second line do",
    "now for two people", "and the cost?",
)  # fmt: skip


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    turns = sessions(plan.exchanges, plan.accounts, 4, rng)
    items = corpora.draw(plan.pipelines, len(turns), rng)
    account, day = spread(plan, len(turns), rng)
    sent: Planned = []
    for talk, (count, item) in enumerate(zip(turns, items, strict=True)):
        when = float(day[talk])
        for turn in range(1, count + 1):
            text = item.question if turn == 1 else CUSTOMERS[rng.integers(len(CUSTOMERS))]
            sent.append(PlannedRequest(int(account[talk]), when, text, turn=turn, talk=talk))
            when += float(rng.uniform(20, 300)) / 86400
    return sent
