"""A run in range.json with every figure, and the differences of two runs."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from stillwatch.range.contests import ContestSummary, sum_up_contests
from stillwatch.range.run import RangeRun
from stillwatch.range.table import ResultRow, Shares, lines

FILE = "range.json"
TOLERANCE = 1e-9  # relative: another processor may add in another order


def contests_of(result: RangeRun) -> tuple[ContestSummary, ...]:
    """Summarise a run's contests, scene by scene."""
    scenes = dict.fromkeys(scene for scene, _ in result.contests)
    return tuple(
        x for name in scenes for x in sum_up_contests(name, [c for s, c in result.contests if s == name])
    )


def document(result: RangeRun, shares: Shares | None = None) -> dict[str, Any]:
    """Return all results of a run."""
    table: tuple[ResultRow, ...] = lines(result.outcomes, shares)
    return {
        "id": result.id,
        "mode": result.mode,
        "students": "trained" if shares is not None else "curve",
        "table": [asdict(x) for x in table],
        "contests": [asdict(x) for x in contests_of(result)],
        "live": list(result.live),
        "refusals": [{**asdict(r.cell), "reason": r.reason} for r in result.refusals],
        "composed": result.composed,
        "outcomes": [asdict(o) for o in result.outcomes],
        "fights": [{"scene": scene, **asdict(c)} for scene, c in result.contests],
    }


def text_of(document_of_run: dict[str, Any]) -> str:
    """Return the text of the file; no number in it is infinite."""
    return json.dumps(document_of_run, indent=1, allow_nan=False) + "\n"


def numbers(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a document with its place, in order."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers(value, f"{place}.{key}" if place else key)
    elif isinstance(node, list | tuple):
        yield f"{place}.length", len(node)
        for n, value in enumerate(node):
            yield from numbers(value, f"{place}[{n}]")
    else:
        yield place, node


def differences(then: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """Return each place at which two documents differ, with both values."""
    before, after = dict(numbers(then)), dict(numbers(now))
    return [
        (place, before.get(place), after.get(place))
        for place in dict.fromkeys([*before, *after])
        if not _same(before.get(place), after.get(place))
    ]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=TOLERANCE)
    return bool(a == b)
