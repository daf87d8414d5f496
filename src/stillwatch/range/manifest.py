"""The inputs of a run, hashed: scenes, seeds, defences, code, stock, versions.

The id covers everything that may change a number. The same id therefore means the same numbers, and another
id means that something differs; `list_changes` says what.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

import stillwatch
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.range.scenes import Scene, stock_digest
from stillwatch.scan.curve import curve

FILE = "manifest.json"
SHAPE = 1  # of this file
PACKAGE = Path(stillwatch.__file__).parent
ROOMS = (
    "range", "scan", "detectors", "actors", "features", "terms", "exchanges", "engine", "stats", "text",
    "lineage",
)  # fmt: skip
LIVE_ROOMS = ("gateway", "distill")  # additional packages if a teacher is asked and students are trained
DRAWN = ("range/page", "range/scenes", "range/data")  # changes no number, or is hashed by itself
CODE = (".py", ".toml", ".sql", ".json")
LIBRARIES = ("numpy", "pyarrow", "duckdb")
LIVE_LIBRARIES = ("torch", "transformers")


@dataclass(frozen=True)
class SceneSource:
    """One scene of the run: its path, its content, and the seeds with which it was played."""

    name: str
    sha256: str
    seeds: tuple[int, ...]
    defences: tuple[str, ...]
    attackers: tuple[str, ...]
    own: dict[str, str]  # a defence in a user's own file -> SHA-256 of the file
    path: str | None


@dataclass(frozen=True)
class Manifest:
    """The inputs that determine a run's numbers."""

    mode: str
    scenes: tuple[SceneSource, ...]
    code: dict[str, str]  # package -> SHA-256 of its files
    stock: str
    curve: str
    versions: dict[str, str]

    @property
    def id(self) -> str:
        document = asdict(self)
        for scene in document["scenes"]:  # a file's place changes no number
            scene.pop("path")
            scene["defences"] = [scene["own"].get(name, name) for name in scene["defences"]]
            scene["own"] = sorted(scene["own"].values())
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]

    def as_dict(self) -> dict[str, Any]:
        return {"shape": SHAPE, "id": self.id, "stillwatch": stillwatch.__version__, **asdict(self)}


def manifest(
    scenes: Iterable[tuple[Scene, tuple[int, ...], tuple[str, ...], tuple[str, ...]]], mode: str
) -> Manifest:
    """Record the inputs of a run of these scenes, each with its seeds, defences and attackers."""
    listed = list(scenes)
    return Manifest(
        mode,
        tuple(
            SceneSource(
                s.name,
                s.digest,
                seeds,
                named,
                reacting,
                {name: _of_file(Path(name)) for name in named if name.endswith(".py")},
                None if s.path is None else str(s.path.resolve()),
            )
            for s, seeds, named, reacting in listed
        ),
        {room: _digest(PACKAGE / room) for room in ((*ROOMS, *LIVE_ROOMS) if mode == "live" else ROOMS)},
        hashlib.sha256("".join(stock_digest(s) for s, *_ in listed).encode()).hexdigest(),
        curve().digest,
        _versions((*LIBRARIES, *LIVE_LIBRARIES) if mode == "live" else LIBRARIES),
    )


@cache
def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    if folder.is_dir():
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(PACKAGE).as_posix()
            drawn = any(name.startswith(f"{d}/") and not folder.as_posix().endswith(d) for d in DRAWN)
            code = path.suffix in CODE or folder.name == "data"
            if path.is_file() and code and not drawn:
                digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _of_file(path: Path) -> str:
    with refuse_os_errors(InputError, f"{path} cannot be read"):
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions(libraries: tuple[str, ...]) -> dict[str, str]:
    versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in libraries:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def read_manifest(folder: Path) -> Manifest:
    """Read a run's manifest back.

    Raises: InputError: it is missing, broken, or of another version.
    """
    path = folder / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is no run: it has no {FILE}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("shape") != SHAPE:
        raise InputError(f"{path} is no manifest of this version (shape {SHAPE})")
    try:
        read = msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}") from error
    if read.id != document.get("id"):
        raise InputError(
            f"{path}: its id is {document.get('id')}, its contents give {read.id}: somebody changed it"
        )
    return read


def list_changes(then: Manifest, now: Manifest) -> list[str]:
    """Describe in sentences what has changed."""
    changes = []
    for a, b in zip(then.scenes, now.scenes, strict=False):
        if a.sha256 != b.sha256:
            changes.append(f"scene {a.name} has changed")
        changes += [f"{name} has changed" for name, was in a.own.items() if b.own.get(name) != was]
    rooms = [room for room in then.code if then.code[room] != now.code.get(room)]
    if rooms:
        changes.append(f"the code has changed: {', '.join(rooms)}")
    if then.stock != now.stock:
        changes.append("the stock of prompts that ships has changed")
    if then.curve != now.curve:
        changes.append("the measured curve has changed")
    changes += _other(then.versions, now.versions)
    return changes


def _other(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name} was {then.get(name, 'not there')} and is {now.get(name, 'not there')}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
