"""A migration: a business that arrives with its full load on the first day.

Evidence: an account days old at its first exchange, in use most hours since, no day far above the others.
Looks the same: a fresh account of a pool, which also starts at full load; a trial account; a new pipeline.
Imitated by: nothing needs to be imitated, so this kind is never worth half; a declared former provider would
help.
"""

from stillwatch.features.kinds import Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest
from stillwatch.units import DAY_US

CEILING = 0.45


def recognise(subject: Subject) -> Sign | None:
    if subject.record.created_us is None:
        return None
    n, days = subject["exchanges"], subject["active_days"]
    age_days = (subject["first_us"] - subject.record.created_us) / DAY_US
    hours = (subject["last_us"] - subject["first_us"]) / DAY_US * 24 + 1
    fit = weakest(
        grade(n, 100, 300),
        grade(abs(age_days), 7, 2),
        grade(subject["active_hours"] / hours, 0.2, 0.5),
        grade(subject["peak_day"] * days / n, 4, 2),
        grade(days, 1, 3),
    )
    if not fit:
        return None
    text = (
        f"first exchange {max(age_days, 0):.1f} days after sign-up, then {n / days:.0f} a day, "
        f"in use {subject['active_hours'] / hours:.0%} of hours"
    )
    return Sign(CEILING * fit, text)
