"""The teacher invents tasks, environments and personas: the raw material of further training.

Published: generation of tasks, environments and personas is one of the signals seen in campaigns;
persona-driven pipelines (PersonaHub) and self-instruct publish their generators. Made up: our three
generators and their seeds.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, PlannedRequest, Rng
from stillwatch.range.campaigns.asking import spread
from stillwatch.range.stock import Corpora

DEFAULTS = {
    "pipelines": ("personas", "environments", "seeds"),
    "model": "mira-large",
    "visible_tokens": 1100.0,
}
SEEDS = ("personas", "environments", "seeds")
FORMS = (
    "Seed person: {q}.\nWrite one request that only this person would make of an assistant, with all the "
    "facts the assistant needs, and nothing that gives away that it is invented.",
    "Specify an environment for training an agent.\nSetting: {q}.\nState space, actions, reward, ten checks "
    "that a solver must pass, and one solution.",
    "Take the request between the lines as an example of style only.\n----\n{q}\n----\nInvent two requests "
    "of the same kind that are harder, and the answer key to both.",
)


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    third = rng.integers(3, size=plan.exchanges)
    seeds = [corpora.draw((name,), int((third == n).sum()), rng) for n, name in enumerate(SEEDS)]
    items = [(FORMS[n], seeds[n].pop()) for n in third]
    account, day = spread(plan, plan.exchanges, rng)
    return [
        PlannedRequest(int(a), float(d), form.replace("{q}", item.question))
        for a, d, (form, item) in zip(account, day, items, strict=True)
    ]
