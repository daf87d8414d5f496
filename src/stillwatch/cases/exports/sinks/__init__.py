"""Kinds of receivers of alerts: one module each, here or in an installed package.

A sink has `NAME` (its table in alerts.toml), `SCHEMES` (of its URL), `FORM` (the input it takes) and `send`.
Optional: `KEYS`, if it needs key files, says what to give, `read_key` reads one, and `KEYS_OPTIONAL` lets
them be left out. `OPTIONS` names further required keys of its table, each with what to give. `write`, if
`FORM` is a message for people, converts it to the receiver's format. `send` connects only to the addresses in
`found`, which were checked.
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
    """One receiver."""

    kind: str  # a sink's name
    name: str
    where: ReceiverAddress
    keys: tuple[Path, ...]  # at least one, if the sink needs any
    says: str  # of a CloudEvent: "alert" or "ocsf"
    allow: tuple[str, ...]
    ca: Path | None  # certificates to trust instead of the system's
    options: Mapping[str, str] = field(default_factory=dict)  # the sink's own


class DeliveryRefused(ExportError):
    """A receiver's response that is not a success."""

    def __init__(self, why: str, after_s: int | None = None, gone: bool = False) -> None:
        super().__init__(why)
        self.after_s, self.gone = after_s, gone


class Sink(Protocol):
    """The content of a sink's module. `KEYS`, `read_key`, `OPTIONS` and `write` are optional."""

    NAME: str
    SCHEMES: tuple[str, ...]
    FORM: Form  # Form.CLOUDEVENT; Form.CEF: one record a line; or Form.MESSAGE

    def write(self, message: CaseMessage) -> str:
        """Return a message in the receiver's format."""

    def send(
        self,
        target: ExportTarget,
        letter: Letter,
        found: Sequence[str],
        context: ssl.SSLContext | None,
        now_us: int,
    ) -> None:
        """Send one letter now; `post`, `push` and `drop` have time limits. Raises: ExportError."""
