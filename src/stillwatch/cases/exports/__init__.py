"""Alerts and cases in other programs' words: OCSF, STIX, CEF, CloudEvents. It decides nothing and finds
nothing.

Everything here is a pure function from an alert to bytes, but for `post` and `outbox`, which send. No prompt
is in an alert, so none leaves; what names accounts goes to the owner's own systems, what goes to partners
names none.
"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.errors import StillwatchError

TARGETS = "alerts.toml"  # the owner's list of who is told, in the gateway's folder


class ExportError(StillwatchError):
    """It cannot be exported or sent so."""


class Form(StrEnum):
    """Whose words an export is in."""

    OCSF = "ocsf"  # Detection Finding 2004, one a finding
    INCIDENT = "incident"  # OCSF Incident Finding 2005, one a case
    STIX = "stix"  # for partners: no account names
    CEF = "cef"
    CLOUDEVENT = "cloudevent"  # what a webhook sends
    MESSAGE = "message"  # for people: in a room, on a duty roster
    FILING = "filing"  # a report to a body in which providers share incidents: no account names


class Activity(StrEnum):
    """What happened to a case: OCSF's activity, CEF's event class, the tail of a CloudEvent's type."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


@dataclass(frozen=True)
class Leaving:
    """What is about to leave, for a person to read before it does."""

    form: Form
    bytes: int
    sha256: str
    holds: tuple[tuple[str, int], ...]  # kind of thing, how many
    names_accounts: bool
    marking: str | None = None  # TLP, of what goes to partners
