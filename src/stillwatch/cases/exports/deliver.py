"""Delivers the outbox: due letters go to their targets; after a failure the wait gets longer.

It runs beside the gateway (`stillwatch alerts deliver`), never in it, so a hanging receiver blocks nobody.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from stillwatch.cases.exports.outbox import Letter, Outbox
from stillwatch.cases.exports.places import addresses
from stillwatch.cases.exports.post import tls_context
from stillwatch.cases.exports.sinks import DeliveryRefused, ExportTarget
from stillwatch.cases.exports.targets import sinks
from stillwatch.errors import StillwatchError
from stillwatch.plugins import blamed_on

OVER_TLS = ("https", "tls", "smtps", "smtp")  # smtp: only after STARTTLS


@dataclass
class Delivered:
    """The result of one pass."""

    sent: int = 0
    failed: int = 0
    dead: int = 0
    waiting: int = 0
    held_elsewhere: bool = False
    refusals: list[str] = field(default_factory=list)


def work_off(
    outbox: Outbox, targets: Sequence[ExportTarget], now_us: Callable[[], int], rng: random.Random
) -> Delivered:
    """Try everything that is due; each target until its first failure.

    Raises: ExportError if the disk refuses.
    """
    delivered = Delivered()
    by_name = {target.name: target for target in targets}
    stopped: set[str] = set()
    with outbox.hold_outbox() as is_ours:
        if not is_ours:
            delivered.held_elsewhere = True
            return delivered
        for letter in outbox.waiting():
            if not letter.is_due(now_us()) or letter.target in stopped:
                delivered.waiting += 1
                continue
            target = by_name.get(letter.target)
            try:
                if target is None:
                    raise DeliveryRefused(f"no target is called {letter.target!a} any more", gone=True)
                send(target, letter, now_us())
            except StillwatchError as why:
                stopped.add(letter.target)
                delivered.refusals.append(f"{letter.target}: {why}")
                _put_back(outbox, letter, why, now_us(), rng, delivered)
            else:
                outbox.sent(letter)
                delivered.sent += 1
    return delivered


def _put_back(
    outbox: Outbox, letter: Letter, why: Exception, now_us: int, rng: random.Random, delivered: Delivered
) -> None:
    if getattr(why, "gone", False):
        outbox.bury(replace(letter, attempts=letter.attempts + 1, last_error=str(why)))
        delivered.dead += 1
    elif outbox.put_back(letter, str(why), now_us, rng, getattr(why, "after_s", None)) is None:
        delivered.dead += 1
    else:
        delivered.failed += 1


def send(target: ExportTarget, letter: Letter, now_us: int) -> None:
    """Send one letter now. Raises: ExportError, or InputError for a sink that fails."""
    sink = sinks()[target.kind]
    addresses_found = addresses(target.where, target.allow)
    context = None
    if target.where.scheme in OVER_TLS:
        context = tls_context(str(target.ca) if target.ca else None)
    with blamed_on(f"the sink {target.kind} failed", getattr(sink, "__file__", "")):
        sink.send(target, letter, addresses_found, context, now_us)
