"""Detectors: how often each was right, month by month, what it cannot see, and what its alarms may do."""

import ast
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

from starlette.responses import RedirectResponse, Response

from stillwatch.cases import DetectorState, claims, feedback
from stillwatch.console import ConsoleError
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us

ROOMS = ("stillwatch.detectors", "stillwatch.actors.clues")


@cache
def whats() -> dict[str, str]:
    """Return the first line of every detector's and clue's docstring, by name."""
    phrases = {}
    for room in ROOMS:
        for file in resources.files(room).iterdir():
            if file.name.endswith(".py") and not file.name.startswith("_"):
                text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
                phrases[file.name.removesuffix(".py")] = text.split("\n")[0]
    return phrases


def show(request: PageRequest) -> Shown:
    """Show all detectors, those that raise alarms first."""
    record = request.desk.looks.detectors.get(request.now_us)
    states = feedback.states(request.store, record.now)
    detectors = {
        name: {"what": whats().get(name, "")} | claims.documented_limits(name) for name in {*whats(), *states}
    }
    months: dict[str, list[Any]] = {}
    for month in record.months:
        months.setdefault(month.detector, []).append(month)
    names = sorted(detectors, key=lambda name: (name not in months, name))
    now = {name: record.now.get(name) or feedback.nothing_said(name) for name in names}
    rows = [
        {
            "detector": name,
            "state": states[name].state if name in states else None,
            "raises": states[name].raises if name in states else False,
            "right": now[name].right,
            "judged": now[name].judged,
            "low": now[name].low,
            "high": now[name].high,
            **detectors[name],
        }
        for name in names
    ]
    data = {
        "detectors": rows, "months": {name: [asdict(m) for m in rates] for name, rates in months.items()},
        "counted": iso_us(record.at_us), "current": record.current,
    }  # fmt: skip
    view = {
        "names": names,
        "said_of": detectors,
        "states": states,
        "months": months,
        "now": now,
        "record": record,
        "choices": list(DetectorState),
    }
    return Shown("detectors.html.j2", "Detectors", data, rows, view)


def set_state(request: PageRequest) -> Response:
    """Change what a detector's alarms may do: less at any time, more only with evidence."""
    name, state = request.form("detector", 200), request.form("state", 20)
    if state not in list(DetectorState):
        raise ConsoleError(f"state is {state!a}; give one of {', '.join(DetectorState)}")
    feedback.set_state(
        request.store,
        name,
        DetectorState(state),
        who=request.user.name,
        why=request.why(),
        now_us=request.now_us,
    )
    return RedirectResponse(request.url("/detectors", done="state"), 303)
