"""From what a person typed to the files to read: each file once. It does not look at formats."""

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from stillwatch.errors import InputError


@dataclass(frozen=True)
class Source:
    path: Path
    shown: str  # as it stands in messages
    size: int


def find(paths: Sequence[str | Path]) -> list[Source]:
    """Expand files, folders (recursively) and globs; leave out what is the same file or an identical copy.

    Of a gateway's whole folder the segments are taken.

    Raises: InputError when a path names nothing.
    """
    found: dict[Path, Source] = {}
    for path in paths:
        for file in _expand(path):
            whole = file.resolve()
            if whole not in found:
                found[whole] = Source(file, str(file), file.stat().st_size)
    if not found:
        raise InputError("no log given; right would be a file, a folder or a pattern such as logs/*.parquet")
    return _without_copies(list(found.values()))


def is_gateway(path: Path) -> bool:
    """Whether this is the folder that a gateway keeps everything in."""
    return (path / "segments").is_dir() and (path / "wal").is_dir()


def _expand(path: str | Path) -> Iterable[Path]:
    given = Path(path)
    if given.is_file():
        return [given]
    if given.is_dir():
        if is_gateway(given):
            given = given / "segments"  # the rest of it is no log
        inside = sorted(p for p in given.rglob("*") if p.is_file() and not _hidden(p.relative_to(given)))
        if not inside:
            raise InputError(f"{given}: the folder holds no file")
        return inside
    matches = sorted(Path(p) for p in glob.glob(str(path), recursive=True))
    files: list[Path] = []
    for match in matches:
        files.extend(_expand(match) if match.is_dir() else [match] if match.is_file() else [])
    if not files:
        raise InputError(f"{given}: no such file or folder, and as a pattern it matches nothing")
    return files


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)  # .tmp, _SUCCESS, _delta_log: writers' own


def _without_copies(sources: list[Source]) -> list[Source]:
    """Keep the first of byte-identical files. Only files of equal size are hashed."""
    sizes: dict[int, int] = {}
    for source in sources:
        sizes[source.size] = sizes.get(source.size, 0) + 1
    seen: set[bytes] = set()
    kept = []
    for source in sources:
        if source.size and sizes[source.size] > 1:
            digest = _digest(source.path)
            if digest in seen:
                continue
            seen.add(digest)
        kept.append(source)
    return kept


def _digest(path: Path) -> bytes:
    state = blake2b(digest_size=32)
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                state.update(chunk)
    except OSError as why:
        raise InputError(f"{path}: cannot be read: {why.strerror}") from None
    return state.digest()
