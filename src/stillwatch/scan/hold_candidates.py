"""The groups of a scan's result on which holds could give more evidence."""

from dataclasses import replace

from stillwatch.scan import ScanResult
from stillwatch.terms.holds import HoldCandidate

LEAD, FOUND = 1, 3  # ranks relative to those of weak groups in `candidates`


def candidates(result: ScanResult) -> tuple[HoldCandidate, ...]:
    """Return the groups of a scan that may be held: leads, findings of several accounts, and weak groups.

    Excluded are leads whose content is that of many people, and findings that a permission suppresses.
    """
    total = max(1, result.scanned.exchanges)
    share = {group.id: group.exchanges / total for group in result.leads}
    share |= {group.id: group.harvest.exchanges / total for group in result.campaigns} | dict(result.shares)
    leads = tuple(
        HoldCandidate(lead.id, lead.p_value, lead.accounts, share[lead.id], LEAD)
        for lead in result.leads
        if lead.hands != "many"
    )
    findings = tuple(
        HoldCandidate(campaign.id, campaign.p_value, campaign.accounts, share[campaign.id], FOUND)
        for campaign in result.campaigns
        if campaign.suppressed_by is None and len(campaign.accounts) > 1
    )
    weak_by_id = {group.candidate: group for group in result.weak}
    groups = [
        group
        if (weak := weak_by_id.get(group.candidate)) is None
        else replace(group, moved_p=weak.moved_p, undecided=weak.undecided)
        for group in (*leads, *findings)
    ]
    named = {group.candidate for group in groups}
    return (*groups, *(group for group in result.weak if group.candidate not in named))
