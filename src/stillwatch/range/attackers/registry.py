"""Attackers by name. They are found in this folder.

A module with `MEANS` and without `begin` uses these means throughout. A name may be followed by settings,
such as `chorus:accounts=60:mask=0`: the module then has a frozen dataclass `Settings`, and its `begin` takes
one as last argument. Every attacker takes `queue`: where refused work goes (`attackers.QUEUES`).
"""

import types
import typing
from dataclasses import dataclass
from typing import Any

import numpy as np

from stillwatch.errors import InputError
from stillwatch.plugins import modules_of
from stillwatch.range.attackers import QUEUES, Attacker, AttackSession, Brief
from stillwatch.range.attackers.play import Crews
from stillwatch.range.attackers.repeated import FixedMeans
from stillwatch.range.market import Market

QUEUE = "queue="


@dataclass
class ModuleAttacker:
    """The attacker of a module, with settings if it takes some."""

    NAME: str
    module: types.ModuleType
    settings: Any = None
    queue: str = QUEUES[0]

    def begin(self, brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
        """Begin a campaign."""
        crews = Crews(brief, market, rng, self.queue)
        play: AttackSession = self.module.begin(*filter(None, (crews, self.settings)))
        return play


def _modules() -> dict[str, types.ModuleType]:
    every = modules_of("stillwatch.range.attackers")
    return {module.NAME: module for module in every if hasattr(module, "NAME")}


def names() -> list[str]:
    """Return all names, sorted."""
    return sorted(_modules())


def about(name: str) -> str:
    """Return the docstring of an attacker's module."""
    return _modules()[name].__doc__ or ""


def attacker(name: str) -> Attacker:
    """Return the attacker of a name, with the settings that follow it.

    Raises: InputError for an unknown name, or an invalid setting.
    """
    modules = _modules()
    base, *arguments = name.split(":")
    written = [part for part in arguments if not part.startswith(QUEUE)]
    queue = next((part.removeprefix(QUEUE) for part in arguments if part.startswith(QUEUE)), QUEUES[0])
    if queue not in QUEUES or len(arguments) > len(written) + 1:
        raise InputError(f"attacker {name!r}: give one queue of {', '.join(QUEUES)}")
    if base not in modules:
        raise InputError(f"attacker {name!r} is unknown; known are {', '.join(sorted(modules))}")
    module = modules[base]
    known = getattr(module, "Settings", None)
    if written and known is None:
        raise InputError(f"attacker {name!r}: {base} takes no settings but `queue`")
    if not hasattr(module, "begin"):
        return FixedMeans(module.MEANS, name, queue)
    if known is None:
        return ModuleAttacker(name, module, queue=queue)
    types_of = typing.get_type_hints(known)
    values: dict[str, Any] = {}
    for part in written:
        key, _, text = part.partition("=")
        if key not in types_of:
            raise InputError(
                f"attacker {name!r}: {key!r} is no setting of it; known are {', '.join((*types_of, 'queue'))}"
            )
        values[key] = _value(name, key, text, types_of[key])
    try:
        return ModuleAttacker(name, module, known(**values), queue)
    except InputError as error:
        raise InputError(f"attacker {name!r}: {error}") from error


def _value(name: str, key: str, text: str, kind: Any) -> Any:
    """Parse a setting according to its type."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    chosen = next(option for option in options if option is not type(None))
    try:
        return chosen(text)
    except ValueError as error:
        raise InputError(f"attacker {name!r}: {key} = {text!r} is no {chosen.__name__}") from error
