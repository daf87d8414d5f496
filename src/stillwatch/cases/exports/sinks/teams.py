"""A card in a room of Microsoft Teams, by a workflow's webhook.

Source: Adaptive Cards 1.4 (a RichTextBlock reads no Markdown).
"""

from typing import Any

from stillwatch.cases.exports import Form
from stillwatch.cases.exports.messages import LONGEST, CaseMessage, message_text
from stillwatch.cases.exports.sinks._post import send_as_it_is

NAME, SCHEMES, FORM = "teams", ("https", "http"), Form.MESSAGE
send = send_as_it_is


def write(message: CaseMessage) -> str:
    """Return the request's body."""
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
