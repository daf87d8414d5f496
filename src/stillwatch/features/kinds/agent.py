"""An agent: a program that works through tools in many steps.

Evidence: tools offered and called; more steps a day than a person would start supports it.
Looks the same: harvesting tool-use trajectories, which are sold as training data.
Imitated by: offering tools that are never needed; calls to them then stay rare.
"""

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    offered, called = subject["tools_share"], subject["tool_call_share"]
    a_day = subject["exchanges"] / subject["active_days"]
    fit = weakest(grade(subject["exchanges"], 5, 20), grade(offered, 0.3, 0.8), grade(called, 0.05, 0.25))
    if not fit:
        return None
    text = f"tools offered in {offered:.0%} and called in {called:.0%}, {a_day:.0f} exchanges per active day"
    return Sign(SHAPE_CEILING * fit * (0.7 + 0.3 * grade(a_day, 30, 100)), text)
