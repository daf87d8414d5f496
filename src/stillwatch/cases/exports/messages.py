"""An alert as a message for people: in a chat room, on call.

It lists no accounts, because many read such rooms. Its texts are plain there, so that nothing in it can link,
mention or format.
"""

from dataclasses import dataclass
from typing import Any

from stillwatch.cases import CaseState
from stillwatch.cases.alert import Alert
from stillwatch.cases.exports import Activity
from stillwatch.cases.exports.plain import plain, to_bytes
from stillwatch.cases.exports.severity import Severity, severity
from stillwatch.report.amounts import plural
from stillwatch.report.visible import visible

LONGEST, LONGEST_SUMMARY = 2_800, 1_000  # characters: Slack takes 3,000, PagerDuty's summary 1,024
REASONS = 3


@dataclass(frozen=True)
class CaseMessage:
    """A message about a case, before it takes a receiver's format."""

    head: str
    body: tuple[str, ...]  # paragraphs
    link: str  # to the case; empty if the console has no address
    case: str
    severity: Severity
    closed: bool
    source: str  # the installation


TRIAL = CaseMessage(
    "A test of Stillwatch", ("Nothing happened.",), "", "test", Severity.INFORMATIONAL, False, "stillwatch"
)


def case_message(alert: Alert, activity: Activity, source: str) -> CaseMessage:
    """Return the message of a case's revision. source: as in an event."""
    exposure = alert.exposure
    taken_text = f"{plural(alert.members, 'account')}, {plural(exposure.exchanges, 'exchange')}"
    judged = f"judged {alert.verdict}" if alert.verdict else "nobody has judged it"
    return CaseMessage(
        f"Case {activity}: {visible(alert.title, 400)}",
        (
            f"{taken_text}, {plural(exposure.output_tokens, 'output token')}; {judged}.",
            *(f"- {visible(claim.signal, 200)}" for claim in alert.why[:REASONS]),
            f"Next: {visible(alert.action.text, 400)}",
        ),
        alert.permalink if alert.permalink.startswith(("https://", "http://")) else "",
        alert.case,
        severity(alert),
        alert.state == CaseState.CLOSED,
        source,
    )


def message_text(shaped: dict[str, Any]) -> str:
    """Return a message in its receiver's format as JSON: the same bytes for the same message."""
    return to_bytes(plain(shaped)).decode("ascii")
