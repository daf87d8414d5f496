"""A PagerDuty incident: one per case, resolved when the case is closed.

Source: PagerDuty, Events API v2 (summary of 1,024 characters).
"""

import json
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillwatch.cases.exports import Form
from stillwatch.cases.exports.messages import LONGEST, LONGEST_SUMMARY, CaseMessage, message_text
from stillwatch.cases.exports.outbox import Letter
from stillwatch.cases.exports.owned import read_owned
from stillwatch.cases.exports.plain import to_bytes
from stillwatch.cases.exports.severity import Severity
from stillwatch.cases.exports.sinks import ExportTarget
from stillwatch.cases.exports.sinks._post import JSON, post_letter

NAME, SCHEMES, FORM = "pagerduty", ("https", "http"), Form.MESSAGE
KEYS = "name one file, which holds the integration's routing key"
LEVELS = {
    Severity.INFORMATIONAL: "info", Severity.LOW: "warning", Severity.MEDIUM: "warning",
    Severity.HIGH: "error", Severity.CRITICAL: "critical",
}  # fmt: skip


def read_key(path: Path) -> str:
    """Read a routing key. Raises: ExportError."""
    return read_owned(path, "a routing key").strip()


def write(message: CaseMessage) -> str:
    """Return the request's body without the routing key."""
    event: dict[str, Any] = {
        "event_action": "resolve" if message.closed else "trigger",
        "dedup_key": message.case,
        "client": "Stillwatch",
        "payload": {
            "summary": message.head[:LONGEST_SUMMARY],
            "source": message.source,
            "severity": LEVELS[message.severity],
            "class": "distillation",
            "custom_details": {"what": "\n".join(message.body)[:LONGEST]},
        },
    }
    return message_text(event | ({"client_url": message.link} if message.link else {}))


def send(
    target: ExportTarget, letter: Letter, found: Sequence[str], context: ssl.SSLContext | None, now_us: int
) -> None:
    """Post it with the routing key, which is not in the outbox: a reader of that could page people.

    Raises: ExportError.
    """
    event = json.loads(letter.body) | {"routing_key": read_key(target.keys[0])}
    post_letter(target, found, JSON, to_bytes(event), context)
