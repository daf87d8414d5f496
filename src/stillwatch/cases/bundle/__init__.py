"""The evidence bundle: a case as files that another company or a court's expert can check.

`documents.CHECKER` lists the files of the checker that each bundle contains. It needs nothing but the
standard library of Python 3.9.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stillwatch.errors import StillwatchError


class BundleError(StillwatchError):
    """The bundle cannot be made: no log of the finding, no disk space, or the output path exists."""


@dataclass(frozen=True)
class Prepared:
    """A bundle that has not been released yet: its content, described in sentences, and its files."""

    case: str
    title: str
    leaving: tuple[str, ...]  # sentences for a person to read before the release
    files: dict[str, bytes]  # without the manifest
    predicate: dict[str, Any]  # of the manifest
    token_key: bytes  # turns texts and addresses into tokens; it is not in the bundle


@dataclass(frozen=True)
class Exported:
    """A bundle that was written."""

    path: Path
    sha256: str  # of its manifest, which lists all other files
    files: int
    bytes: int
    key: str  # the public key that signed it
    stamped_at: datetime | None = None  # according to a time-stamping authority
    stamped_by: str = ""
