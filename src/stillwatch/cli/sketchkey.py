"""Under which key a log's texts are sketched: a file's, or that of the gateway's folder. It is no verb."""

from collections.abc import Sequence
from pathlib import Path

from stillwatch.api.exchanges import key_of
from stillwatch.errors import InputError, refuse_os_errors


def sketch_key(logs: Sequence[Path], key_file: Path | None) -> bytes:
    """Give the key: of the file, else of the gateway's folder among the logs, else the default.

    Raises: InputError for a file that holds none, and for folders of two gateways.
    """
    return key_of(list(logs), None if key_file is None else key_in(key_file))


def key_in(path: Path) -> bytes:
    """Give the key that a file holds.

    Raises: InputError where it cannot be read, or is too short.
    """
    with refuse_os_errors(InputError, f"{path}: cannot read the sketch key"):
        key = path.read_bytes().strip()
    if len(key) < 16:
        raise InputError(f"{path}: a sketch key of {len(key)} bytes; give at least 16")
    return key
