"""Writes a run's report: `report.json` for programs, `report.html` for a person. It measures nothing."""

import json
from dataclasses import asdict
from pathlib import Path

from jinja2 import UndefinedError

from stillwatch import __version__
from stillwatch.distill import DistillError, DistillRun
from stillwatch.distill.report.figures import account
from stillwatch.distill.report.page import headline, render
from stillwatch.distill.rows import replace_file, write_json


def report(path: Path) -> Path:
    """Write both files whole; returns the page's path. Raises: DistillError."""
    run = DistillRun(path)
    try:
        told = account(run)
        plain = json.loads(json.dumps(asdict(told), default=str))
        page = render(told).encode("utf-8", "backslashreplace")
        content = {"stillwatch": __version__, "headline": headline(told)} | plain
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, UndefinedError) as why:
        raise DistillError(
            f"{path}: training.json, evaluation.json or another JSON file there is damaged or of another "
            f"version ({type(why).__name__}: {why}): move it away, and `stillwatch distill run` makes it anew"
        ) from why
    write_json(run.report.with_suffix(".json"), content)
    replace_file(run.report, [page])
    return run.report
