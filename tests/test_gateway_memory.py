"""The modules and memory of each process of a gateway, and the length of each thread's time slices."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_world import until
from served import Served, served
from stillwatch.gateway import heartbeat
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.latest import HANDOVER
from stillwatch.gateway.slices import SHORTEST_NS
from upstream import Upstream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
MOST_MB = {"supervisor": 100, "worker": 50, "recorder": 120, "detector": 200}  # before any request
TABLES = ("libarrow", "_duckdb", "_multiarray_umath", "openblas")  # parts of the names of mapped files
BEATS_US = 5_000_000  # of the supervisor: its threads look every second at most


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with Upstream() as up, served(up.url) as s:
        yield s


def process(s: Served, name: str) -> int:
    assert s.process is not None
    return s.process.pid if name == "supervisor" else until(lambda: s.pids(name), 60, name).pop()


def loaded(pid: int) -> set[str]:
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in TABLES if name in maps}


def test_each_process_begins_small(gateway: Served) -> None:
    for name, most_mb in MOST_MB.items():
        if name in ("recorder", "detector"):
            until((gateway.folder.run / f"{name}.json").exists, 90, f"{name} has begun")
        assert heartbeat.rss_bytes(process(gateway, name)) < most_mb << 20, name


def test_the_supervisor_loads_no_tables_while_there_is_no_case(gateway: Served) -> None:
    """Findings without a campaign are read, added and checked against the ladder without these libraries."""
    assert [gateway.ask() for _ in range(20)] == [200] * 20
    handover = gateway.folder.detector / HANDOVER
    until(handover.exists, 120, "the detector has handed over")
    since_us = handover.stat().st_mtime_ns // 1000
    beat = gateway.folder.run / "supervisor.json"
    until(lambda: heartbeat.read(beat).get("at", 0) > since_us + BEATS_US, 60, "the supervisor looked")
    assert loaded(process(gateway, "recorder")), "else the test finds nothing where there is something"
    assert {name: loaded(process(gateway, name)) for name in ("supervisor", "worker")} == {
        "supervisor": set(),
        "worker": set(),
    }


def test_who_commits_has_short_slices_and_nobody_else(gateway: Served) -> None:
    """With such slices, a worker's event loop would be interrupted within a request."""
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if release < (6, 12) or not Path("/proc/self/sched").exists():
        pytest.skip("the kernel has no slices of one's own, or does not show them")

    def short(name: str) -> set[bool]:
        """Return, for the threads with short slices, whether each is the first thread."""
        pid, found = process(gateway, name), set()
        for task in Path(f"/proc/{pid}/task").iterdir():
            lines = (task / "sched").read_text().splitlines()
            slice_ns = next(line for line in lines if line.startswith("se.slice")).rpartition(":")[2]
            found |= {int(task.name) == pid} if int(slice_ns) == SHORTEST_NS else set()
        return found

    assert until(lambda: short("worker"), 60, "the commit thread has begun") == {False}
    assert short("recorder") == set()


def begun(name: str, code: str, **environment: str) -> str:
    """Return the output of a process of that name that runs this code in place of its own."""
    words = (
        "import os, types; from stillwatch.gateway import child\n"
        f"def main(*_):\n    {code}\n"
        "child.import_module = lambda _: types.SimpleNamespace(main=main)\n"
        f"child.main({name!r}, '', os.getppid())"
    )
    done = subprocess.run(
        [sys.executable, "-c", words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["recorder", "detector"])
def test_tables_have_one_allocator_unless_the_owner_says_otherwise(name: str) -> None:
    code = "import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    others = {"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}
    assert (begun(name, code), begun(name, code, **others)) == ("system", "mimalloc")


def test_short_slices_change_neither_priority_nor_policy() -> None:
    code = "print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))"
    batch = "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)); os.nice(3); "
    asking = "from stillwatch.gateway.slices import ask_for_short_slices; ask_for_short_slices(); "
    for before in ("", batch):
        assert begun("recorder", before + asking + code) == begun("recorder", before + code)


def test_what_an_account_sent_before_takes_memory_only_as_it_comes() -> None:
    """A busy recorder's table takes 16 MB; an idle one's takes none of it."""
    code = (
        "from stillwatch.gateway import heartbeat; from stillwatch.gateway.record.sent_before import "
        "SLOTS, SentBefore; before = heartbeat.rss_bytes(); held = SentBefore(bytes(32)); "
        "print(heartbeat.rss_bytes() - before < SLOTS, held is not None)"
    )
    assert begun("recorder", code) == "True True"


def test_a_folder_is_opened_without_tables(tmp_path: Path) -> None:
    """So do the commands that inspect a gateway before it starts."""
    folder = open_folder(tmp_path / "serve")
    words = (
        "import sys; from typer.testing import CliRunner; from stillwatch.cli.main import app; "
        f"CliRunner().invoke(app, ['serve', '--check', '--folder', {str(folder.path)!r}, "
        "'--upstream', 'http://127.0.0.1:9']); import stillwatch.gateway.serving; "
        "print(*({'numpy', 'pyarrow', 'duckdb', 'pandas', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
