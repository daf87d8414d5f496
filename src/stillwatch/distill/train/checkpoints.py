"""Checkpoints of a training that may be killed at any moment: finds the complete ones.

The trainer writes a checkpoint file by file into its own folder. Only when all of them are on disk is the
mark written; a folder without it is incomplete.
"""

import json
import os
import shutil
from pathlib import Path

WHOLE = "whole.json"
PREFIX = "checkpoint-"


def latest(folder: Path) -> Path | None:
    """Return the latest complete checkpoint; remove incomplete ones."""
    found: list[tuple[int, Path]] = []
    for path in folder.glob(f"{PREFIX}*"):
        if (path / WHOLE).is_file() and path.name.removeprefix(PREFIX).isdecimal():
            found.append((int(path.name.removeprefix(PREFIX)), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(found)[1] if found else None


def mark(path: Path, cpu_s: float, wall_s: float, resumed_at: tuple[int, ...]) -> None:
    """Mark a checkpoint as complete, after syncing its files; record its cost so far."""
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    mark = path / f".{WHOLE}"
    mark.write_text(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s, "resumed_at": list(resumed_at)}))
    mark.replace(path / WHOLE)


def cost_so_far(path: Path) -> tuple[float, float, tuple[int, ...]]:
    """Return CPU-seconds, seconds and earlier interruptions of a training up to a checkpoint."""
    document = json.loads((path / WHOLE).read_text())
    return float(document["cpu_s"]), float(document["wall_s"]), tuple(document["resumed_at"])
