"""The number of calls for a plain request in a worker: small checks on every request add up."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "request_steps.py"


@pytest.mark.slow
@pytest.mark.parametrize(("headers", "most"), [(0, 280), (20, 340)])
def test_a_plain_request_takes_few_calls(headers: int, most: int) -> None:
    """364 and 524 on 2026-12-01, after five days had added twenty checks."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--headers", str(headers), "--runs", "1"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.search(r"takes (\d+) calls", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert int(found[1]) <= most, done.stdout
