"""Alerts and cases in other programs' formats: OCSF, STIX, CEF, CloudEvents.

All modules are pure functions from an alert to bytes, except `post` and `outbox`, which send. Alerts contain
no prompts, so none leaves. Exports that name accounts go to the owner's own systems; those for partners name
none.
"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.errors import StillwatchError

TARGETS = "alerts.toml"  # the owner's list of receivers, in the gateway's folder


class ExportError(StillwatchError):
    """It cannot be exported or sent this way."""


class Form(StrEnum):
    """The format of an export."""

    OCSF = "ocsf"  # Detection Finding 2004, one a finding
    INCIDENT = "incident"  # OCSF Incident Finding 2005, one a case
    STIX = "stix"  # for partners: no account names
    CEF = "cef"
    CLOUDEVENT = "cloudevent"  # the content of a webhook
    MESSAGE = "message"  # for people: in a chat room, on call
    FILING = "filing"  # a report to a body through which providers share incidents: no account names


class Activity(StrEnum):
    """What happened to a case: OCSF's activity, CEF's event class, the end of a CloudEvent's type."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


@dataclass(frozen=True)
class Leaving:
    """Summary of an export, for a person to confirm."""

    form: Form
    bytes: int
    sha256: str
    holds: tuple[tuple[str, int], ...]  # kind of content, how many
    names_accounts: bool
    marking: str | None = None  # TLP, of exports for partners
