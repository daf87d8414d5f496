"""A fleet as one archive: its database, its policy, and its keys unless these are kept separately.

PostgreSQL's own programs write and read the database's part, as a consistent snapshot. A restored fleet has a
new generation, so that a folder with later changes never silently continues from an earlier state. The
archive holds no exchanges: those are in the shared folder. Gateways are stopped and started by hand.
"""

import hashlib
import io
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import stillwatch
from stillwatch.errors import StillwatchError, refuse_os_errors
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.fleet.database import (
    LATE_S,
    LONG_ANSWER_S,
    FleetDatabase,
    one_line,
    psycopg_url,
    put_everything,
    put_mark,
    read_gateways,
    read_version,
)
from stillwatch.gateway.folder import Folder, derive, open_folder
from stillwatch.gateway.instance import running_pid
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.new_file import sync_folder

if TYPE_CHECKING:
    import psycopg

FORM = 1  # of the archive
LONGEST_S = 7_200.0  # for one of PostgreSQL's programs
ABOUT, DUMP = "backup.json", "stillwatch.dump"
SECRETS = ("secret", "audit.key", "second-factor.key")
OTHERS = ("audit.key.pub", "terms.toml", "terms-history.jsonl", "serve.json")
SET_ASIDE = ".before-restore"  # suffix of a copy of the state that is replaced


class BackupError(StillwatchError):
    """A fleet could not be written to an archive, or restored from one."""


@dataclass(frozen=True)
class FleetBackup:
    """The contents of an archive, from its own description."""

    form: int
    id: str
    stillwatch: str  # version that wrote it
    at_us: int
    generation: str
    revision: int  # of keys and enforcement statuses
    secret: str  # digest of the fleet's secret
    files: dict[str, str]  # name -> SHA-256


@dataclass(frozen=True)
class FleetRestore:
    """The result of a restore."""

    revision: int  # of keys and enforcement statuses that the fleet has now
    database: bool  # it was written; else it had been restored from this archive before
    folder_knew: int | None  # the folder's revision, if later than the archive's
    files: tuple[str, ...]  # added to the folder


# --- back up ---------------------------------------------------------------------------------------------


def back_up(
    folder: Folder, state: ControlState, archive: Path, now_us: int, *, keys: bool = True
) -> FleetBackup:
    """Write a fleet into one archive, whole or not at all. keys: with its secret and its audit key.

    Raises: BackupError, StateError.
    """
    assert state.fleet is not None
    if archive.exists():
        raise BackupError(f"{archive}: is there already; give another name")
    names = (*(SECRETS if keys else ()), *OTHERS)
    with refuse_os_errors(BackupError, f"{archive}: cannot be written"), _beside(archive) as place:
        with state.fleet.connect(patient=True) as db:
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            row = db.execute(
                "SELECT generation, revision, secret, pg_export_snapshot() FROM fleet"
            ).fetchone()
            assert row is not None
            dump = ("--format=custom", f"--snapshot={row[3]}", f"--file={place / DUMP}")
            _run_on(state.fleet.url, "pg_dump", *dump)
        paths = [place / DUMP, *(path for name in names if (path := folder.path / name).exists())]
        sums = {path.name: _sha256(path) for path in paths}
        version, name = stillwatch.__version__, secrets.token_hex(8)
        about = FleetBackup(FORM, name, version, now_us, str(row[0]), int(row[1]), str(row[2]), sums)
        _write_archive(place / "archive", about, paths)
        os.rename(place / "archive", archive)
        sync_folder(archive.absolute().parent)
    return about


@contextmanager
def _beside(archive: Path) -> Iterator[Path]:
    """Yield a private folder on the archive's file system."""
    with tempfile.TemporaryDirectory(prefix=f".{archive.name}.", dir=archive.absolute().parent) as made:
        yield Path(made)


