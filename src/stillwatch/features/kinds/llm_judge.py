"""The model as a judge of other texts.

Evidence: most prompts ask for a grade or a preference, in one template, without follow-ups, answered briefly.
Looks the same: a pool that uses the model as a reward model, which asks exactly this. Imitated by: nothing
needs to be imitated; from one account's traffic the two are the same. Long written critiques speak against a
judge.
"""

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    grading = subject["rubric_grading_share"]
    template = max(subject["top_head_share"], subject["top_system_share"], subject["top_tail_share"])
    fit = weakest(
        grade(subject["exchanges"], 15, 60),
        grade(grading, 0.3, 0.8),
        grade(template, 0.3, 0.7),
        grade(subject["follow_up_share"], 0.1, 0.02),
        grade(subject["log2_output_mean"], 10, 8),
    )
    if not fit:
        return None
    text = (
        f"{grading:.0%} ask for a grade, {template:.0%} in one template, "
        f"about {2 ** subject['log2_output_mean']:.0f} tokens each"
    )
    return Sign(0.75 * SHAPE_CEILING * fit, text)
