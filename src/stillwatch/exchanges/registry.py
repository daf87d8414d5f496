"""Which formats there are: modules with a `FORMAT`, in `formats/` or in packages that name them.

An installed package names its own under the entry points `stillwatch.formats`. It does not know any by name.
"""

import importlib
import pkgutil
from functools import cache

from stillwatch.exchanges import formats
from stillwatch.exchanges.formats import Format, Json
from stillwatch.plugins import installed


@cache
def all_formats() -> tuple[Format, ...]:
    """The formats, the more particular first."""
    found = []
    for module in pkgutil.iter_modules(formats.__path__):
        if not module.name.endswith("_protobuf"):  # loaded only when such bytes are seen
            found.append(importlib.import_module(f"{formats.__name__}.{module.name}").FORMAT)
    found += [module.FORMAT for module in installed("stillwatch.formats", {"FORMAT": Format})]
    return tuple(sorted(found, key=lambda f: (f.order, f.name)))


def may_be_body(file: str) -> bool:
    """Whether a file may hold the body of a record in another one."""
    return any(f.bodies is not None and f.bodies.search(file) for f in all_formats())


def recognise(obj: Json) -> Format | None:
    """The first format that says this object is one of its own."""
    return next((f for f in all_formats() if f.sniff(obj)), None)
