"""The known formats: modules with a `FORMAT`, in `formats/` or in installed packages.

A package lists its own in the entry point group `stillwatch.formats`.
"""

import importlib
import pkgutil
from functools import cache

from stillwatch.exchanges import formats
from stillwatch.exchanges.formats import Format, Json
from stillwatch.plugins import installed


@cache
def all_formats() -> tuple[Format, ...]:
    """Return the formats, the more specific first."""
    found = []
    for module in pkgutil.iter_modules(formats.__path__):
        if not module.name.endswith("_protobuf"):  # loaded only when such bytes occur
            found.append(importlib.import_module(f"{formats.__name__}.{module.name}").FORMAT)
    found += [module.FORMAT for module in installed("stillwatch.formats", {"FORMAT": Format})]
    return tuple(sorted(found, key=lambda f: (f.order, f.name)))


def may_be_body(file: str) -> bool:
    """Return whether a file may hold the body of a record in another one."""
    return any(f.bodies is not None and f.bodies.search(file) for f in all_formats())


def recognise(obj: Json) -> Format | None:
    """Return the first format that recognises this object."""
    return next((f for f in all_formats() if f.sniff(obj)), None)
