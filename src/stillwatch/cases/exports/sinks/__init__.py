"""Kinds of receivers of alerts: a module each, here or in an installed package that names it.

A sink has `NAME` (its table in alerts.toml), `SCHEMES` (of its URL), `FORM` (what it is handed) and `send`.
`KEYS`, where it needs key files, says what to give, `read_key` reads one, and `KEYS_OPTIONAL` lets them be
left out. `OPTIONS` names further keys of its table, all of them needed, each with what to give. `write`,
where `FORM` is a message for people, gives that the receiver's shape. `send` connects to the addresses in
`found` and no others: those were checked.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stillwatch.cases.exports import ExportError, Form
from stillwatch.cases.exports.messages import CaseMessage
from stillwatch.cases.exports.outbox import Letter
from stillwatch.cases.exports.places import ReceiverAddress


@dataclass(frozen=True)
class ExportTarget:
    """One who is told."""

    kind: str  # a sink's name
    name: str
    where: ReceiverAddress
    keys: tuple[Path, ...]  # where the sink needs any: at least one
    says: str  # of a CloudEvent: "alert" or "ocsf"
    allow: tuple[str, ...]
    ca: Path | None  # certificates to trust instead of the system's
    options: Mapping[str, str] = field(default_factory=dict)  # the sink's own


class DeliveryRefused(ExportError):
    """A receiver's answer that is no success."""

    def __init__(self, why: str, after_s: int | None = None, gone: bool = False) -> None:
        super().__init__(why)
        self.after_s, self.gone = after_s, gone


class Sink(Protocol):
    """What a sink's module has. `KEYS`, `read_key`, `OPTIONS` and `write` may be left out."""

    NAME: str
    SCHEMES: tuple[str, ...]
    FORM: Form  # Form.CLOUDEVENT; Form.CEF: one record a line; or Form.MESSAGE

    def write(self, message: CaseMessage) -> str:
        """Give a message the receiver's shape."""

    def send(
        self,
        target: ExportTarget,
        letter: Letter,
        found: Sequence[str],
        context: ssl.SSLContext | None,
        now_us: int,
    ) -> None:
        """Send one letter now; `post`, `push` and `drop` keep its time. Raises: ExportError."""
