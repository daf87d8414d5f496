"""One company behind several accounts.

Evidence: three accounts or more in one organisation that pay with one instrument: the provider's own
knowledge. Looks the same: a pool that was careless enough to use one card and one organisation. Imitated by:
registering one organisation for the pool. It only explains why the accounts look alike: the organisation is
then one actor, and its harvest is counted as one.
"""

from stillwatch.features.kinds import Sign, Subject

FEWEST_ACCOUNTS = 3


def recognise(subject: Subject) -> Sign | None:
    record = subject.record
    if record.org is None or record.org_accounts < FEWEST_ACCOUNTS:
        return None
    if record.org_payments == 1:
        text = f"one of {record.org_accounts} accounts of {record.org}, all paid with one instrument"
        return Sign(0.9, text, "sharing")
    text = (
        f"one of {record.org_accounts} accounts of {record.org}, paid with {record.org_payments} instruments"
    )
    return Sign(0.5, text)
