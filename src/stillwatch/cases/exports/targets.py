"""The owner's list of receivers: `alerts.toml`.

[[webhook]]
name = "on-call"
url = "https://hooks.example.com/stillwatch"
keys = ["on-call.key"]            # beside this file; made by `stillwatch alerts keygen`
says = "alert"                    # or "ocsf"

[[slack]]                         # or [[teams]], [[pagerduty]]: messages for people
name = "room"
url = "https://hooks.slack.com/services/T0/B0/x"

[[syslog]]
name = "siem"
url = "tls://siem.internal:6514"  # or tcp://, udp://
allow = ["siem.internal:6514"]    # hosts of your own network must be listed
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from stillwatch.cases.exports import ExportError, Form
from stillwatch.cases.exports.places import PORTS, is_allowed, place
from stillwatch.cases.exports.sinks import ExportTarget, Sink
from stillwatch.errors import InputError
from stillwatch.plugins import named_modules
from stillwatch.toml import document
from stillwatch.toml.reading import TableReader

SINKS, GROUP = "stillwatch.cases.exports.sinks", "stillwatch.sinks"
LONGEST = 1 << 20
SAYS = ("alert", "ocsf")
FORMS = (Form.CLOUDEVENT, Form.CEF, Form.MESSAGE)


@cache
def sinks() -> Mapping[str, Sink]:
    """Return the kinds of receivers by name: ours, and those that installed packages add.

    Raises: InputError for an entry point that cannot be loaded or is not a sink, and for a name that is
    taken.
    """
    modules_found = named_modules(
        SINKS, GROUP, "sinks", "send", {"NAME": str, "SCHEMES": tuple, "FORM": Form}
    )
    for sink in modules_found:
        if not sink.SCHEMES or not set(sink.SCHEMES) <= set(PORTS):
            raise InputError(f"{GROUP}: the SCHEMES of {sink.NAME} are not of {', '.join(PORTS)}")
        if sink.FORM not in FORMS:
            right = ", ".join(f"Form.{form.name}" for form in FORMS)
            raise InputError(f"{GROUP}: the FORM of {sink.NAME} is {sink.FORM}; give one of {right}")
        if sink.FORM is Form.MESSAGE and not callable(getattr(sink, "write", None)):
            raise InputError(f"{GROUP}: {sink.NAME} takes messages and has no function `write`")
    return {sink.NAME: sink for sink in modules_found}


def read_targets(path: Path) -> tuple[ExportTarget, ...]:
    """Read the list. Raises: ExportError with every mistake, each with its line."""
    try:
        table = document.parse(document.read_text(path, LONGEST, "a list of targets is a page"), str(path))
    except InputError as why:
        raise ExportError(str(why)) from None
    targets: dict[str, ExportTarget | None] = {}
    kinds = sinks()
    for kind in sorted(kinds, key=[*table.content, *kinds].index):  # in the list's order
        for entry in table.tables(kind):
            name = entry.name("name", "") if entry.need("name", 'as in name = "on-call"') else ""
            if name in targets:
                entry.wrong("name", f"two targets are called {name!a}; give each its own")
            elif name and (not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)):
                entry.wrong("name", f"is {name!a}; give letters, digits, - and _")
            targets[name] = _target(kinds[kind], name, entry, path.parent)
    table.check_unknown_keys()
    if table.notes.problems:
        raise ExportError("\n".join(table.notes.sentences()))
    return tuple(target for target in targets.values() if target is not None)


def _target(sink: Sink, name: str, entry: TableReader, beside: Path) -> ExportTarget | None:
    where = None
    advice = f"give an address with {' or '.join(sink.SCHEMES)}"
    url = entry.name("url", "") if entry.need("url", advice) else ""
    allow = entry.names("allow")
    try:
        where = place(url, sink.SCHEMES) if url else None
    except ExportError as why:
        entry.wrong("url", str(why))
    if where is not None and where.scheme == "http" and not is_allowed(where, allow):
        entry.wrong("url", "http shows an alert to everybody on the way; use https, or allow the host")
    says = "alert"
    keys: tuple[str, ...] = ()
    if sink.FORM == Form.CLOUDEVENT:
        says = entry.choice("says", says, SAYS)
    if needed := getattr(sink, "KEYS", ""):
        keys = entry.names("keys")
        if not keys and not getattr(sink, "KEYS_OPTIONAL", False):
            entry.wrong("keys" if entry.has("keys") else "", f"keys is missing: {needed}")
    options = {}
    for key, right in getattr(sink, "OPTIONS", {}).items():
        options[key] = entry.name(key, "") if entry.need(key, right) else ""
    ca = entry.name("ca")
    entry.check_unknown_keys()
    if where is None:
        return None
    signed = tuple(beside / key for key in keys)
    return ExportTarget(sink.NAME, name, where, signed, says, allow, beside / ca if ca else None, options)
