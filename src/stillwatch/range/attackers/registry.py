"""Attackers by name. They are found by their place in this room; it does not know what any of them does.

A module with `MEANS` and no `begin` never changes them. A name may go on with settings, such as
`chorus:accounts=60:mask=0`: the module has a frozen dataclass `Settings`, and its `begin` takes one last.
"""

import importlib
import pkgutil
import types
import typing
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

import stillwatch.range.attackers as room
from stillwatch.errors import InputError
from stillwatch.range.attackers import Attacker, AttackSession, Brief
from stillwatch.range.attackers.repeated import Fixed
from stillwatch.range.market import Market


@dataclass
class WithSettings:
    """An attacker of a module under settings of one's own."""

    NAME: str
    module: Any
    settings: Any

    def begin(self, brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
        """Begin a campaign."""
        play: AttackSession = self.module.begin(brief, market, rng, self.settings)
        return play


def _load_attackers() -> dict[str, Attacker]:
    found: dict[str, Attacker] = {}
    for info in pkgutil.iter_modules(room.__path__):
        module = importlib.import_module(f"{room.__name__}.{info.name}")
        if hasattr(module, "begin"):
            found[module.NAME] = cast(Attacker, module)
        elif hasattr(module, "MEANS"):
            found[module.NAME] = cast(Attacker, Fixed(module.MEANS, module.NAME))
    return found


def names() -> list[str]:
    """All that there are, in order."""
    return sorted(_load_attackers())


def attacker(name: str) -> Attacker:
    """The attacker of a name, with the settings that follow it.

    Raises: InputError for a name that is none, or a setting that will not do.
    """
    found = _load_attackers()
    base, *written = name.split(":")
    if base not in found:
        raise InputError(f"attacker {name!r} is unknown; known are {', '.join(sorted(found))}")
    if not written:
        return found[base]
    known = getattr(found[base], "Settings", None)
    if known is None:
        raise InputError(f"attacker {name!r}: {base} takes no settings")
    types_of = typing.get_type_hints(known)
    values: dict[str, Any] = {}
    for part in written:
        key, _, text = part.partition("=")
        if key not in types_of:
            raise InputError(
                f"attacker {name!r}: {key!r} is no setting of it; known are {', '.join(types_of)}"
            )
        values[key] = _value(name, key, text, types_of[key])
    try:
        return WithSettings(name, found[base], known(**values))
    except InputError as error:
        raise InputError(f"attacker {name!r}: {error}") from error


def _value(name: str, key: str, text: str, kind: Any) -> Any:
    """Read a setting in the type that it has."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    chosen = next(option for option in options if option is not type(None))
    try:
        return chosen(text)
    except ValueError as error:
        raise InputError(f"attacker {name!r}: {key} = {text!r} is no {chosen.__name__}") from error
