"""Light use by a person.

Evidence: few exchanges a day, a night's pause, no tools and no parameters of a program. Looks the same: one
account of a slow pool, which sends little on purpose. Imitated by: being slow. At this volume an account
reveals little; only accounts together do.
"""

from stillwatch.features.kinds import Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest

CEILING = 0.5


def recognise(subject: Subject) -> Sign | None:
    n, a_day = subject["exchanges"], subject["exchanges"] / subject["active_days"]
    interactive = max(
        0.5 if not subject.says("stream_share") else grade(subject["stream_share"], 0, 0.5),
        grade(subject["follow_up_share"], 0, 0.2),
    )
    templated = max(subject["top_head_share"], subject["top_tail_share"])
    fit = weakest(
        grade(a_day, 40, 12),
        grade(subject["peak_hour"], 40, 15),
        grade(subject["quiet_6h_share"], 0.15, 0.05),
        grade(subject["tools_share"], 0.5, 0.1),
        grade(subject["json_share"] + subject["logprob_share"] + subject["many_samples_share"], 0.5, 0.1),
        1.0 if n < 6 else grade(templated, 1.0, 0.7),
        0.4 + 0.6 * interactive,
    )
    if not fit:
        return None
    text = (
        f"{a_day:.1f} exchanges per active day, at most {subject['peak_hour']:.0f} in an hour, "
        f"{subject['quiet_6h_share']:.0%} in its quietest 6 hours"
    )
    return Sign(CEILING * fit, text)
