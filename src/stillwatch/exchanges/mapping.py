"""The owner's names for the record's fields, such as `account=tenant_name`, for columns no reader can know.

Only `rename` applies a mapping to an object; `lookup` finds a dotted path in it. Nothing is guessed:
`suggest` proposes names for a person to confirm.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from stillwatch.errors import InputError
from stillwatch.exchanges import NEEDED, RECORD
from stillwatch.exchanges.formats import Json, Row, own
from stillwatch.exchanges.messages import from_text, whole
from stillwatch.exchanges.python_text import body_of
from stillwatch.toml import document
from stillwatch.toml.reading import show_value

Columns = Mapping[str, str]  # field of the record, or a body -> the log's column, or a dotted path in it

BODIES = ("messages", "request", "response")  # a conversation, or whole bodies, as JSON or as JSON text
ALSO = {"at": "time", "when": "time"}  # in addition to the readers' own aliases
SHOWN = 20  # columns named in a message
STEPS = 16  # of a dotted path
LARGEST_BYTES = 1 << 20  # of a file with a mapping


def field_of(written: str) -> str:
    """Return the field that a person means. Raises: InputError with the nearest names."""
    name = written.strip()
    field = name if name in BODIES else own.column_of(name) or ALSO.get(name)
    if field is None:
        known = (*RECORD.names, *BODIES)
        near = difflib.get_close_matches(name, known, 3)
        raise InputError(
            f"{name!r} is no field of the record"
            + (f"; near: {', '.join(near)}" if near else "")
            + f". Fields: {', '.join(known)}"
        )
    return field


def from_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Parse `FIELD=COLUMN` texts. Raises: InputError if one is invalid or a field occurs twice.

    >>> from_pairs(["account=tenant_name", "at=when_utc"])
    {'account': 'tenant_name', 'time': 'when_utc'}
    """
    columns: dict[str, str] = {}
    for pair in pairs:
        written, equals, column = pair.partition("=")
        if not equals or not written.strip() or not column.strip():
            raise InputError(f"--map {pair!r}: right would be FIELD=COLUMN, as in account=tenant_name")
        _add_field(columns, field_of(written), column.strip(), "--map")
    return columns


def from_names(columns: Mapping[str, object] | None) -> dict[str, str]:
    """Check a mapping. Raises: InputError for an unknown field, or for a column that is not a name."""
    fields: dict[str, str] = {}
    for written, column in (columns or {}).items():
        if not isinstance(column, str) or not column.strip():
            raise InputError(f"columns: {written!r} is {column!r}; right would be a column's name in the log")
        try:
            field = field_of(str(written))
        except InputError as why:
            raise InputError(f"columns: {why}") from None
        _add_field(fields, field, column, "columns")
    return fields


def from_file(path: Path) -> dict[str, str]:
    """Read the table [columns] of a TOML file. Raises: InputError with the file and what is wrong."""
    parsed = document.parse(document.read_text(path, LARGEST_BYTES, "a mapping is a page"), str(path))
    table, columns = parsed.content, parsed.content.get("columns")
    if not isinstance(columns, dict) or not columns or set(table) != {"columns"}:
        other = sorted(set(table) - {"columns"})
        has = f"; it has {', '.join(other)}" if other else ""
        raise InputError(
            f'{path}: right would be one table [columns] with lines such as account = "tenant_name"{has}'
        )
    fields: dict[str, str] = {}
    for written, column in columns.items():
        place = f"{path}:{parsed.notes.line(('columns', written))}"
        if not isinstance(column, str) or not column.strip():
            raise InputError(
                f"{place}: {written} = {show_value(column)}; right would be a column's name in quotes"
            )
        try:
            field = field_of(written)
        except InputError as why:
            raise InputError(f"{place}: {why}") from None
        _add_field(fields, field, column, place)
    return fields


def _add_field(fields: dict[str, str], field: str, column: str, place: str) -> None:
    if field in fields:
        raise InputError(f"{place}: {field} is mapped twice, to {fields[field]!r} and {column!r}; name one")
    for other, used in fields.items():
        if used == column:
            raise InputError(f"{place}: {column!r} is named for '{other}' and for '{field}'; leave one out")
    fields[field] = column


