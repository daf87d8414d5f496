"""Checks before a gateway starts, item by item."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from stillwatch.cases.store import check_url
from stillwatch.errors import InputError, StillwatchError, refuse_os_errors
from stillwatch.gateway import clock
from stillwatch.gateway.control.tables import load_tables
from stillwatch.gateway.fleet.storage import has_entered
from stillwatch.gateway.fleet.store import ObjectStore, StoreAway, is_store
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.handover import InheritedFiles
from stillwatch.gateway.health import LOW_DISK_BYTES
from stillwatch.gateway.instance import open_terms, running_pid, terms_history
from stillwatch.gateway.probe import bind, upstream_trouble
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings, SettingsError
from stillwatch.terms import Terms, TermsError
from stillwatch.terms.decide import host_verdict
from stillwatch.terms.history import TermsHistory, digest
from stillwatch.terms.load import check, default_text, loads, read
from stillwatch.terms.reload import SETTLED_NS, follows

LARGEST_KEY = 4_096
HEAD_LINES = 1_000  # of a table of networks: the recorder reads all of it


@dataclass(frozen=True)
class SetupCheck:
    """The result of one check."""

    what: str
    verdict: Literal["ok", "warning", "error"]
    text: str


def place_terms(folder: Folder, path: Path | None) -> None:
    """Put a policy into the folder: the given one, or if there is none, the default that forbids nothing.

    Raises: TermsError with every problem of the given one; then nothing is changed.
    """
    if path is None and folder.terms.exists():
        return
    text = default_text() if path is None else read(path)
    fitting(folder, text, path or folder.terms)
    temporary = folder.terms.with_suffix(f".{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    past_ns = time.time_ns() - 2 * SETTLED_NS
    os.utime(temporary, ns=(past_ns, past_ns))  # it is complete: readers need not wait for the rest
    os.replace(temporary, folder.terms)


def fitting(folder: Folder, text: str, name: Path) -> Terms:
    """Return the policy in `text` if it may follow the last one in force. Raises: TermsError."""
    checked = check(text, str(name))
    if checked.terms is None:
        raise TermsError(list(checked.problems))
    last = TermsHistory(terms_history(folder)).in_force
    if last is not None:
        follows(name, checked.terms.version, digest(text.encode()), last.version, last.sha256)
    return checked.terms


def upstream_key(file: Path | None) -> str | None:
    """Return the upstream's key from its file, else from the environment. It is kept only in memory.

    Raises: SettingsError, without the file's contents.
    """
    if file is None:
        place, key = UPSTREAM_KEY_VARIABLE, os.environb.get(UPSTREAM_KEY_VARIABLE.encode(), b"").strip()
        if not key:
            return None
    else:
        place = str(file)
        with (
            refuse_os_errors(SettingsError, f"{file}: cannot read the upstream's key"),
            open(file, "rb") as opened,
        ):
            key = opened.read(LARGEST_KEY + 1).strip()
    if not key or len(key) > LARGEST_KEY or not all(33 <= byte <= 126 for byte in key):
        raise SettingsError(f"{place}: holds no key: give one line of printable ASCII without blanks")
    return key.decode("ascii")


def look(
    folder: Folder,
    settings: GatewaySettings,
    key: str | None,
    terms: Path | None = None,
    inherited: InheritedFiles | None = None,
) -> list[SetupCheck]:
    """Check all that a start needs, without starting. `terms`: the policy that it would start with."""
    inherited = inherited or InheritedFiles()
    pid = running_pid(folder) if inherited.lock is None else None
    checks = [
        _try("folder", lambda: _folder(folder, pid)),
        _try("terms", lambda: _terms(folder, terms)),
        _try("state", lambda: _state(folder)),
        *([_try("fleet", lambda: _fleet(settings.state))] if settings.state else []),
        *([_try("store", lambda: _store(folder, settings))] if is_store(settings.shared) else []),
        _try("cases", lambda: _cases(folder, settings)),
        *([_networks(settings.networks)] if settings.networks else []),
    ]
    if pid is None:
        for what, (host, port) in settings.addresses().items():
            if not inherited.at(port):
                checks.append(_try(what, partial(_port, host, port, what)))
    checks.append(_try("upstream", lambda: _upstream(folder, settings.upstream)))
    checks.append(_key(folder, key))
    if clock.is_driven():
        checks.append(_try("clock", _clock))
    free = shutil.disk_usage(folder.path).free
    text = f"{free / 1e9:.1f} GB free"
    checks.append(SetupCheck("disk", "ok" if free >= LOW_DISK_BYTES else "warning", text))
    return checks


def _try(what: str, ask: Callable[[], SetupCheck]) -> SetupCheck:
    try:
        return ask()
    except (StillwatchError, OSError) as why:
        return SetupCheck(what, "error", str(why))


def _folder(folder: Folder, pid: int | None) -> SetupCheck:
    folder.secret()
    mode = folder.path.stat().st_mode & 0o077
    if pid is not None:
        return SetupCheck("folder", "error", f"{folder.path}: is served already, by process {pid}")
    if mode:
        return SetupCheck(
            "folder", "warning", f"{folder.path}: others may look into it; chmod 700 {folder.path}"
        )
    return SetupCheck("folder", "ok", str(folder.path))


def _clock() -> SetupCheck:
    text = f"{clock.VARIABLE} is set: a run of the range drives the time, now {clock.now():%Y-%m-%d %H:%M}"
    return SetupCheck("clock", "warning", f"{text}; unset it where real clients are served")


def _terms(folder: Folder, path: Path | None) -> SetupCheck:
    if path is not None:
        version = fitting(folder, read(path), path).version
        return SetupCheck("terms", "ok", f"{path}: version {version} may be put in force")
    if not folder.terms.exists() and TermsHistory(terms_history(folder)).in_force is None:
        return SetupCheck("terms", "ok", "some that forbid nothing will be written")
    watched = open_terms(folder, keeps_history=False)
    if watched.error:
        return SetupCheck("terms", "warning", watched.error)
    return SetupCheck("terms", "ok", f"version {watched.terms.version}")


def _state(folder: Folder) -> SetupCheck:
    if not folder.state.exists():
        return SetupCheck("state", "ok", "state.db will be made")
    tables = load_tables(folder.state)
    return SetupCheck("state", "ok", f"{len(tables.keys)} keys, {len(tables.standings)} accounts not clear")


def _fleet(url: str | None) -> SetupCheck:
    """Check that the address suits a fleet. A member starts even while its database is unreachable."""
    url_parts = check_url(url or "")
    if url_parts.get_backend_name() != "postgresql":
        raise SettingsError("state: a fleet's state is kept in PostgreSQL: postgresql://USER@HOST/NAME")
    if url_parts.password is not None:
        raise SettingsError("state: the URL holds a password; give it by PGPASSWORD or ~/.pgpass")
    return SetupCheck("fleet", "ok", url_parts.render_as_string())


def _store(folder: Folder, settings: GatewaySettings) -> SetupCheck:
    """Check what the fleet's object store allows a gateway to do. A member starts without it."""
    assert settings.shared is not None
    store = ObjectStore(settings.shared, folder.secret())
    try:
        store.check()
    except StoreAway as why:
        if not has_entered(folder, store):
            raise
        return SetupCheck("store", "warning", f"{why}; exchanges wait on this disk until it is back")
    return SetupCheck("store", "ok", f"s3://{store.address.root} can be listed, read and written")


