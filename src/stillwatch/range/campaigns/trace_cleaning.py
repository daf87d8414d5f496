"""A campaign's traces come back for cleaning: each request holds one with a fixed instruction to repair it.

Published: 770,609 exchanges in ten days went through a cleaner of reasoning traces; of 3.4 million, 22.7 %
passed its own cleaning (2026, second-hand). Made up: the raw traces (put together from the words of the
question) and the instruction.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask
from stillwatch.range.stock import Corpora, Item

DEFAULTS = {"pipelines": ("pairs",), "model": "mira-large", "visible_tokens": 900.0}
ORDERS = (
    "RAW TRACE {n}\nproblem: {q}\ntrace: {a}\n\nRemove loops and false starts from the trace, keep every "
    "step that carries weight, repair what is wrong, and end with VALID or INVALID.",
    "Below is what our model thought about a problem.\n<problem>{q}</problem>\n<thought>{a}</thought>\n"
    "Rewrite the thought so that it could stand in a textbook. Same order, same voice, no new ideas.",
)


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    order = ORDERS[plan.wording % len(ORDERS)]
    items = corpora.draw(("pairs",), plan.exchanges, rng)

    def words(item: Item, r: Rng) -> str:
        return order.format(q=item.question, a=f"{item.answer} Wait. {item.answer}", n=r.integers(1000, 9999))

    return ask(plan, items, words, rng)
