"""An application with many end users behind one account.

Evidence: nearly every exchange names an end user, and there are many of them; or, weaker, one system text,
questions that vary freely and little rest.
Looks the same: a proxy that resells access and passes its customers' names on; retrieval with short
contexts.
Imitated by: inventing end users; the client writes that field, so it never excuses.
"""

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    named, users = subject["end_user_share"], subject["end_users"]
    by_name = weakest(grade(subject["exchanges"], 10, 40), grade(named, 0.5, 0.9), grade(users, 3, 12))
    if by_name:
        text = f"{users:.0f} end users named in {named:.0%} of {subject['exchanges']:.0f} exchanges"
        return Sign(SHAPE_CEILING * by_name, text)
    fixed, heads = subject["top_system_share"], subject["heads"] / subject["exchanges"]
    by_shape = weakest(
        grade(subject["exchanges"], 20, 100),
        grade(fixed, 0.5, 0.9),
        grade(heads, 0.2, 0.5),
        grade(subject["distinct_prompt_share"], 0.6, 0.9),
        grade(subject["active_hours"], 8, 24),
        grade(subject["tools_share"], 0.5, 0.1),
    )
    if not by_shape:
        return None
    text = (
        f"one system text in {fixed:.0%}, {heads:.2f} different beginnings per exchange, no end users named"
    )
    return Sign(0.5 * SHAPE_CEILING * by_shape, text)
