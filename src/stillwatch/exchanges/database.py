"""A table of a PostgreSQL database as JSON lines, read-only: LiteLLM's own, or a named one.

A row becomes one object, keyed by column name.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from stillwatch.errors import InputError

SCHEMES = ("postgresql", "postgres")
LITELLM = "LiteLLM_SpendLogs"  # LiteLLM's request table (litellm/proxy/schema.prisma)
RIGHT = "postgresql://USER@HOST/DATABASE#TABLE"
FETCHED = 2_000  # rows at a time: each may hold a whole conversation
LISTED = 20


def is_database(path: object) -> bool:
    """Return whether a path is the address of a database."""
    return isinstance(path, str) and path.partition("://")[0] in SCHEMES and "://" in path


def public_url(url: str) -> str:
    """Return the address without its password, for messages and stored records.

    >>> public_url("postgresql://me:secret@db.example/litellm?sslmode=require")
    'postgresql://me@db.example/litellm'
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as why:
        raise InputError(f"the database's address cannot be used: {why}; right would be {RIGHT}") from None
    user = f"{parts.username}@" if parts.username else ""
    place = f"{parts.hostname or ''}{port}"
    return urlunsplit((parts.scheme, f"{user}{place}", parts.path, "", parts.fragment))


def export_table(url: str, folder: Path) -> Path:
    """Write the table named after `#` in the address, else LiteLLM's, to a file in the folder.

    Raises: InputError if the database, the driver or the table is missing.
    """
    shown = public_url(url)
    psycopg = _driver()
    address, _, fragment = url.partition("#")
    wanted = unquote(fragment)
    try:
        with psycopg.connect(address, connect_timeout=30, application_name="stillwatch") as db:
            db.read_only = True
            schema, table = _find_table(db, wanted or LITELLM, shown, named=bool(wanted))
            target = folder / f"{table.replace('/', '_')}.jsonl"
            query = psycopg.sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(
                psycopg.sql.Identifier(schema, table)
            )
            with db.cursor("stillwatch") as cursor, target.open("x", encoding="utf-8") as out:
                cursor.itersize = FETCHED
                cursor.execute(query)
                for (line,) in cursor:
                    # line ends inside JSON are escaped; these are blanks
                    out.write(line.replace("\n", " ") + "\n")
    except psycopg.Error as why:
        message = " ".join(str(why).split()).replace(address, shown)  # a driver may repeat the whole address
        raise InputError(f"{shown}: cannot be read: {message[:300]}") from None
    except OSError as why:
        raise InputError(f"{shown}: cannot be stored in {folder}: {why.strerror or why}") from None
    return target


def _driver() -> ModuleType:
    try:
        driver = importlib.import_module("psycopg")
        importlib.import_module("psycopg.sql")
    except ImportError as why:
        raise InputError(f"PostgreSQL needs psycopg: pip install 'stillwatch[postgres]' ({why})") from None
    return driver


def _find_table(db: Any, wanted: str, shown: str, *, named: bool) -> tuple[str, str]:
    """Return the schema and name of a table, given as NAME or SCHEMA.NAME."""
    rows = db.execute(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
    ).fetchall()
    matches = [(schema, name) for schema, name in rows if wanted in (name, f"{schema}.{name}")]
    if len(matches) == 1:
        return matches[0]
    listed = ", ".join(f"{schema}.{name}" for schema, name in rows[:LISTED]) or "none"
    if matches:
        raise InputError(f"{shown}: {wanted} is in several schemas; name one, as in #{'.'.join(matches[0])}")
    why = f"has no table {wanted}" if named else f"has no {LITELLM}; name the table, as in {shown}#requests"
    raise InputError(f"{shown}: {why}. Its tables: {listed}")
