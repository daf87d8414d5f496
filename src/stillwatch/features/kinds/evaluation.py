"""An evaluation harness: a benchmark run through once, fast.

Evidence: temperature 0, no follow-ups, each item once or a few times, dozens an hour and then silence.
Looks the same: harvesting answers to a benchmark's *training* part, which needs the same shape.
Imitated by: setting temperature 0 and running in bursts. Which items are asked would make the difference, and
is not known here.
"""

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    n, per_hour = subject["exchanges"], subject["exchanges"] / subject["active_hours"]
    cold, distinct = subject["temperature_zero_share"], subject["distinct_prompt_share"]
    fit = weakest(
        grade(n, 20, 100),
        grade(cold, 0.7, 0.95),
        grade(distinct, 0.05, 0.2),
        grade(subject["top_prompt_share"], 0.2, 0.05),
        grade(subject["follow_up_share"], 0.1, 0.02),
        grade(per_hour, 10, 40),
    )
    if not fit:
        return None
    text = f"{cold:.0%} at temperature 0, {distinct:.0%} of prompts different, {per_hour:.0f} per active hour"
    return Sign(SHAPE_CEILING * fit, text)
