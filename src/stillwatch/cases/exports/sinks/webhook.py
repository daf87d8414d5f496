"""A CloudEvent in one signed request, by Standard Webhooks 1.0.0."""

import ssl
from collections.abc import Sequence

from stillwatch.cases.exports import Form
from stillwatch.cases.exports.notices import CONTENT_TYPE
from stillwatch.cases.exports.outbox import Letter
from stillwatch.cases.exports.signing import headers, read_key
from stillwatch.cases.exports.sinks import ExportTarget
from stillwatch.cases.exports.sinks._post import post_letter

NAME, SCHEMES, FORM = "webhook", ("https", "http"), Form.CLOUDEVENT
KEYS = "a webhook is signed; `stillwatch alerts keygen FILE` makes one"


def send(
    target: ExportTarget, letter: Letter, found: Sequence[str], context: ssl.SSLContext | None, now_us: int
) -> None:
    """Sign with the present time and post. Raises: ExportError."""
    body = letter.body.encode("ascii")
    signers = tuple(read_key(path) for path in target.keys)
    fields = headers(letter.event_id, now_us // 1_000_000, body, signers) | {"content-type": CONTENT_TYPE}
    post_letter(target, found, fields, body, context)
