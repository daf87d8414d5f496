"""An alert as a message that people read: in a room, on a duty roster. It sends nothing.

It lists no account: such rooms are read by many. What it says is plain text there, so that nothing in it can
link, mention or format.
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
    """What people are told of a case, before a receiver's own shape is given to it."""

    head: str
    body: tuple[str, ...]  # paragraphs
    link: str  # to the case; empty where the console has no address of its own
    case: str
    severity: Severity
    closed: bool
    source: str  # which installation says so


TRIAL = CaseMessage(
    "A test of Stillwatch", ("Nothing happened.",), "", "test", Severity.INFORMATIONAL, False, "stillwatch"
)


def case_message(alert: Alert, activity: Activity, source: str) -> CaseMessage:
    """Give the message of a case's revision. source: as that of an event."""
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
    """Give a message in its receiver's shape as JSON: the same bytes for the same message."""
    return to_bytes(plain(shaped)).decode("ascii")
