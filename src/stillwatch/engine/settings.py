"""Checks of engine settings, before any engine receives them."""

import re

from stillwatch.engine import EngineError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s?([KMGT])(i?)B", re.IGNORECASE)


def table_name(name: str) -> str:
    """Return `name` if it can stand in SQL unquoted. Raises: EngineError."""
    if not NAME.fullmatch(name):
        raise EngineError(f"{name!r} is not a table name; use letters, digits and _ only")
    return name


def no_address(engine: str, address: str) -> None:
    """Refuse an address for an engine that takes none. Raises: EngineError."""
    if address:
        raise EngineError(f"{engine} runs in this process and takes no address; write {engine} alone")


def thread_count(threads: int) -> int:
    """Return `threads` if it is one or more. Raises: EngineError."""
    if threads < 1:
        raise EngineError(f"threads is {threads}; give at least 1")
    return threads


def size_bytes(size: str) -> int:
    """Read a size such as "3GB" or "512MiB". Raises: EngineError.

    >>> size_bytes("3GB"), size_bytes("512MiB")
    (3000000000, 536870912)
    """
    match = SIZE.fullmatch(size)
    if match is None:
        raise EngineError(f"memory_limit is {size!r}; give a size such as '3GB' or '512MiB'")
    number, letter, binary = match.groups()
    power = "KMGT".index(letter.upper()) + 1
    return int(float(number) * (1024 if binary else 1000) ** power)
