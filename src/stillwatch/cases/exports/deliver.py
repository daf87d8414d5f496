"""Works the outbox off: what is due goes to its target, what fails waits longer each time. It makes no alert.

It is run beside the gateway (`stillwatch alerts deliver`), never in it: a receiver that hangs hinders nobody.
"""

import json
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.messages import CONTENT_TYPE as MESSAGE_TYPE
from stillwatch.cases.exports.messages import MESSAGES
from stillwatch.cases.exports.notices import CONTENT_TYPE
from stillwatch.cases.exports.outbox import Letter, Outbox
from stillwatch.cases.exports.owned import read_owned
from stillwatch.cases.exports.places import Resolve, addresses
from stillwatch.cases.exports.plain import to_bytes
from stillwatch.cases.exports.post import drop, post, push, tls_context
from stillwatch.cases.exports.signing import headers, read_key
from stillwatch.cases.exports.syslog import DATAGRAM, frame, message
from stillwatch.cases.exports.targets import ExportTarget

GONE = 410  # the receiver wants nothing more of this
SYSLOG_SEVERITY = 6  # of CEF: the record itself says how bad it is


@dataclass
class Delivered:
    """What one pass did."""

    sent: int = 0
    failed: int = 0
    dead: int = 0
    waiting: int = 0
    held_elsewhere: bool = False
    refusals: list[str] = field(default_factory=list)


class DeliveryRefused(ExportError):
    """A receiver's answer that is no success."""

    def __init__(self, why: str, after_s: int | None = None, gone: bool = False) -> None:
        super().__init__(why)
        self.after_s, self.gone = after_s, gone


def work_off(
    outbox: Outbox,
    targets: Sequence[ExportTarget],
    now_us: Callable[[], int],
    rng: random.Random,
    resolve: Resolve | None = None,
) -> Delivered:
    """Try everything that is due, each target until it fails once.

    Raises: ExportError where the disk refuses.
    """
    done = Delivered()
    by_name = {target.name: target for target in targets}
    stopped: set[str] = set()
    with outbox.hold_outbox() as mine:
        if not mine:
            done.held_elsewhere = True
            return done
        for letter in outbox.waiting():
            if letter.next_us > now_us() or letter.target in stopped:
                done.waiting += 1
                continue
            target = by_name.get(letter.target)
            try:
                if target is None:
                    raise DeliveryRefused(f"no target is called {letter.target!a} any more", gone=True)
                send(target, letter, now_us(), resolve)
            except ExportError as why:
                stopped.add(letter.target)
                done.refusals.append(f"{letter.target}: {why}")
                _put_back(outbox, letter, why, now_us(), rng, done)
            else:
                outbox.sent(letter)
                done.sent += 1
    return done


def _put_back(
    outbox: Outbox, letter: Letter, why: Exception, now_us: int, rng: random.Random, done: Delivered
) -> None:
    if getattr(why, "gone", False):
        outbox.bury(replace(letter, attempts=letter.attempts + 1, last_error=str(why)))
        done.dead += 1
    elif outbox.put_back(letter, str(why), now_us, rng, getattr(why, "after_s", None)) is None:
        done.dead += 1
    else:
        done.failed += 1


def check_keys(target: ExportTarget) -> None:
    """Read the keys of a target. Raises: ExportError."""
    for path in target.keys:
        read_owned(path, "a routing key") if target.says in MESSAGES else read_key(path)


def _signed_request(target: ExportTarget, letter: Letter, now_us: int) -> tuple[bytes, dict[str, str]]:
    """Give the body of a webhook's request and its headers; a message is signed by nobody."""
    if target.says not in MESSAGES:
        body = letter.body.encode("ascii")
        signers = tuple(read_key(path) for path in target.keys)
        signed = headers(letter.event_id, now_us // 1_000_000, body, signers)
        return body, signed | {"content-type": CONTENT_TYPE}
    message = json.loads(letter.body)
    for path in target.keys:  # not in the outbox: whoever reads that could call the people on duty
        message["routing_key"] = read_owned(path, "a routing key").strip()
    return to_bytes(message), {"content-type": MESSAGE_TYPE}


def send(target: ExportTarget, letter: Letter, now_us: int, resolve: Resolve | None = None) -> None:
    """Send one letter now. Raises: ExportError."""
    found = addresses(target.where, target.allow, resolve)
    context = None
    if target.where.scheme in ("https", "tls"):
        context = tls_context(str(target.ca) if target.ca else None)
    if target.kind == "webhook":
        body, sent = _signed_request(target, letter, now_us)
        answer = post(target.where, found, sent, body, context)
        if not 200 <= answer.status < 300:
            said = "a redirect, which is not followed" if 300 <= answer.status < 400 else "no success"
            raise DeliveryRefused(
                f"{target.where.at}: answers {answer.status}: {said}",
                answer.retry_after_s,
                answer.status == GONE,
            )
        return
    host = socket.gethostname()
    messages = [message(line, SYSLOG_SEVERITY, letter.created_us, host) for line in letter.body.split("\n")]
    if target.where.scheme == "udp":
        drop(target.where, found, [one for one in messages if len(one) <= DATAGRAM])
    else:
        push(target.where, found, b"".join(map(frame, messages)), context)
