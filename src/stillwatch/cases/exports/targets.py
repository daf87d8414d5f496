"""The owner's list of who is told: `alerts.toml`. It sends nothing.

[[webhook]]
name = "on-call"
url = "https://hooks.example.com/stillwatch"
keys = ["on-call.key"]            # beside this file; made by `stillwatch alerts keygen`
says = "alert"                    # or "ocsf"

[[syslog]]
name = "siem"
url = "tls://siem.internal:6514"  # or tcp://, udp://
allow = ["siem.internal:6514"]    # a host of your own network has to be named
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.places import ReceiverAddress, is_allowed, place

WEBHOOK, SYSLOG = ("https", "http"), ("tls", "tcp", "udp")
NAME = "alerts.toml"
LONGEST = 1 << 20
_OPTIONS = {
    "webhook": ("name", "url", "keys", "says", "allow", "ca"),
    "syslog": ("name", "url", "allow", "ca"),
}
_SAYS = ("alert", "ocsf")


@dataclass(frozen=True)
class ExportTarget:
    """One who is told."""

    kind: str  # "webhook" or "syslog"
    name: str
    where: ReceiverAddress
    keys: tuple[Path, ...]  # of a webhook: at least one
    says: str
    allow: tuple[str, ...]
    ca: Path | None  # certificates to trust instead of the system's


def read_targets(path: Path) -> tuple[ExportTarget, ...]:
    """Read the list. Raises: ExportError that names the entry and what would be right."""
    try:
        raw = path.read_bytes()
    except OSError as why:
        raise ExportError(f"{path}: cannot be read: {why.strerror}") from why
    if len(raw) > LONGEST:
        raise ExportError(f"{path}: {len(raw):,} bytes; a list of targets has at most {LONGEST:,}")
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as why:
        raise ExportError(f"{path}: no TOML: {why}") from None
    if unknown := sorted(document.keys() - _OPTIONS.keys()):
        raise ExportError(
            f"{path}: {unknown[0]!a} means nothing here; right would be [[webhook]] or [[syslog]]"
        )
    found: list[ExportTarget] = []
    for kind in _OPTIONS:
        entries = document.get(kind, [])
        if not isinstance(entries, list):
            raise ExportError(f"{path}: write [[{kind}]], in double brackets")
        for k, entry in enumerate(entries, 1):
            found.append(_target(kind, entry, path, f"{path}: {kind} {k}"))
    names = [one.name for one in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ExportError(f"{path}: two targets are called {twice!a}")
    return tuple(found)


def _target(kind: str, entry: Any, path: Path, at: str) -> ExportTarget:
    if not isinstance(entry, Mapping):
        raise ExportError(f"{at}: is no table")
    if unknown := sorted(entry.keys() - set(_OPTIONS[kind])):
        raise ExportError(f"{at}: {unknown[0]!a} means nothing; known are {', '.join(_OPTIONS[kind])}")
    name = _text(entry, "name", at)
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or len(name) > 64:
        raise ExportError(f"{at}: name is {name!a}; give letters, digits, - and _")
    at = f"{at} ({name})"
    try:
        where = place(_text(entry, "url", at), WEBHOOK if kind == "webhook" else SYSLOG)
    except ExportError as why:
        raise ExportError(f"{at}: url: {why}") from None
    allow = _texts(entry, "allow", at)
    if where.scheme == "http" and not is_allowed(where, allow):
        raise ExportError(f"{at}: http shows an alert to everybody on the way; use https, or allow the host")
    says = _text(entry, "says", at, "alert")
    if says not in _SAYS:
        raise ExportError(f"{at}: says is {says!a}; give {' or '.join(_SAYS)}")
    keys = tuple(path.parent / key for key in _texts(entry, "keys", at))
    if kind == "webhook" and not keys:
        raise ExportError(
            f"{at}: keys is missing: a webhook is signed; `stillwatch alerts keygen FILE` makes one"
        )
    ca = _text(entry, "ca", at, "")
    return ExportTarget(kind, name, where, keys, says, allow, path.parent / ca if ca else None)


def _text(entry: Mapping[str, Any], name: str, at: str, default: str | None = None) -> str:
    value = entry.get(name, default)
    if value is None:
        raise ExportError(f"{at}: {name} is missing")
    if not isinstance(value, str):
        raise ExportError(f"{at}: {name} must be a text")
    return value


def _texts(entry: Mapping[str, Any], name: str, at: str) -> tuple[str, ...]:
    value = entry.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ExportError(f"{at}: {name} must be a list of texts")
    return tuple(value)
