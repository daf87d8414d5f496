"""Mutants of a verdict's bundle, by a seed: bytes, JSON values, keys, paths, and the zip around them.

The tests sign again what a sender with the key can change, but not what anybody can change.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, 0.5, 1e-300, 1e308, 10**18, 2**64, 10**400, float("nan"), float("inf"),
    "", "0", "x", "\ud800", "2020-01-01", "ab" * 32, "é" * 8, [], {}, [[]], [None], {"": None}, [0] * 1000,
)  # fmt: skip
_RAW = (b"1e400", b"NaN", b"-Infinity", b"9" * 5000, b"[" * 100_000, b'{"a":' * 50_000, b'"\\ud800"', b"-0")
_HOLE = "a value that is put in as bytes"


def places(told: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all values of a document; of a long list those of its first and last members."""
    yield at
    if isinstance(told, dict):
        for name in told:
            yield from places(told[name], (*at, name))
    elif isinstance(told, list):
        for k in sorted({0, 1, len(told) - 1} & set(range(len(told)))):
            yield from places(told[k], (*at, k))


def mutant_of_json(data: bytes, draw: random.Random) -> bytes:
    """Replace, remove, double or move one value of a document, or write it so that no document is left."""
    told = json.loads(data)
    way = draw.choice([one for one in places(told) if one])
    held = told
    for step in way[:-1]:
        held = held[step]
    last = way[-1]
    kind = draw.choice(("odd", "odd", "odd", "odd", "near", "near", "lose", "more", "raw", "swap", "twice"))
    if kind == "odd":
        held[last] = draw.choice(ODD)
    elif kind == "near":
        held[last] = _near(held[last], draw)
    elif kind == "lose":
        del held[last]
    elif kind == "more":
        if isinstance(held, dict):
            held[draw.choice(("", "note", "verdict", "outcome"))] = draw.choice(ODD)
        else:
            held.append(held[last])
    elif kind == "raw":
        held[last] = _HOLE
    elif kind == "swap":
        other = draw.choice([*(held if isinstance(held, dict) else range(len(held)))])
        held[last], held[other] = held[other], held[last]
    text = json.dumps(told).encode()
    if kind == "raw":
        return text.replace(json.dumps(_HOLE).encode(), draw.choice(_RAW))
    if kind == "twice" and isinstance(held, dict):  # a duplicate name: parsers differ in the value
        name = json.dumps(last).encode() + b": "
        return text.replace(name, name + json.dumps(draw.choice(ODD)).encode() + b", " + name, 1)
    return text


def _near(value: Any, draw: random.Random) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice((value + 1, value - 1, -value, value * 10**6, float(value), str(value)))
    if isinstance(value, float):
        return draw.choice((value * 1.01, value / 10, -value, 1 - value, 0.0))
    if isinstance(value, str):
        return draw.choice((value + " ", value[:-1], value.upper(), value[::-1], value + "\u202e", [value]))
    if isinstance(value, list):
        return draw.choice((value[::-1], value[1:], value * 2, [value]))
    return draw.choice(([value], None, [*value.items()] if value else 0))


def mutant_of_bytes(data: bytes, draw: random.Random) -> bytes:
    """Flip, cut off, double, insert or remove some bytes."""
    at = draw.randrange(len(data) + 1)
    more = bytes(draw.randrange(256) for _ in range(draw.choice((1, 1, 4, 40))))
    return draw.choice((
        data[:at] + more + data[at + len(more):], data[:at], data[:at] + more + data[at:], data[at:],
        data[:at] + data[at + len(more):], data + data, b"", more, data[:at] + data[at:][::-1],
    ))  # fmt: skip


def mutant_of_zip(data: bytes, draw: random.Random) -> bytes:
    """Change a zip, more often than not in the directory at its end."""
    if draw.random() < 0.3:
        return mutant_of_bytes(data, draw)
    at = len(data) - draw.randrange(1, min(len(data), 1600))
    return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
