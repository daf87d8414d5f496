"""Two answers to one question, and which is better: preference data for a reward model.

Published: the model as a judge of pairs at scale (Anthropic, February 2026, speaks of rubric grading;
UltraFeedback and others publish pairwise forms). Made up: the form and the second answer.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, Rng
from stillwatch.range.campaigns.asking import ask
from stillwatch.range.stock import Corpora, Item

DEFAULTS = {"pipelines": ("pairs",), "model": "mira-large", "visible_tokens": 60.0}
FORMS = (
    "Question put to both:\n{q}\n\nLEFT\n{one}\n\nRIGHT\n{two}\n\nSay LEFT, RIGHT or EVEN, then how sure "
    "you are from 50 to 100, then the one sentence that decided it.",
    "<ask>{q}</ask><x>{one}</x><y>{two}</y>\nWhich of x and y would a careful person rather get? Answer x "
    "or y, a margin from 1 to 5, nothing else.",
)


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    form = FORMS[plan.wording % len(FORMS)]
    items = corpora.draw(("pairs",), plan.exchanges, rng)

    def words(item: Item, r: Rng) -> str:
        parts = item.answer.split(". ")
        other = ". ".join(reversed(parts))
        one, two = (item.answer, other) if r.random() < 0.5 else (other, item.answer)
        return form.format(q=item.question, one=one, two=two)

    return ask(plan, items, words, rng)
