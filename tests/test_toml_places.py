"""Lines of keys: the scanner finds every path that `tomllib` finds, on the line where it was written."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.toml.places import Path, places


def paths(value: Any, at: Path = ()) -> set[Path]:
    """Yield every path in what `tomllib` read."""
    found = {at} if at else set()
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return found
    for key, below in items:
        found |= paths(below, (*at, key))
    return found


def test_every_way_to_write_a_key_has_its_line() -> None:
    text = "\n".join(
        [
            "# a = 1",  # 1
            "a.'b c'.\"d\\u0065\" = 'x' # ]",  # 2
            'long = """one',  # 3
            "two = 2",  # 4
            'three"""""',  # 5
            "[ t . u ]",  # 6
            "inline = { x = 1, y.z = [ 1,",  # 7
            "  # here ] too",  # 8
            "  '#', { k = '''",  # 9
            "k = 5",  # 10
            "'''} ] }",  # 11
            "[[e]]",  # 12
            "when = 2026-01-01 10:00:00Z",  # 13
            "[[e.f]]",  # 14
            "[e.f.g]",  # 15
            "w = +1_0",  # 16
            "[[e.f]]",  # 17
            "[[e]]",  # 18
            "n = []",  # 19
            "[[e.f]]",  # 20
            "[e.f.g]",  # 21
        ]
    )
    found = places(text)
    assert set(found) == paths(tomllib.loads(text))
    lines = {
        ("a", "b c", "de"): 2,
        ("long",): 3,
        ("t", "u"): 6,
        ("t", "u", "inline", "y", "z"): 7,
        ("t", "u", "inline", "y", "z", 0): 7,
        ("t", "u", "inline", "y", "z", 1): 9,
        ("t", "u", "inline", "y", "z", 2, "k"): 9,
        ("e", 0): 12,
        ("e", 0, "when"): 13,
        ("e", 0, "f", 0, "g", "w"): 16,
        ("e", 0, "f", 1): 17,
        ("e", 1, "n"): 19,
        ("e", 1, "f", 0, "g"): 21,
    }
    assert {path: found[path] for path in lines} == lines


BARE = st.sampled_from(["a", "b", "key", "k-1", "3"])
QUOTED = st.sampled_from(["", "a b", "x.y", "#", "=", "]", "[[", '"', "'", "\\", "é\n", '"""'])
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
KEY = BARE | QUOTED.map(lambda key: f'"{key.translate(ESCAPES)}"')
SCALAR = st.sampled_from(
    [
        "1",
        "0x1f",
        "1.5e3",
        "nan",
        "true",
        "2026-01-01 10:00:00",
        "07:32:00.5",
        '"# ] } ,"',
        "'# [ {'",
        '"\\" \\\\"',
        '""',
        "''",
        '"""a"""',
        '"""\n"" \\""" # ]\n"""""',
        "'''\n'' # }\n'''''",
        '"""\\\n   b"""',
    ]
)
BREAK = st.sampled_from(["", " ", "\n", " # ] } comment\n\t"])


@st.composite
def arrays(draw: st.DrawFn, below: st.SearchStrategy[str]) -> str:
    items = [draw(BREAK) + draw(below) + draw(BREAK) for _ in range(draw(st.integers(0, 3)))]
    tail = draw(st.sampled_from(["", ","])) if items else ""
    return "[" + ",".join(items) + tail + draw(BREAK) + "]"


@st.composite
def inline(draw: st.DrawFn, below: st.SearchStrategy[str]) -> str:
    pairs = [f" {draw(dotted())} = {draw(below)} " for _ in range(draw(st.integers(0, 2)))]
    return "{" + ",".join(pairs) + "}"


@st.composite
def dotted(draw: st.DrawFn) -> str:
    return draw(st.sampled_from([".", " . "])).join(draw(st.lists(KEY, min_size=1, max_size=3)))


VALUE = st.recursive(SCALAR, lambda below: arrays(below) | inline(below), max_leaves=6)
STATEMENT = st.one_of(
    st.tuples(dotted(), VALUE).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    dotted().map(lambda key: f"[{key}]"),
    dotted().map(lambda key: f"[[ {key} ]]"),
    st.sampled_from(["[[q]]", "[q.r]", "[[q.s]]", "[q.s.t]", "[[q.s.u]]"]),
    st.just(""),
    st.just("# [x] y = 1"),
)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(st.lists(STATEMENT, max_size=8))
def test_the_scanner_finds_what_tomllib_finds(statements: list[str]) -> None:
    kept: list[str] = []
    for statement in statements:  # each one that fits after the earlier ones
        try:
            tomllib.loads("\n".join([*kept, statement]))
        except tomllib.TOMLDecodeError:
            continue
        kept.append(statement)
    text = "\n".join(kept)
    found = places(text)
    assert set(found) == paths(tomllib.loads(text))
    first = 1
    for statement in kept:  # each statement adds only to its own lines
        last = first + statement.count("\n")
        before, after = ("\n".join(text.split("\n")[:lines]) for lines in (first - 1, last))
        added = set(places(after)) - set(places(before))
        assert all(first <= found[path] <= last for path in added)
        first = last + 1