def to_toml(columns: Columns) -> str:
    """Return the mapping as a file that `from_file` reads."""
    lines = (f"{field} = {document.quote(column)}" for field, column in columns.items())
    return "\n".join(
        ("# field of the record = column of the log (or a dotted path)", "[columns]", *lines, "")
    )


def to_options(columns: Columns) -> str:
    """Return the mapping as options for the command line."""
    return " ".join(f"--map {_shell(f'{field}={column}')}" for field, column in columns.items())


def _shell(text: str) -> str:
    return text if re.fullmatch(r"[\w=.@:/-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def lookup(value: object, path: str) -> object:
    """Return the value at a column's name or dotted path, or None. JSON text on the way is decoded.

    A name with dots takes precedence over a path: `gen_ai.user` is one attribute if there is one.

    >>> lookup({"a": {"b.c": [{"d": 7}]}}, "a.b.c.0.d"), lookup({"a": '{"b": 1}'}, "a.b"), lookup({}, "a")
    (7, 1, None)
    >>> lookup({"tags": ["env:prod", "team:red"]}, "tags.team")
    'red'
    """
    return _value_at(value, path.split(".", STEPS), 0)


def _value_at(value: object, steps: list[str], at: int) -> object:
    if at == len(steps):
        return value
    value = from_text(value)
    if isinstance(value, list):
        place = whole(steps[at])
        if place is None:
            return _value_at(_find_tag(value, steps[at]), steps, at + 1)
        return _value_at(value[place], steps, at + 1) if -len(value) <= place < len(value) else None
    if not isinstance(value, Mapping):
        return None
    for end in range(len(steps), at, -1):  # the longest name first
        name = ".".join(steps[at:end])
        if name in value:
            result = _value_at(value[name], steps, end)
            if result is not None:
                return result
    return None


def _find_tag(elements: list[object], name: str) -> object:
    """Return a tag's value from a list such as `["name:x"]` or `[{"key": "name", "value": "x"}]`."""
    for element in elements:
        if isinstance(element, str) and element.startswith(f"{name}:"):
            return element.partition(":")[2]
        if isinstance(element, Mapping) and name in (element.get("key"), element.get("name")):
            return element.get("value")
    return None


def find_fields(value: object, columns: Columns) -> dict[str, object]:
    """Return the fields that the mapping finds in an object."""
    values = ((field, lookup(value, path)) for field, path in columns.items())
    return {
        field: body_of(from_text(inner)) if field in BODIES else inner
        for field, inner in values
        if inner is not None
    }


def row_of(found: Json) -> Row:
    """Return found fields as values for a row of a known format, which has no whole bodies."""
    return own.plain({name: value for name, value in found.items() if name not in BODIES})


def rename(value: Json, columns: Columns, found: Json | None = None) -> dict[str, object]:
    """Return the object under the record's names: mapped fields first, then all that no mapping touches.

    A mapped field replaces columns that are aliases of the same field. `found`: the result of `find_fields`,
    if it is known already.

    >>> rename({"who": "a-1", "customer": "c-9", "model": "m"}, {"account": "who"})
    {'account': 'a-1', 'model': 'm'}
    """
    taken = set(columns.values())
    rest = {
        name: inner
        for name, inner in value.items()
        if name not in taken and name not in columns and own.column_of(name) not in columns
    }
    return {**dict.fromkeys(columns), **(find_fields(value, columns) if found is None else found), **rest}


def absent(columns: Columns, names: Collection[str]) -> str | None:
    """Return what is wrong with a mapping for a table of these columns, as a sentence, or None."""
    for field, path in columns.items():
        if path not in names and path.split(".", 1)[0] not in names:
            meant = _similar_name(path, names)
            has = list_columns(names)
            return f"has no column {path!r}, which is named for '{field}'{meant}; its columns: {has}"
    return None


def explain_unfound(fields: Collection[str], columns: Columns, names: Collection[str]) -> str:
    """Return the message for fields whose column was in no record; `names`: those of one record."""
    named = ", ".join(f"{field}={columns[field]}{_similar_name(columns[field], names)}" for field in fields)
    return f"no record of the log has what is named: {named}; columns of one record: {list_columns(names)}"


def _similar_name(path: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(path, names, 1, 0.5)
    folded = [name for name in names if own.fold_name(name) == own.fold_name(path)]
    return f" (did you mean {(folded or near)[0]!r}?)" if folded or near else ""


def list_columns(names: Collection[str]) -> str:
    """Return columns as text for a message."""
    listed = ", ".join(repr(name[:40]) for name in list(names)[:SHOWN])
    return f"{listed}, and {len(names) - SHOWN:,} more" if len(names) > SHOWN else listed or "none"


WORDS = {  # part of a column's name -> its likely field; the first that fits, in this order
    "prompt": ("prompt", "message", "question", "query", "input", "text", "content", "utterance",
               "instruction"),
    "time": ("time", "timestamp", "when", "date", "datetime", "ts", "at", "created", "started", "received",
             "start"),
    "account": ("account", "tenant", "customer", "org", "organisation", "organization", "subscription",
                "client", "team", "workspace", "company", "payer", "billing", "key"),
}  # fmt: skip
AGAINST = {  # a name with one of these is not such a column
    "prompt": ("id", "type", "count", "tokens", "hash", "len", "length", "role", "system", "output",
               "response"),
    "time": ("latency", "duration", "end", "ended", "completed", "updated", "zone", "timeout",
             "elapsed", "spent"),
    "account": ("ip", "agent", "type", "status", "tier", "plan"),
}  # fmt: skip


def paths_of(value: Json, depth: int = 4, limit: int = 200) -> dict[str, object]:
    """Return an object's columns by dotted path, with their values; lists and JSON texts are not opened.

    >>> paths_of({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    paths: dict[str, object] = {}
    for name, inner in value.items():
        if isinstance(inner, dict) and inner and depth:
            below = paths_of(inner, depth - 1, limit)
            paths |= {f"{name}.{path}": deep for path, deep in below.items()}
        else:
            paths[str(name)] = inner
        if len(paths) >= limit:
            break
    return paths


def suggest(names: Collection[str]) -> dict[str, str]:
    """Suggest columns for needed fields by the sound of their names: to try, never to apply.

    >>> suggest(["when_utc", "tenant_name", "user_message_text"])
    {'time': 'when_utc', 'account': 'tenant_name', 'prompt': 'user_message_text'}
    """
    known = own.columns_of(list(names))
    proposal: dict[str, str] = {}
    for field in NEEDED:
        if field in known:
            continue
        best = max(
            (name for name in names if name not in proposal.values() and own.column_of(name) is None),
            key=lambda name: _fit(name, field),
            default=None,
        )
        if best is not None and _fit(best, field) > 0:
            proposal[field] = best
    return proposal


def _fit(name: str, field: str) -> int:
    parts = [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
    if any(part in AGAINST[field] for part in parts):
        return 0
    return sum(len(WORDS[field]) - WORDS[field].index(part) for part in parts if part in WORDS[field])


def are_names(names: Collection[str]) -> bool:
    """Return whether these read like column names, rather than a line of text split at its commas."""
    return len(names) > 1 and not any(len(name) > 64 or re.search(r"[{}\"=]", name) for name in names)


_WHOLE = r"[._ ]?(?:body|content|payload|json|raw)"
_BODY_NAMES = {
    "request": re.compile(r"(?:.*[._ ])?(?:request|req|llm_input)" + _WHOLE),
    "response": re.compile(r"(?:.*[._ ])?(?:response|resp|res|llm_output)" + _WHOLE),
}


def hint(names: Collection[str]) -> str:
    """Return what to type for a table or object of these columns, for use in a refusal."""
    return _hint(tuple(names))


@lru_cache(maxsize=256)  # a log may ask this for each of a million such lines
def _hint(names: tuple[str, ...]) -> str:
    guess = suggest(names)
    proposal = {
        field: guess.get(field, "COLUMN") for field in NEEDED if field not in own.columns_of(list(names))
    }
    bodies = {
        half: name for half, words in _BODY_NAMES.items() for name in names if words.fullmatch(name.lower())
    }
    if "request" in bodies and "prompt" in proposal:  # whole bodies contain more than a column of texts
        del proposal["prompt"]
        proposal |= bodies
    return f"its columns: {list_columns(names)}. Name them, as in: {to_options(proposal)}"
