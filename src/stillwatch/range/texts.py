"""Files of texts in data/: lists come as tuples. It does not know what they say."""

import tomllib
from importlib import resources
from typing import Any


def read_texts(name: str) -> dict[str, Any]:
    """Read one file."""
    told = tomllib.loads(resources.files("stillwatch.range").joinpath("data", name).read_text("utf-8"))
    return {key: _frozen(value) for key, value in told.items()}


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(one) for key, one in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
