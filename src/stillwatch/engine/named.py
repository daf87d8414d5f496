"""Engines by name: one file each in `engines/`, or in an installed package. Each is imported on demand.

A package offers its engine in the entry point group `stillwatch.engines`, as a module like those in
`engines/`.
"""

from importlib import import_module, metadata
from pkgutil import iter_modules

from stillwatch.engine import EngineError, SqlEngine, engines
from stillwatch.plugins import blamed_on

GROUP = "stillwatch.engines"
DEFAULT = "duckdb"
ENGINES = tuple(sorted(module.name for module in iter_modules(engines.__path__)))  # those included here


def open_engine(
    name: str = DEFAULT, threads: int | None = None, memory_limit: str | None = None
) -> SqlEngine:
    """Open the engine called `name`: NAME, or NAME:ADDRESS for one that runs elsewhere.

    Raises: EngineError if there is no such engine, what it needs is not installed, or it does not start.
    """
    kind, _, address = name.partition(":")
    settings = {"threads": threads, "memory_limit": memory_limit, "address": address}
    engine: SqlEngine
    if kind in ENGINES:
        try:
            module = import_module(f"{engines.__name__}.{kind}")
        except ModuleNotFoundError as error:
            if kind == DEFAULT:
                raise
            raise EngineError(f"{kind} needs {error.name}; pip install 'stillwatch[{kind}]'") from error
        engine = module.open_engine(**settings)
        return engine
    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if kind not in points:
        known = ", ".join(sorted({*ENGINES, *points}))
        raise EngineError(f"there is no engine {kind!r}; available: {known}")
    with blamed_on(f"entry point {kind} = {points[kind].value} of {GROUP}"):
        engine = points[kind].load().open_engine(**settings)
    return engine
