"""The clock that a range sets: the gateway's processes read it, and nothing else sets it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stillwatch.gateway import clock

RUN = "from stillwatch.cli.main import run; run()"


def told(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a separate process, since the clock is looked up once per process."""
    return subprocess.run(
        [sys.executable, "-c", f"from stillwatch.gateway import clock; {code}"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_range_it_is_the_machines_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(clock.VARIABLE, raising=False)
    before = time.time_ns() // 1000
    assert before <= clock.now_us() <= time.time_ns() // 1000
    assert abs(clock.now().timestamp() * 1e6 - before) < 1e6
    assert not clock.is_driven()
    assert clock.pause_s(2.0) == 2.0


@pytest.mark.slow
def test_a_driven_clock_stands_where_it_was_put(tmp_path: Path) -> None:
    hand = clock.write(tmp_path / "clock", 1_772_409_600_000_000)
    env = {clock.VARIABLE: str(tmp_path / "clock")}
    assert told("print(clock.now_us(), clock.is_driven(), clock.pause_s(2.0))", **env).stdout == (
        "1772409600000000 True 0.1\n"
    )
    hand[0] += 60_000_000
    assert told("print(clock.now())", **env).stdout == "2026-03-02 00:01:00+00:00\n"


@pytest.mark.slow
def test_a_clock_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"123")
    for name in ("absent", "short"):
        ended = told("clock.now_us()", **{clock.VARIABLE: str(tmp_path / name)})
        assert f"{clock.VARIABLE}={tmp_path / name}: no clock can be read there" in ended.stderr
        assert "ClockError" in ended.stderr


@pytest.mark.slow
def test_serve_warns_that_it_is_driven(tmp_path: Path) -> None:
    clock.write(tmp_path / "clock", 1_772_409_600_000_000)
    words = [sys.executable, "-c", RUN, "serve", "--upstream", "http://127.0.0.1:9"]
    words += ["--folder", str(tmp_path / "folder"), "--check"]
    env = {**os.environ, clock.VARIABLE: str(tmp_path / "clock")}
    said = subprocess.run(words, env=env, capture_output=True, text=True, check=False).stdout
    assert f"warning clock         {clock.VARIABLE} is set: a run of the range drives the time" in said


@pytest.mark.slow
def test_writes_and_looks_are_asked_for_by_number(tmp_path: Path) -> None:
    hand = clock.write(tmp_path / "clock", 1)
    hand[2] += 3
    assert told("print(clock.looks_asked())", **{clock.VARIABLE: str(tmp_path / "clock")}).stdout == "3\n"
    nobody = told("print(clock.looks_asked(), clock.writes_asked())", **{clock.VARIABLE: ""})
    assert nobody.stdout == "None None\n"
