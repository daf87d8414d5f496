"""A clock that jumps: back, ahead, to 2099 and back. Serving continues, and each exchange is a row."""

import mmap
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
import pytest

from gateway_world import gateway, until
from stillwatch.gateway.control.actions import act
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.histograms import DURATION, text_of_all
from stillwatch.terms import EnforcementStatus, Step
from upstream import Upstream

DAY_US = 86_400_000_000
LIMITED = "version = 1\n[limits]\nrequests_per_minute = 3\n"


@pytest.mark.slow
def test_a_clock_that_steps_costs_nobody_an_answer_and_no_row(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000
    clock_file = tmp_path / "clock"
    clock_file.write_bytes(now_us.to_bytes(8, "little"))
    with open(clock_file, "r+b") as file:
        clock = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
    with Upstream() as up, gateway(up.url, LIMITED, start=False) as g:
        with ControlState(g.folder.state, g.folder.secret()) as state:
            soon = [("other", EnforcementStatus(Step.BLOCK, now_us, until_us=now_us + DAY_US // 2))]
            act(state, soon, who="test", why="test", now_us=now_us)
            other = {"authorization": f"Bearer {state.issue('other', now_us=now_us)}"}
        worker = [sys.executable, str(Path(__file__).parent / "clocked_worker.py"), str(g.folder.path), "0"]
        g.processes["worker-0"] = subprocess.Popen([*worker, str(clock_file)])
        until(g.listens, what="the worker")
        g.start("recorder")

        def ask(auth: dict[str, str]) -> int:
            body = {"model": "mira", "messages": [{"role": "user", "content": "hi"}]}
            return httpx.post(g.url + "/v1/chat/completions", json=body, headers=auth).status_code

        steps_us = [0, -DAY_US, -60_000_000, DAY_US, 73 * 365 * DAY_US, 0]
        for step_us in steps_us:
            clock[0] = now_us + step_us
            # the limit holds within each minute, whatever came before and at whatever time
            assert [ask(g.auth) for _ in range(4)] == [200, 200, 200, 429], step_us
            # a standing that ends in half a day ends when the clock says so, and only then
            assert ask(other) == (200 if step_us >= DAY_US else 403), step_us
        rows = g.settle()
        assert len(rows) == 5 * len(steps_us)
        assert {row["outcome"] for row in rows} == {"complete", "refused"}
        assert [row["sequence"] for row in rows] == sorted(row["sequence"] for row in rows)
        told_us = {int(row["time"].timestamp() * 1e6) - now_us for row in rows}
        assert told_us == set(steps_us)  # times as recorded; the order comes from the sequence
        assert all(row["latency_ms"] >= 0 for row in rows if row["latency_ms"] is not None)
        assert g.counters()["uncaptured"] == 0


@pytest.mark.slow
def test_a_step_of_the_clock_during_an_answer_changes_no_duration(tmp_path: Path) -> None:
    """Once, a step ahead made answers of a day: in rows, in metrics and in what `retry-after` promised."""
    clock_file = tmp_path / "clock"
    clock_file.write_bytes((time.time_ns() // 1000).to_bytes(8, "little"))
    with open(clock_file, "r+b") as file:
        clock = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
    with Upstream() as up, gateway(up.url, start=False) as g:
        worker = [sys.executable, str(Path(__file__).parent / "clocked_worker.py"), str(g.folder.path), "0"]
        g.processes["worker-0"] = subprocess.Popen([*worker, str(clock_file)])
        until(g.listens, what="the worker")
        g.start("recorder")
        body = {"model": "mira", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        headers = g.auth | {"x-tokens": "4", "x-fault": "slow=0.1"}
        for step_us in (DAY_US, -DAY_US // 2):
            with httpx.stream("POST", g.url + "/v1/chat/completions", json=body, headers=headers) as reply:
                clock[0] += step_us
                assert reply.status_code == 200
                reply.read()
        rows = g.settle()
        assert all(50 < row["latency_ms"] < 30_000 for row in rows)
        sums = re.findall(rf"{DURATION}_sum\S* (\S+)", text_of_all(g.folder.run))
        assert len(sums) == 1
        assert 0.1 < float(sums[0]) < 60
