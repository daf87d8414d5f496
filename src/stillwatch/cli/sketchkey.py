"""Under which key a log's texts are sketched: a file's, or that of the gateway's folder. It is no verb."""

from collections.abc import Sequence
from pathlib import Path

from stillwatch.errors import InputError
from stillwatch.exchanges.sketch import DEFAULT_KEY
from stillwatch.exchanges.sketched import PURPOSE
from stillwatch.exchanges.sources import is_gateway
from stillwatch.gateway.folder import Folder, derive


def sketch_key(logs: Sequence[Path], key_file: Path | None) -> bytes:
    """Give the key: of the file, else of the gateway's folder among the logs, else the default.

    Raises: InputError for a file that holds none, and for folders of two gateways.
    """
    if key_file is not None:
        return _of_file(key_file)
    folders = [Folder(log) for log in logs if is_gateway(log)]
    keys = {derive(folder.secret(), PURPOSE) for folder in folders}
    if len(keys) > 1:
        raise InputError(
            f"{folders[0].path} and {folders[1].path} were sketched under two keys; take them one by one"
        )
    return keys.pop() if keys else DEFAULT_KEY


def _of_file(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"{path}: cannot read the sketch key: {error.strerror}") from error
    if len(key) < 16:
        raise InputError(f"{path}: a sketch key of {len(key)} bytes; give at least 16")
    return key
