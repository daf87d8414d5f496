"""The evidence bundle: a case as files that another company or a court's expert can check. It judges nothing.

`documents.CHECKER` lists the files of the checker that travels in each one: the library of Python 3.9 is all
that it needs.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stillwatch.errors import StillwatchError


class BundleError(StillwatchError):
    """The bundle cannot be made: no log of the finding, no room, a place that is taken."""


@dataclass(frozen=True)
class Prepared:
    """A bundle that has not left yet: what is in it, in words, and the files."""

    case: str
    title: str
    leaving: tuple[str, ...]  # sentences: print them before anything leaves
    files: dict[str, bytes]  # without the manifest
    predicate: dict[str, Any]  # of the manifest
    token_key: bytes  # under which texts and addresses became tokens; it stays here


@dataclass(frozen=True)
class Exported:
    """A bundle that was written."""

    path: Path
    sha256: str  # of its manifest, which names all other files
    files: int
    bytes: int
    key: str  # the public key that signed it
    stamped_at: datetime | None = None  # by the clock of a time-stamping authority
    stamped_by: str = ""