def _cases(folder: Folder, settings: GatewaySettings) -> SetupCheck:
    """Check the address of the cases. It may be unreachable now; events are delivered later."""
    if settings.cases is None and settings.state is not None:
        if folder.cases.exists():
            text = f"{folder.cases} is not read in a fleet; its cases are in the fleet's database"
            return SetupCheck("cases", "warning", f"{text}, or where --cases says")
        return SetupCheck("cases", "ok", "in the fleet's database")
    if settings.cases is None:
        return SetupCheck("cases", "ok", str(folder.cases))
    url = check_url(settings.cases)
    if url.password is not None:
        raise SettingsError("cases: the URL holds a password; give it by PGPASSWORD or ~/.pgpass")
    return SetupCheck("cases", "ok", url.render_as_string())


def _networks(paths: Sequence[str]) -> SetupCheck:
    """Check that the files begin like tables of networks. Serving does not wait for them."""
    from stillwatch.exchanges.networks import read_networks  # loads NumPy and Arrow: only if needed

    try:
        files = read_networks(paths, most_lines=HEAD_LINES).files
    except InputError as why:
        return SetupCheck("networks", "warning", str(why))
    return SetupCheck(
        "networks", "ok", ", ".join(f"{file.name} of {file.changed:%Y-%m-%d}" for file in files)
    )


def _port(host: str, port: int, what: str) -> SetupCheck:
    bind(host, port, what).close()
    return SetupCheck(what, "ok", f"{host}:{port} is free")


def _upstream(folder: Folder, url: str) -> SetupCheck:
    host = urlsplit(url).hostname or ""
    banned = host_verdict(_in_force(folder), host)
    if not banned.allow:
        text = f"{banned.reason} Requests will be refused, but for the exceptions in the terms."
        return SetupCheck("upstream", "warning", text)
    trouble = upstream_trouble(url)
    return SetupCheck("upstream", "warning" if trouble else "ok", trouble or f"{url} answers")


def _in_force(folder: Folder) -> Terms:
    """Return the present policy; the default that forbids nothing if there is none."""
    try:
        return open_terms(folder, keeps_history=False).terms
    except TermsError:
        return loads(default_text())


def _key(folder: Folder, key: str | None) -> SetupCheck:
    if key is None:
        text = f"none given by {UPSTREAM_KEY_VARIABLE} or --upstream-key-file: requests go up without one"
        return SetupCheck("upstream_key", "warning", text)
    return SetupCheck("upstream_key", "ok", "given; it is kept in memory alone")
