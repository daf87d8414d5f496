"""A load test: the same few prompts, as fast as they are answered.

Evidence: many exchanges, hardly any different prompts, most of them in a day or two.
Looks the same: sampling one question many times for its best answer (rejection sampling) from one account.
Imitated by: doing just that; the answers to one prompt are worth little to a student beyond the first few
dozen.
"""

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    n, distinct = subject["exchanges"], subject["distinct_prompt_share"]
    in_one_day = subject["peak_day"] / n
    fit = weakest(grade(n, 50, 200), grade(distinct, 0.15, 0.03), grade(in_one_day, 0.25, 0.6))
    if not fit:
        return None
    prompts = round(distinct * n)
    text = (
        f"{n:,.0f} exchanges of {prompts:,} prompt{'s' * (prompts != 1)}, {in_one_day:.0%} of them on one day"
    )
    return Sign(SHAPE_CEILING * fit, text)
