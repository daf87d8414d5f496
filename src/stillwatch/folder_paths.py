"""Folders whose files have fixed names: one line a name. It does not know their content."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FolderPaths:
    """A folder; a class of it lists what lies where, each by a `Below`."""

    path: Path


class Below:
    """The path of one name below a folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: FolderPaths, owner: type[FolderPaths]) -> Path:
        return folder.path / self.name
