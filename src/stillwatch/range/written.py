"""A run in range.json with every figure, and what two runs differ in. It draws nothing."""

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


def contests_of(told: RangeRun) -> tuple[ContestSummary, ...]:
    """Sum up a run's contests, scene by scene."""
    scenes = dict.fromkeys(scene for scene, _ in told.contests)
    return tuple(
        x for name in scenes for x in sum_up_contests(name, [c for s, c in told.contests if s == name])
    )


def document(told: RangeRun, shares: Shares | None = None) -> dict[str, Any]:
    """Give all results of a run."""
    table: tuple[ResultRow, ...] = lines(told.outcomes, shares)
    return {
        "id": told.id,
        "mode": told.mode,
        "students": "trained" if shares is not None else "curve",
        "table": [x.as_dict() for x in table],
        "contests": [x.as_dict() for x in contests_of(told)],
        "live": list(told.live),
        "refusals": [{**asdict(r.cell), "reason": r.reason} for r in told.refusals],
        "composed": told.composed,
        "outcomes": [o.as_dict() for o in told.outcomes],
        "fights": [{"scene": scene, **asdict(c)} for scene, c in told.contests],
    }


def text_of(told: dict[str, Any]) -> str:
    """Write it as it stands in the file; no number in it is infinite."""
    return json.dumps(told, indent=1, allow_nan=False) + "\n"


def numbers(told: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value of a document with its place, in order."""
    if isinstance(told, dict):
        for key, value in told.items():
            yield from numbers(value, f"{place}.{key}" if place else key)
    elif isinstance(told, list | tuple):
        yield f"{place}.length", len(told)
        for n, value in enumerate(told):
            yield from numbers(value, f"{place}[{n}]")
    else:
        yield place, told


def differences(then: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """Give each place at which two documents differ, with what stood and what stands there."""
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
