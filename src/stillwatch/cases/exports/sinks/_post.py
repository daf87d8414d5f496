"""One request to a receiver, and whether its response is a success."""

import ssl
from collections.abc import Mapping, Sequence

from stillwatch.cases.exports.outbox import Letter
from stillwatch.cases.exports.post import post
from stillwatch.cases.exports.sinks import DeliveryRefused, ExportTarget

JSON = {"content-type": "application/json"}
GONE = 410  # the receiver wants no more of these


def post_letter(
    target: ExportTarget,
    found: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    context: ssl.SSLContext | None,
) -> None:
    """Post a body to one of the addresses in `found`. Raises: ExportError."""
    answer = post(target.where, found, headers, body, context)
    if not 200 <= answer.status < 300:
        problem = "a redirect, which is not followed" if 300 <= answer.status < 400 else "no success"
        raise DeliveryRefused(
            f"{target.where.at}: answers {answer.status}: {problem}",
            answer.retry_after_s,
            answer.status == GONE,
        )


def send_as_it_is(
    target: ExportTarget, letter: Letter, found: Sequence[str], context: ssl.SSLContext | None, now_us: int
) -> None:
    """Post a letter to a room's webhook, whose URL is the secret. Raises: ExportError."""
    post_letter(target, found, JSON, letter.body.encode("ascii"), context)
