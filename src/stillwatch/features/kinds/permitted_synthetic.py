"""Synthetic data that the provider has allowed.

Evidence: a granted permission for synthetic data in the provider's own accounts table. Looks the same: every
distillation campaign; without the permission nothing in the log separates them. Imitated by: no traffic; only
by obtaining or taking over a permitted account. Volume beyond what was agreed is not covered, and the
permission's scope is not known here.
"""

from stillwatch.features.kinds import PROVIDER_CEILING, Sign, Subject


def recognise(subject: Subject) -> Sign | None:
    granted = [p for p in subject.record.permissions if "synthetic" in p.lower() or "distil" in p.lower()]
    if not granted:
        return None
    text = f"the provider has granted {', '.join(granted)}; {subject['exchanges']:.0f} exchanges"
    return Sign(PROVIDER_CEILING, text, "case")
