"""A gateway or reseller: many dissimilar customers behind one account.

Evidence: a permission to resell; or first and later turns mixed, beginnings that hardly repeat, no common
system text and no quiet hours; several models, and streaming for some only, support it. Looks the same: a
company's internal gateway; the proxy networks that campaigns rent, mixed with honest traffic. Imitated by:
mixing a harvest into such traffic. A permission explains the dissimilar customers, not what one of them
takes. The account is then both: its end users and wording show which part is which.
"""

from stillwatch.features.kinds import PROVIDER_CEILING, SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    n, heads = subject["exchanges"], subject["heads"]
    numbers = (
        f"{heads:.0f} beginnings in {n:,.0f} exchanges, {subject['models']:.0f} models, "
        f"{subject['stream_share']:.0%} streamed, {subject['follow_up_share']:.0%} later turns"
    )
    granted = [p for p in subject.record.permissions if "resell" in p.lower() or "gateway" in p.lower()]
    if granted:
        return Sign(PROVIDER_CEILING, f"the provider has granted {', '.join(granted)}; {numbers}", "sharing")
    fit = weakest(
        grade(n, 100, 400),
        grade(heads / n, 0.3, 0.6),
        grade(subject["top_system_share"], 0.9, 0.5),
        0.5
        + 0.25 * grade(subject["models"], 1, 3)
        + 0.25 * grade(_evenness(subject["stream_share"]), 0.2, 0.7),
        grade(_evenness(subject["follow_up_share"]), 0.1, 0.5),
        grade(subject["quiet_6h_share"], 0.01, 0.06),
    )
    return Sign(SHAPE_CEILING * fit, numbers) if fit else None


def _evenness(share: float) -> float:
    """Return 1 if both are equally common, 0 if one never occurs."""
    return 4 * share * (1 - share)
