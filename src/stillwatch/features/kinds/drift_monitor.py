"""A drift monitor: one fixed set of prompts, asked again every day.

Evidence: over many days, exchanges per day equal the number of different prompts; one short run a day.
Looks the same: a health check, a regression test.
Imitated by: nothing useful to a harvest, which needs new prompts; a ring could hide a few in such a run.
"""

from math import log2

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    n, days = subject["exchanges"], subject["active_days"]
    prompts = subject["distinct_prompt_share"] * n
    runs_a_day = n / days / prompts  # 1 if each prompt is asked once on each day
    fit = weakest(
        grade(days, 3, 7),
        grade(n, 10, 40),
        grade(prompts, 2, 4),
        grade(abs(log2(runs_a_day)), 1.5, 0.5),
        grade(subject["active_hours"] / days, 6, 2),
        grade(subject["tools_share"], 0.5, 0.1),
        grade(subject["follow_up_share"], 0.3, 0.1),
    )
    if not fit:
        return None
    text = f"{prompts:.0f} prompts, each asked {runs_a_day:.1f} times a day on {days:.0f} days"
    return Sign(SHAPE_CEILING * fit, text)
