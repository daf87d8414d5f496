"""A card in a room of Microsoft Teams, by a workflow's webhook.

Source: Adaptive Cards 1.4 (a RichTextBlock reads no Markdown).
"""

import ssl
from collections.abc import Sequence
from typing import Any

from stillwatch.cases.exports import Form
from stillwatch.cases.exports.messages import LONGEST, CaseMessage, message_text
from stillwatch.cases.exports.outbox import Letter
from stillwatch.cases.exports.sinks import ExportTarget
from stillwatch.cases.exports.sinks._post import JSON, post_letter

NAME, SCHEMES, FORM = "teams", ("https", "http"), Form.MESSAGE


def write(message: CaseMessage) -> str:
    """Give the request's body."""
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [_paragraph(message.head, weight="Bolder"), *map(_paragraph, message.body)],
    }
    if message.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the case", "url": message.link}]
    kind = "application/vnd.microsoft.card.adaptive"
    return message_text({"type": "message", "attachments": [{"contentType": kind, "content": card}]})


def _paragraph(text: str, **run: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text[:LONGEST], **run}]}


def send(
    target: ExportTarget, letter: Letter, found: Sequence[str], context: ssl.SSLContext | None, now_us: int
) -> None:
    """Post it as it is: the URL is the secret. Raises: ExportError."""
    post_letter(target, found, JSON, letter.body.encode("ascii"), context)
