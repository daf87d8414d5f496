"""The severity of an alert, by one rule: the size of the harvest relative to training sets that sufficed."""

from enum import IntEnum

from stillwatch.cases import CaseState, Verdict
from stillwatch.cases.alert import Alert
from stillwatch.scan.milestones import OPEN_THOUGHTS, S1K, SKY_T1


class Severity(IntEnum):
    """OCSF's severity_id."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


STEPS = ((OPEN_THOUGHTS, Severity.CRITICAL), (SKY_T1, Severity.HIGH), (S1K, Severity.MEDIUM))
OF_CEF = {
    Severity.INFORMATIONAL: 1,
    Severity.LOW: 4,
    Severity.MEDIUM: 6,
    Severity.HIGH: 8,
    Severity.CRITICAL: 10,
}


def severity(alert: Alert) -> Severity:
    """Return the severity; informational for a case that is closed or judged honest."""
    if alert.verdict in (Verdict.FALSE, Verdict.PERMITTED) or alert.state == CaseState.CLOSED:
        return Severity.INFORMATIONAL
    return next((level for step, level in STEPS if alert.exposure.exchanges >= step.exchanges), Severity.LOW)
