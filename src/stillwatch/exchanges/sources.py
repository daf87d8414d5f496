"""Expand what a person typed into the files to read, each file once."""

import glob
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import BinaryIO

from stillwatch.errors import InputError
from stillwatch.exchanges.database import export_table, is_database

STDIN = "-"
COPIES = "stillwatch-copy-"  # prefix of the folder of copies
REPORT = ("findings.json", "evidence.json", "index.html", "rejected.jsonl")  # what a scan writes


@dataclass(frozen=True)
class Source:
    path: Path
    shown: str  # as used in messages
    size: int


def find(paths: Sequence[str | Path]) -> list[Source]:
    """Expand files, folders (recursively) and globs; leave out repeated files and identical copies.

    Of a gateway's folder only the segments are taken.

    Raises: InputError if a path names nothing.
    """
    files: dict[Path, Source] = {}
    for path in paths:
        for file in _expand(path):
            resolved = file.resolve()
            if resolved not in files:
                files[resolved] = Source(file, _display_name(file), file.stat().st_size)
    if not files:
        raise InputError("no log given; right would be a file, a folder or a pattern such as logs/*.parquet")
    return _without_copies(list(files.values()))


@contextmanager
def local_files(paths: Sequence[str | Path], stdin: BinaryIO | None = None) -> Iterator[list[str | Path]]:
    """Yield the same paths, with standard input (`-`), pipes and database tables (`postgresql://`) copied to
    a temporary folder that lasts as long as the context.

    A log is read more than once (once without texts, once to be hashed), and a pipe can be read only once.

    Raises: InputError if one cannot be read or there is no room for it.
    """
    with tempfile.TemporaryDirectory(prefix=COPIES) as folder, _removed_when_ended():
        # accessible to this user only
        local: list[str | Path] = []
        for number, path in enumerate(paths):
            if is_database(path):
                (table_folder := Path(folder) / str(number)).mkdir()
                local.append(export_table(str(path), table_folder))
                continue
            if str(path) == STDIN:
                name, stream = "stdin", stdin or sys.stdin.buffer
            elif Path(path).is_fifo():
                name, stream = f"pipe-{number + 1}", None
            else:
                local.append(path)
                continue
            copy = Path(folder) / name
            if copy.exists():
                raise InputError("- stands for standard input and can be given once")
            try:
                with ExitStack() as opened:
                    source = stream or opened.enter_context(Path(path).open("rb"))
                    shutil.copyfileobj(source, opened.enter_context(copy.open("xb")), 1 << 20)
            except OSError as why:
                raise InputError(f"{path}: cannot be stored in {folder}: {why.strerror or why}") from None
            local.append(copy)
        yield local


@contextmanager
def _removed_when_ended() -> Iterator[None]:
    """Let SIGTERM end the process by an exception, so that no copy of a log is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _display_name(file: Path) -> str:
    """Return a file's name for messages: of a copy without its folder, which changes each time."""
    return file.name if any(folder.name.startswith(COPIES) for folder in file.parents) else str(file)


def is_gateway(path: Path) -> bool:
    """Return whether this is the folder in which a gateway keeps its data."""
    return (path / "segments").is_dir() and (path / "wal").is_dir()


def _expand(path: str | Path) -> Iterable[Path]:
    location = Path(path)
    if location.is_file():
        return [location]
    if location.is_dir():
        if is_gateway(location):
            location = location / "segments"  # the rest is not a log
        files_inside = sorted(_inside(location))
        if not files_inside:
            raise InputError(f"{location}: the folder holds no file")
        return files_inside
    if location.exists():
        raise InputError(f"{location}: is a pipe or a device; right would be a file (save the stream first)")
    matches = sorted(Path(p) for p in glob.glob(str(path), recursive=True))
    files: list[Path] = []
    for match in matches:
        files.extend(_expand(match) if match.is_dir() else [match] if match.is_file() else [])
    if not files:
        raise InputError(f"{location}: no such file or folder, and as a pattern it matches nothing")
    return files


def _inside(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, following links, each folder once; one that cannot be listed is yielded
    itself, and rejected when read."""
    unlisted: list[Path] = []
    entered: set[tuple[int, int]] = set()
    for at, folders, files in os.walk(
        folder, followlinks=True, onerror=lambda why: unlisted.append(Path(str(why.filename)))
    ):
        place = os.stat(at)
        if (place.st_dev, place.st_ino) in entered:  # a link that leads back
            folders.clear()
            continue
        entered.add((place.st_dev, place.st_ino))
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        if {"findings.json", "evidence.json"} <= set(files):  # a report of an earlier scan, among the logs
            files = [name for name in files if name not in REPORT]
        yield from (path for name in files if not _is_hidden(name) and (path := Path(at, name)).is_file())
    yield from unlisted


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))  # .tmp, _SUCCESS, _delta_log: auxiliary files of writers


def _without_copies(sources: list[Source]) -> list[Source]:
    """Keep the first of byte-identical files. Only files of equal size are hashed."""
    sizes: dict[int, int] = {}
    for source in sources:
        sizes[source.size] = sizes.get(source.size, 0) + 1
    seen: set[bytes] = set()
    distinct_sources = []
    for source in sources:
        if source.size and sizes[source.size] > 1:
            try:
                digest = _digest(source.path)
            except OSError:  # reported when it is read; the others are read
                distinct_sources.append(source)
                continue
            if digest in seen:
                continue
            seen.add(digest)
        distinct_sources.append(source)
    return distinct_sources


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=32)).digest()
