"""A message in a Slack room, by an incoming webhook.

Source: Slack, "Block Kit" (section, plain_text; 3,000 characters).
"""

from typing import Any

from stillwatch.cases.exports import Form
from stillwatch.cases.exports.messages import LONGEST, LONGEST_SUMMARY, CaseMessage, message_text
from stillwatch.cases.exports.sinks._post import send_as_it_is

NAME, SCHEMES, FORM = "slack", ("https", "http"), Form.MESSAGE
send = send_as_it_is


def write(message: CaseMessage) -> str:
    """Return the request's body."""
    text = "\n".join([message.head, *message.body])[:LONGEST]
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}}
    ]
    if message.link:
        words = f"<{_escape(message.link)}|Open the case>"
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": words}})
    head = _escape(message.head[:LONGEST_SUMMARY])
    return message_text({"text": head, "blocks": blocks, "unfurl_links": False})


def _escape(text: str) -> str:
    """Escape what Slack reads as a link or a mention."""
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "%7C")):
        text = text.replace(sign, name)
    return text
