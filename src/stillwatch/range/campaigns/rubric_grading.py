"""The teacher as reward model: question and answer pairs under one rubric.

Published: rubric-based grading for a reward model (Anthropic, February 2026). Made up: the rubrics.
"""

from stillwatch.range.campaigns.asking import dealt_out, fill_form
from stillwatch.range.wording import RUBRICS

DEFAULTS = {"pipelines": ("pairs",), "model": "mira-large", "visible_tokens": 170.0}
requests = dealt_out(fill_form(RUBRICS), pipelines=("pairs",))
