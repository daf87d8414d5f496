"""Read a TOML table into a dataclass: the fields are the keys; their types and bounds limit the values."""

import math
import sys
import types
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

from stillwatch.errors import StillwatchError
from stillwatch.toml.places import Path
from stillwatch.toml.reading import KINDS, Mistakes, TableReader, kind_of, show_value

Section = TypeVar("Section")
EXAMPLES = {tuple: 'an array, as in ["a", "b"]', dict: "a table", **KINDS}


@dataclass(frozen=True)
class Bounds:
    """The range of a number: `Annotated[int, Bounds(1, 10)]`."""

    low: float
    high: float = math.inf
    above: bool = False  # the value must exceed `low`

    def __contains__(self, value: float) -> bool:
        inside = self.low < value if self.above else self.low <= value
        return inside and value <= self.high and value < math.inf  # also for numbers no float can hold

    def __str__(self) -> str:
        if self.above:
            return f"more than {self.low:,}" + (f", up to {self.high:,}" if self.high < math.inf else "")
        return f"{self.low:,} or more" if self.high == math.inf else f"{self.low:,} to {self.high:,}"


@dataclass(frozen=True)
class OneOf:
    """The valid values of a text: `Annotated[str, OneOf("a", "b")]`."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    def __contains__(self, value: str) -> bool:
        return value in self.words

    def __str__(self) -> str:
        return " or ".join(f'"{word}"' for word in self.words)


def build(kind: type[Section], table: TableReader) -> Section | None:
    """Return a table as a dataclass, or None if something in it is wrong; mistakes are noted by line."""
    before = len(table.notes.problems)
    hints = typing.get_type_hints(kind, include_extras=True)
    values: dict[str, Any] = {}
    for one in fields(kind):  # type: ignore[arg-type]
        table.asked.append(one.name)
        if one.name in table.content:
            path = (*table.path, one.name)
            values[one.name] = _convert(hints[one.name], table.content[one.name], path, table.notes)
        elif one.default is MISSING and one.default_factory is MISSING:
            table.wrong("", f"`{one.name}` is missing")
    table.check_unknown_keys()
    if len(table.notes.problems) > before:
        return None
    try:
        return kind(**values)
    except StillwatchError as why:  # raised by a section that checks itself
        table.wrong("", str(why))
        return None


def out_of_bounds(one: object) -> list[str]:
    """Return what is out of bounds in an object made by code, as "batch is 0; give 1 or more"."""
    wrong = []
    for name, hint in typing.get_type_hints(type(one), include_extras=True).items():
        allowed, value = _allowed_values(hint), getattr(one, name)
        if allowed is not None and value is not None and value not in allowed:
            wrong.append(f"{name} is {show_value(value)}; give {allowed}")
    return wrong


def _allowed_values(hint: Any) -> Bounds | OneOf | None:
    """Return the constraint on a value beyond its type."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next((found for one in parts if (found := _allowed_values(one)) is not None), None)
    if typing.get_origin(hint) is typing.Literal:
        return OneOf(*parts)
    return parts[1] if typing.get_origin(hint) is typing.Annotated else None


def _convert(hint: Any, value: Any, path: Path, notes: Mistakes) -> Any:
    """Return a TOML value in the type of its field."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        found = _convert(parts[0], value, path, notes)
        if found is not None and found not in parts[1]:
            notes.wrong(path, f"is {show_value(value)}; give {parts[1]}")
        return found
    if origin is typing.Literal:
        return _convert(typing.Annotated[str, OneOf(*parts)], value, path, notes)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(one for one in parts if one is not type(None)), value, path, notes)
    if hint is Any:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(parts[0], one, (*path, n), notes) for n, one in enumerate(value))
    if isinstance(value, dict) and is_dataclass(hint):
        return build(typing.cast(type, hint), TableReader(value, path, notes))
    if isinstance(value, dict) and origin is dict:
        return {name: _convert(parts[1], one, (*path, name), notes) for name, one in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        if value in [one.value for one in hint]:
            return hint(value)
        notes.wrong(path, f"is {show_value(value)}; give {OneOf(*(str(one.value) for one in hint))}")
    elif hint is float and type(value) in (int, float):
        if abs(value) <= sys.float_info.max:
            return float(value)
        notes.wrong(path, f"{show_value(value)} is not finite; give a finite number")
    elif type(value) is hint and not (hint is str and any("\ud800" <= c <= "\udfff" for c in value)):
        return value
    else:
        right = "a table" if is_dataclass(hint) else EXAMPLES.get(origin or hint, str(hint))
        kind = "text that is not valid UTF-8" if hint is str and type(value) is str else kind_of(value)
        notes.wrong(path, f"{show_value(value)} is {kind}; give {right}")
    return None
