"""The null factory: a sound gateway convicts no innocent, and each way to break it is caught."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FACTORY = Path(__file__).parents[1] / "benchmarks" / "null_factory.py"
RUNS = 12
SHORT, NEXT = "likes short answers", "learned from the next model's public answers"
GUILTY = "GUILTY: taught what was served"


def run(tmp_path: Path, broken: str) -> list[dict[str, float]]:
    out = tmp_path / "runs.jsonl"
    said = [sys.executable, str(FACTORY), "--runs", str(RUNS), "--out", str(out), "--broken", broken]
    done = subprocess.run(said, capture_output=True, text=True, timeout=500)
    assert done.returncode == 1, done.stderr  # twelve runs never bound a rate by .2 %
    told = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(told) == RUNS
    assert all(one["pairs"] > 20 and one["unpaired"] for one in told)
    return [one["p"] for one in told]


@pytest.mark.slow
def test_a_sound_gateway_convicts_the_guilty_alone(tmp_path: Path) -> None:
    for p in run(tmp_path, ""):
        assert p.pop(GUILTY) < 1e-4
        assert min(p.values()) > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "innocent"), [("first-comes", SHORT), ("own-logs", NEXT)])
def test_a_broken_one_is_caught(tmp_path: Path, broken: str, innocent: str) -> None:
    assert all(p[innocent] < 0.01 for p in run(tmp_path, broken))
