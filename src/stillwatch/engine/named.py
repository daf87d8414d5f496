"""Engines by name. It knows where each one lives, and imports only the one that is asked for."""

from importlib import import_module

from stillwatch.engine import EngineError, SqlEngine

ENGINES = {
    "duckdb": ("stillwatch.engine.duck", "DuckDBEngine", None),
    "clickhouse": ("stillwatch.engine.clickhouse", "ChdbEngine", "clickhouse"),
}


def open_engine(
    name: str = "duckdb", threads: int | None = None, memory_limit: str | None = None
) -> SqlEngine:
    """Open the engine called `name`.

    Raises: EngineError if there is no such engine, or if what it needs is not installed.
    """
    if name not in ENGINES:
        raise EngineError(f"there is no engine {name!r}; there are: {', '.join(ENGINES)}")
    module, factory, extra = ENGINES[name]
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if extra is None:
            raise
        raise EngineError(f"{name} needs {error.name}; pip install 'stillwatch[{extra}]'") from error
    engine: SqlEngine = getattr(found, factory)(threads=threads, memory_limit=memory_limit)
    return engine
