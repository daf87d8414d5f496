"""What installed packages add under entry points. It knows no group of them and nothing of what they do."""

from collections.abc import Iterable
from importlib import metadata
from typing import Any

from stillwatch.errors import InputError


def installed(group: str, needs: Iterable[str]) -> list[Any]:
    """Load what packages name under an entry point's group, in order of its names.

    Raises: InputError for one that cannot be loaded, or lacks one of the attributes that it needs.
    """
    found = []
    for point in sorted(metadata.entry_points(group=group), key=lambda point: point.name):
        where = f"entry point {point.name} = {point.value} of {group}"
        try:
            module = point.load()
        except Exception as why:  # somebody else's module: whatever it raises is said with its place
            raise InputError(f"{where}: cannot be loaded: {type(why).__name__}: {why}") from why
        if lacks := [name for name in needs if not hasattr(module, name)]:
            raise InputError(f"{where}: has no {' and no '.join(lacks)}")
        found.append(module)
    return found
