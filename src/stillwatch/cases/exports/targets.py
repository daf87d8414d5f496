"""The owner's list of who is told: `alerts.toml`. It sends nothing.

[[webhook]]
name = "on-call"
url = "https://hooks.example.com/stillwatch"
keys = ["on-call.key"]            # beside this file; made by `stillwatch alerts keygen`
says = "alert"                    # or "ocsf"; "slack", "teams" and "pagerduty" are messages for people

[[syslog]]
name = "siem"
url = "tls://siem.internal:6514"  # or tcp://, udp://
allow = ["siem.internal:6514"]    # a host of your own network has to be named
"""

import re
from dataclasses import dataclass
from pathlib import Path

from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.messages import MESSAGES
from stillwatch.cases.exports.places import ReceiverAddress, is_allowed, place
from stillwatch.errors import InputError
from stillwatch.toml import document
from stillwatch.toml.reading import TableReader

WEBHOOK, SYSLOG = ("https", "http"), ("tls", "tcp", "udp")
NAME = "alerts.toml"
LONGEST = 1 << 20
SAYS = ("alert", "ocsf", *MESSAGES)


@dataclass(frozen=True)
class ExportTarget:
    """One who is told."""

    kind: str  # "webhook" or "syslog"
    name: str
    where: ReceiverAddress
    keys: tuple[Path, ...]  # of a webhook one or more; of PagerDuty its routing key; of a room none
    says: str
    allow: tuple[str, ...]
    ca: Path | None  # certificates to trust instead of the system's


def read_targets(path: Path) -> tuple[ExportTarget, ...]:
    """Read the list. Raises: ExportError with every mistake, each with its line."""
    try:
        table = document.parse(document.read_text(path, LONGEST, "a list of targets is a page"), str(path))
    except InputError as why:
        raise ExportError(str(why)) from None
    found: dict[str, ExportTarget | None] = {}
    for kind, schemes in (("webhook", WEBHOOK), ("syslog", SYSLOG)):
        for entry in table.tables(kind):
            name = entry.name("name", "") if entry.need("name", 'as in name = "on-call"') else ""
            if name in found:
                entry.wrong("name", f"two targets are called {name!a}; give each its own")
            elif name and (not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)):
                entry.wrong("name", f"is {name!a}; give letters, digits, - and _")
            found[name] = _target(kind, schemes, name, entry, path.parent)
    table.check_unknown_keys()
    if table.notes.problems:
        raise ExportError("\n".join(table.notes.sentences()))
    return tuple(one for one in found.values() if one is not None)


def _wrong_keys(says: str, keys: int) -> str | None:
    if says == "pagerduty":
        return None if keys == 1 else "keys: name one file, which holds the integration's routing key"
    if says in MESSAGES:
        return f"{says} checks no signature: its URL is the secret; leave keys out" if keys else None
    return None if keys else "keys is missing: a webhook is signed; `stillwatch alerts keygen FILE` makes one"


def _target(
    kind: str, schemes: tuple[str, ...], name: str, entry: TableReader, beside: Path
) -> ExportTarget | None:
    where = None
    url = entry.name("url", "") if entry.need("url", f"give an address with {' or '.join(schemes)}") else ""
    allow = entry.names("allow")
    try:
        where = place(url, schemes) if url else None
    except ExportError as why:
        entry.wrong("url", str(why))
    if where is not None and where.scheme == "http" and not is_allowed(where, allow):
        entry.wrong("url", "http shows an alert to everybody on the way; use https, or allow the host")
    says = "alert"
    keys: tuple[str, ...] = ()
    if kind == "webhook":
        says, keys = entry.choice("says", says, SAYS), entry.names("keys")
        if what := _wrong_keys(says, len(keys)):
            entry.wrong("keys" if entry.has("keys") else "", what)
    ca = entry.name("ca")
    entry.check_unknown_keys()
    if where is None:
        return None
    signed = tuple(beside / key for key in keys)
    return ExportTarget(kind, name, where, signed, says, allow, beside / ca if ca else None)
