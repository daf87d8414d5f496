"""An alert as a message that people read: in Slack, in Microsoft Teams, as an incident of PagerDuty.

It lists no account: such rooms are read by many. What it says is plain text there, so that nothing in it can
link, mention or format. It sends nothing.

Source: Slack, "Block Kit" (section, plain_text; 3,000 characters); Adaptive Cards 1.4 (RichTextBlock, which
reads no Markdown); PagerDuty, Events API v2 (summary of 1,024 characters).
"""

from typing import Any

from stillwatch.cases import CaseState, Json
from stillwatch.cases.alert import Alert
from stillwatch.cases.exports import Activity
from stillwatch.cases.exports.plain import plain, to_bytes
from stillwatch.cases.exports.severity import Severity, severity
from stillwatch.report.amounts import plural
from stillwatch.report.visible import visible

MESSAGES = ("slack", "teams", "pagerduty")
CONTENT_TYPE = "application/json"
LONGEST, LONGEST_SUMMARY = 2_800, 1_000
REASONS = 3
OF_PAGERDUTY = {
    Severity.INFORMATIONAL: "info", Severity.LOW: "warning", Severity.MEDIUM: "warning",
    Severity.HIGH: "error", Severity.CRITICAL: "critical",
}  # fmt: skip


def message_of(form: str, alert: Alert, activity: Activity, source: str) -> str:
    """Give the message of a case's revision, as JSON: the same bytes for the same revision.

    form: one of MESSAGES. source: of the event, which PagerDuty shows.
    """
    exposure = alert.exposure
    left = f"{plural(alert.members, 'account')}, {plural(exposure.exchanges, 'exchange')}"
    judged = f"judged {alert.verdict}" if alert.verdict else "nobody has judged it"
    body = [f"{left}, {plural(exposure.output_tokens, 'output token')}; {judged}."]
    body += [f"- {visible(one.signal, 200)}" for one in alert.why[:REASONS]]
    body.append(f"Next: {visible(alert.action.text, 400)}")
    link = alert.permalink if alert.permalink.startswith(("https://", "http://")) else ""
    head = f"Case {activity}: {visible(alert.title, 400)}"
    if form == "pagerduty":
        closed = alert.state == CaseState.CLOSED
        event = _incident(head, body, link, alert.case, OF_PAGERDUTY[severity(alert)], source)
        return _text(event | {"event_action": "resolve" if closed else "trigger"})
    return _text(_slack(head, body, link) if form == "slack" else _teams(head, body, link))


def trial_message(form: str) -> str:
    """Give a message that tells of nothing."""
    head, body = "A test of Stillwatch", ["Nothing happened."]
    if form == "pagerduty":
        return _text(_incident(head, body, "", "test", "info", "stillwatch") | {"event_action": "trigger"})
    return _text(_slack(head, body, "") if form == "slack" else _teams(head, body, ""))


def _slack(head: str, body: list[str], link: str) -> Json:
    told = "\n".join([head, *body])[:LONGEST]
    blocks: list[Json] = [{"type": "section", "text": {"type": "plain_text", "text": told, "emoji": False}}]
    if link:
        words = f"<{_escape(link)}|Open the case>"
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": words}})
    return {"text": _escape(head[:LONGEST_SUMMARY]), "blocks": blocks, "unfurl_links": False}


def _escape(text: str) -> str:
    """Take from a text what Slack reads as a link or a mention."""
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "%7C")):
        text = text.replace(sign, name)
    return text


def _teams(head: str, body: list[str], link: str) -> Json:
    def paragraph(text: str, **run: Any) -> Json:
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text[:LONGEST], **run}]}

    card: Json = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [paragraph(head, weight="Bolder"), *map(paragraph, body)],
    }
    if link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the case", "url": link}]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def _incident(head: str, body: list[str], link: str, case: str, level: str, source: str) -> Json:
    event: Json = {
        "dedup_key": case,
        "client": "Stillwatch",
        "payload": {
            "summary": head[:LONGEST_SUMMARY],
            "source": source,
            "severity": level,
            "class": "distillation",
            "custom_details": {"what": "\n".join(body)[:LONGEST]},
        },
    }
    return event | ({"client_url": link} if link else {})


def _text(message: Json) -> str:
    return to_bytes(plain(message)).decode("ascii")
