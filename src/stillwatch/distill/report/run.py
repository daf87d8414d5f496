"""Writes a run's report: `report.json` for programs, `report.html` for a person. It measures nothing."""

import json
from dataclasses import asdict
from pathlib import Path

from stillwatch import __version__
from stillwatch.distill import Run
from stillwatch.distill.report.figures import account
from stillwatch.distill.report.page import headline, render
from stillwatch.distill.rows import replace_file, write_json


def report(path: Path) -> Path:
    """Write both files whole; returns the page's path. Raises: DistillError."""
    run = Run(path)
    told = account(run)
    plain = json.loads(json.dumps(asdict(told), default=str))
    write_json(
        run.report.with_suffix(".json"), {"stillwatch": __version__, "headline": headline(told)} | plain
    )
    replace_file(run.report, [render(told).encode("utf-8", "backslashreplace")])
    return run.report
