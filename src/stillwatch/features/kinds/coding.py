"""A coding assistant: a person at an editor with a tool-using model.

Evidence: tools, many turns on one thing, the pace and the hours of a person; streaming supports it.
Looks the same: an agent at a person's pace; harvesting coding trajectories from many seats.
Imitated by: streaming and keeping office hours; a seat's volume then stays a person's.
"""

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    offered, streamed = subject["tools_share"], subject["stream_share"]
    turns = max(
        grade(subject["follow_up_share"], 0.1, 0.4), grade(subject["exchanges_per_conversation"], 1.5, 4)
    )
    fit = weakest(
        grade(subject["exchanges"], 3, 10),
        grade(offered, 0.3, 0.8),
        turns,
        grade(subject["exchanges"] / subject["active_days"], 150, 60),
        grade(subject["peak_hour"], 90, 40),
        grade(subject["quiet_6h_share"], 0.2, 0.05),
    )
    if not fit:
        return None
    text = (
        f"tools in {offered:.0%}, {streamed:.0%} streamed, {subject['follow_up_share']:.0%} are later turns, "
        f"{subject['quiet_6h_share']:.0%} in its quietest 6 hours"
    )
    return Sign(SHAPE_CEILING * fit * (0.75 + 0.25 * grade(streamed, 0.2, 0.8)), text)
