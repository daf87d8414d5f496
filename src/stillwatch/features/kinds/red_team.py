"""Red teaming: probing for what the model should refuse.

Evidence: a granted permission for it; without one, many refusals together with requests for hidden text.
Looks the same: reconnaissance before a harvest, which searches for a wording that is not refused.
Imitated by: calling oneself a red team; therefore only the permission excuses.
"""

from stillwatch.features.kinds import PROVIDER_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    refused, hidden = subject["refusal_share"], subject["hidden_prompt_extraction_share"]
    numbers = f"{refused:.0%} refused, {hidden:.0%} ask for hidden text"
    granted = [p for p in subject.record.permissions if "red_team" in p.lower().replace(" ", "_")]
    if granted:
        return Sign(PROVIDER_CEILING, f"the provider has granted {', '.join(granted)}; {numbers}", "case")
    fit = weakest(grade(subject["exchanges"], 10, 40), grade(refused, 0.1, 0.4), grade(hidden, 0.02, 0.1))
    return Sign(0.4 * fit, f"{numbers}, and no permission is on file") if fit else None
