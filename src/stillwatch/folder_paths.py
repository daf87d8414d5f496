"""Folders whose files have fixed names, one attribute per name."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FolderPaths:
    """A folder; a subclass lists its files, each as a `Below`."""

    path: Path


class Below:
    """The path of one name below a folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: FolderPaths, owner: type[FolderPaths]) -> Path:
        return folder.path / self.name