def _write_archive(path: Path, about: FleetBackup, paths: list[Path]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            text = json.dumps(asdict(about), indent=1).encode()
            head = tarfile.TarInfo(ABOUT)
            head.size = len(text)
            tar.addfile(head, io.BytesIO(text))
            for entry in paths:
                tar.add(entry, entry.name, recursive=False)
        file.flush()
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run_on(url: str, program: str, *words: str) -> None:
    """Run a PostgreSQL program on a database, whose URL has no password. Raises: BackupError."""
    if shutil.which(program) is None:
        raise BackupError(f"{program} is not here; install PostgreSQL's client (postgresql-client)")
    words = (program, "--no-password", f"--dbname={url}", *words)
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired as why:
        raise BackupError(f"{program} did not end within {LONGEST_S / 3600:.0f} hours") from why
    if done.returncode:
        raise BackupError(f"{program} ended with code {done.returncode}: {one_line(done.stderr)[:500]}")


# --- restore ---------------------------------------------------------------------------------------------


def restore(
    archive: Path, path: Path, url: str | None, who: str, now_us: int, *, force: bool = False
) -> FleetRestore:
    """Restore a fleet's database and a gateway's folder. All gateways must be stopped.

    url: of the database; None: the one that was backed up. who: for the record. force: overwrite a database
    that is not empty, and a folder's copy of the state, whose later changes are kept. A database that was
    restored from this archive is left unchanged. Raises: BackupError, StateError.
    """
    from psycopg.conninfo import conninfo_to_dict

    with (
        refuse_os_errors(BackupError, f"{archive}: cannot be restored"),
        _open_archive(archive) as (place, about),
    ):
        at = psycopg_url(url or _settings_in(place).state or "")
        if "password" in conninfo_to_dict(at):
            raise BackupError("state: the URL holds a password; give it by PGPASSWORD or ~/.pgpass")
        folder = _prepared_folder(path, place, about, force)
        database = FleetDatabase(at)
        with database.connect(patient=True) as db:
            is_there = _is_restored(db, about)
            if not is_there:
                _check_database(db, at, force)
        knew = _later_revision(folder, about)
        if knew is not None and is_there:
            raise BackupError(
                f"{folder.path}: knows revision {knew}, the back-up {about.revision}, and the database was "
                "restored without it; drop that database, and restore here first"
            )
        if not is_there:
            _run_on(
                at, "pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction",
                "--exit-on-error", str(place / DUMP),
            )  # fmt: skip
            with database.connect(patient=True, answer_s=LONG_ANSWER_S) as db, db.transaction():
                _begin_anew(db, about, folder, knew, who, now_us)
        files = _put_files(folder, place, url)
        with database.connect(patient=True) as db:
            version = read_version(db)
            assert version is not None
    return FleetRestore(version.revision, not is_there, knew, files)


@contextmanager
def _open_archive(archive: Path) -> Iterator[tuple[Path, FleetBackup]]:
    """Yield the files of an undamaged archive, in a private folder."""
    with tempfile.TemporaryDirectory(prefix="stillwatch-restore-") as made:
        place = Path(made)
        try:
            with tarfile.open(archive, "r:") as tar:
                for info in tar:
                    if not info.isfile() or info.name not in (ABOUT, DUMP, *SECRETS, *OTHERS):
                        raise BackupError(f"{archive}: holds {info.name!a}, as no back-up of a fleet does")
                    tar.extract(info, place, filter="data")
            about = msgspec.json.decode((place / ABOUT).read_bytes(), type=FleetBackup)
        except (tarfile.TarError, EOFError, msgspec.MsgspecError, FileNotFoundError) as why:
            raise BackupError(f"{archive}: is no back-up of a fleet: {one_line(why)}") from why
        if about.form > FORM:
            raise BackupError(
                f"{archive}: was written by Stillwatch {about.stillwatch}; install that version"
            )
        for name in {DUMP, "serve.json", *about.files}:
            if not (place / name).is_file() or _sha256(place / name) != about.files.get(name):
                raise BackupError(f"{archive}: {name} is missing or damaged; nothing was changed")
        yield place, about


def _settings_in(place: Path) -> GatewaySettings:
    return GatewaySettings.load(place / "serve.json")


def _prepared_folder(path: Path, place: Path, about: FleetBackup, force: bool) -> Folder:
    """Return the folder to fill: not served, and with the fleet's secret. Nothing is changed."""
    folder = Folder(path.resolve())
    if running_pid(folder) is not None:
        raise BackupError(f"{folder.path}: is served; stop all gateways first")
    if folder.state.exists() and not force:
        raise BackupError(
            f"{folder.path}: has a state already; give an empty folder, or --force: then what this one knows "
            "later than the back-up is kept"
        )
    source = folder if folder.secret_file.exists() else Folder(place)
    if not source.secret_file.exists():
        raise BackupError(
            f"{folder.path}: the back-up was made without the fleet's secret: put `secret` and audit.key "
            "there first, from where they are kept"
        )
    if derive(source.secret(), b"fleet").hex() != about.secret:
        raise BackupError(f"{folder.secret_file}: is not the secret of the fleet in the back-up")
    return folder


def _is_restored(db: "psycopg.Connection[Any]", about: FleetBackup) -> bool:
    """Return whether a database was restored from this archive."""
    if db.execute("SELECT to_regclass('fleet')").fetchone() == (None,):
        return False
    version = read_version(db)
    return version is not None and version.generation.startswith(about.id)


def _check_database(db: "psycopg.Connection[Any]", url: str, force: bool) -> None:
    """Refuse a database that is in use or not empty. Raises: BackupError."""
    if db.execute("SELECT to_regclass('gateways')").fetchone() != (None,):
        alive = [member.name for member in read_gateways(db) if member.silent_s <= LATE_S]
        if alive:
            raise BackupError(f"{url}: is used by {', '.join(alive)}; stop all gateways first")
    held = db.execute(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^(pg_|information_schema$)'"
    ).fetchone()
    assert held is not None
    if held[0] and not force:
        raise BackupError(
            f"{url}: holds {held[0]} tables; give an empty database, or --force to write over it"
        )


def _later_revision(folder: Folder, about: FleetBackup) -> int | None:
    """Return the revision of a folder's copy of the state, if later than the archive's."""
    if not folder.state.exists():
        return None
    with ControlState(folder.state, folder.secret()) as state:
        version = state.version()
    if version.generation != about.generation and not version.generation.startswith(about.id):
        raise BackupError(
            f"{folder.state}: is not of the history that the back-up is of, and may know of revoked keys "
            "that it does not; move it away to begin without it"
        )
    return version.revision if version.revision > about.revision else None


def _begin_anew(
    db: "psycopg.Connection[Any]", about: FleetBackup, folder: Folder, knew: int | None, who: str, now_us: int
) -> None:
    """Give the restored fleet a new generation, and add a folder's later changes."""
    for table in ("gateways", "leases", "spent_read"):  # of gateways that ran at the time of the back-up
        db.execute(f"DELETE FROM {table}")
    db.execute("UPDATE objects_clock SET life = %s", (secrets.token_hex(8),))  # gateways resend all owners
    revision = about.revision if knew is None else knew
    if knew is not None:
        with ControlState(folder.state, folder.secret()) as state, state.reading() as copy:
            put_everything(db, copy, revision)
    detail = {"backed_up_us": about.at_us, "revision": about.revision, "known_revision": revision}
    db.execute(
        "UPDATE fleet SET generation = %s, revision = %s", (about.id + secrets.token_hex(8), revision + 1)
    )
    put_mark(db, revision + 1)
    db.execute(
        "INSERT INTO events (event, at_us, who, what, subject, detail, row_revision)"
        " SELECT coalesce(max(event), 0) + 1, %s, %s, 'fleet restored', %s, %s, %s FROM events",
        (now_us, who, about.id, json.dumps(detail), revision + 1),
    )


def _put_files(folder: Folder, place: Path, url: str | None) -> tuple[str, ...]:
    """Add missing files to a folder; its copy of the state is set aside and will be created again."""
    if folder.state.exists():
        for end in ("", "-wal", "-shm"):
            path = folder.state.with_name(folder.state.name + end)
            if path.exists():
                path.rename(path.with_name(f"{folder.state.name}{SET_ASIDE}{end}"))
        (folder.path / "state.mark").unlink(missing_ok=True)
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    put = []
    for name in (*SECRETS, *OTHERS):
        target = folder.path / name
        if target.exists() or not (place / name).exists():
            continue
        if name == "serve.json":  # the name of a lost gateway is not used again
            settings = {**asdict(_settings_in(place)), "gateway": None}
            GatewaySettings(**(settings | ({} if url is None else {"state": url}))).save(target)
        else:
            shutil.copyfile(place / name, target)
            target.chmod(0o600)
        put.append(name)
    open_folder(folder.path)
    return tuple(put)
