"""Which files a scan read, by name and SHA-256: what a finding's claims can be recomputed from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePath

from stillwatch.cases.evidence import Input
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.exchanges.sources import find


def inputs_of(logs: Sequence[str | Path]) -> list[Input]:
    """Hash every file that these logs stand for. Raises: InputError where one cannot be read.

    Names are without folders: they leave with exports, and the digest tells which file it was.
    """
    return [Input(PurePath(one.shown).name, _sha256(one.path), one.size) for one in find(logs)]


def _sha256(path: Path) -> str:
    with refuse_os_errors(InputError, f"{path}: cannot be read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
