"""Reads files of texts beside the code that uses them; lists become tuples.

They are outside of data/, so that a run's manifest hashes them with the code.
"""

import tomllib
from importlib import resources
from typing import Any


def read_texts(name: str) -> dict[str, Any]:
    """Read one file."""
    document = tomllib.loads(resources.files("stillwatch.range").joinpath(name).read_text("utf-8"))
    return {key: _frozen(value) for key, value in document.items()}


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
