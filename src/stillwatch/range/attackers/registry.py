"""Attackers by name. They are found by their place in this room; it does not know what any of them does."""

import importlib
import pkgutil
from typing import cast

import stillwatch.range.attackers as room
from stillwatch.errors import InputError
from stillwatch.range.attackers import Attacker


def _found() -> dict[str, Attacker]:
    found: dict[str, Attacker] = {}
    for info in pkgutil.iter_modules(room.__path__):
        module = importlib.import_module(f"{room.__name__}.{info.name}")
        if hasattr(module, "NAME") and hasattr(module, "begin"):
            found[module.NAME] = cast(Attacker, module)
    return found


def names() -> list[str]:
    """All that there are, in order."""
    return sorted(_found())


def attacker(name: str) -> Attacker:
    """The attacker of a name.

    Raises: InputError for a name that is none.
    """
    found = _found()
    if name not in found:
        raise InputError(f"attacker {name!r} is unknown; known are {', '.join(sorted(found))}")
    return found[name]
