"""A batch pipeline: classify, extract or rewrite many items with one instruction.

Evidence: one template, ever-different items, no follow-ups, answers no longer than a few hundred tokens.
Looks the same: collecting labels for a small classifier; a judge; retrieval with short questions. Imitated
by: harvesting short answers. Long answers or reasoning, which carry most of the value, do not fit.
"""

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    n, distinct = subject["exchanges"], subject["distinct_prompt_share"]
    template = max(subject["top_head_share"], subject["top_tail_share"])
    fit = weakest(
        grade(n, 20, 80),
        grade(template, 0.4, 0.8),
        grade(distinct, 0.5, 0.9),
        grade(subject["follow_up_share"], 0.1, 0.02),
        grade(subject["log2_output_mean"], 9.5, 7.5),
        grade(subject["tools_share"], 0.5, 0.1),
        grade(subject["rubric_grading_share"], 0.8, 0.4),  # grading is the kind `llm_judge`
    )
    if not fit:
        return None
    text = (
        f"{template:.0%} of {n:,.0f} exchanges in one template over {distinct:.0%} different prompts, "
        f"about {2 ** subject['log2_output_mean']:.0f} tokens each"
    )
    return Sign(SHAPE_CEILING * fit, text)
