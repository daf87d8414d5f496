"""The null factory: a sound gateway convicts no innocent, and each way to break it is detected."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FACTORY = Path(__file__).parents[1] / "benchmarks" / "null_factory.py"
RUNS = 12
SHORT, NEXT = "likes short answers", "learned from the next model's public answers"
GUILTY = "GUILTY: taught what was served"


def run(tmp_path: Path, *words: str) -> list[dict[str, Any]]:
    out = tmp_path / "runs.jsonl"
    said = [sys.executable, str(FACTORY), "--runs", str(RUNS), "--out", str(out), *words]
    done = subprocess.run(said, capture_output=True, text=True, timeout=500)
    assert done.returncode == 1, done.stderr  # twelve runs cannot bound a rate by .2 %
    told = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(told) == RUNS
    assert sum(one["pairs"] for one in told) > 20 * RUNS
    for one in told:
        assert one["coins"] >= one["pairs"] > 8
        for name, p in one["alone"].items():
            assert p <= one["p"][name]  # missing results count against it
    return told


@pytest.mark.slow
def test_a_sound_gateway_convicts_the_guilty_alone(tmp_path: Path) -> None:
    for one in run(tmp_path):
        assert one["alone"].pop(GUILTY) < 1e-4
        assert min(one["alone"].values()) > 1e-5


@pytest.mark.slow
def test_the_guilty_is_found_where_little_is_lost(tmp_path: Path) -> None:
    told = run(tmp_path, "--failures", "0.1")
    assert sum(one["p"][GUILTY] < 1e-4 for one in told) > RUNS / 2


@pytest.mark.slow
def test_a_gateway_whose_processes_are_killed_convicts_nobody(tmp_path: Path) -> None:
    """Two workers, recorder and supervisor as in `stillwatch serve`. The ledgers verify."""
    told = run(tmp_path, "--workers", "2", "--session", str(RUNS))
    assert sum(told[0]["killed"].values())
    assert told[0]["files"] >= 2
    for one in told:
        assert one["alone"].pop(GUILTY) < 1e-3
        assert min(one["alone"].values()) > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "innocent"), [("first-comes", SHORT), ("own-logs", NEXT)])
def test_a_broken_one_is_caught(tmp_path: Path, broken: str, innocent: str) -> None:
    assert all(one["alone"][innocent] < 0.01 for one in run(tmp_path, "--broken", broken))
