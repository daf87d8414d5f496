"""A class: many students, one assignment.

Evidence: an education tier with a roster (one mail domain, one payment); or, weaker, a mail domain whose
accounts declare education; prompts that classmates send too. Looks the same: one prompt that spreads among
unrelated users, a hackathon, and repeated sampling of one question by a pool of accounts. Imitated by:
registering a mail domain, declaring education and sharing an assignment. The education tier, which the
provider checks, cannot be declared: it alone excuses, and only the sharing.
"""

from stillwatch.features.kinds import Sign, Subject, declares_education
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    record = subject.record
    shared = subject["repeats_across_accounts"]
    light = grade(subject["peak_day"], 200, 60)
    numbers = (
        f"{shared:.0%} of its prompts come from other accounts too, at most {subject['peak_day']:.0f} a day"
    )
    if (record.tier or "").lower() in ("edu", "education") and record.roster_accounts >= 5:
        text = f"education tier, one of {record.roster_accounts} accounts on one roster; {numbers}"
        return Sign(0.95 * max(light, 0.5), text, "sharing")
    if not declares_education(record.declared_use):
        return None
    if record.domain_accounts >= 5 and record.domain_education_share >= 0.8:
        text = (
            f"one of {record.domain_accounts} accounts of one mail domain that declare education; {numbers}"
        )
        return Sign(0.7 * max(light, 0.5), text)
    fit = weakest(grade(subject["exchanges"], 2, 8), grade(shared, 0.3, 0.8), light)
    return Sign(0.4 * fit, f"declares education, which anybody can; {numbers}") if fit else None
