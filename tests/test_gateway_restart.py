"""A process that dies is replaced at once by one with preloaded code; no request is refused meanwhile."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from gateway_world import until
from served import clients, cpu_s, served
from stillwatch.gateway.heartbeat import rss_bytes
from upstream import Upstream

REPLACED_S = 0.5
LOADED_S = 2.0  # the same for every load of the machine: no request may be refused


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Processes that use all available processor time."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in burning:
            one.kill()
            one.wait()


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


@pytest.mark.alone
@pytest.mark.slow
def test_a_worker_that_is_killed_is_back_at_once_and_costs_little(up: Upstream) -> None:
    """Faster than an interpreter loads a worker's code, under any load of the machine."""
    load = [sys.executable, "-c", "import stillwatch.gateway.path.worker"]
    with served(up.url) as s:
        answers: list[int] = []
        took, loaded = [], []
        for _ in range(5):
            time.sleep(1.2)
            before = s.pids()
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            took.append(timed(lambda: answers.append(s.ask())))
            loaded.append(timed(lambda: subprocess.run(load, check=True)))
            (pid,) = until(lambda before=before: s.pids() - before, what="another worker")
            assert cpu_s(pid) <= 0.2
            assert rss_bytes(pid) <= 50 << 20
        assert answers == [200] * 5
        print(
            f"answered again within {median(took):.2f} s, code loaded within {median(loaded):.2f} s (medians)"
        )
        assert median(took) < max(REPLACED_S, median(loaded))
        assert s.stop() == 0
        assert "Traceback" not in s.log()


@pytest.mark.alone
@pytest.mark.slow
def test_nobody_who_comes_after_a_worker_died_is_refused_under_load(up: Upstream) -> None:
    with served(up.url, workers=2) as s, busy(2), clients(s, 8) as got:
        for _ in range(5):
            time.sleep(1.5)
            os.kill(min(s.pids()), signal.SIGKILL)
            began = time.monotonic()
            with ThreadPoolExecutor(8) as pool:  # some of them wait at the dead worker's socket
                assert list(pool.map(lambda _: s.ask(), range(16))) == [200] * 16
            assert time.monotonic() - began < LOADED_S * 2
    assert got["refused"] == 0
    assert got["200"] > 100
    # the requests in progress at the killed workers are lost, and nothing else
    assert sum(got.values()) - got["200"] <= 5 * 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worker-", "recorder", "detector", "template"])
def test_a_part_that_crashes_says_where_it_stood_and_is_back(up: Upstream, name: str) -> None:
    with served(up.url) as s:
        (pid,) = until(lambda: s.pids(name), what=name)
        os.kill(pid, signal.SIGSEGV)
        until(lambda: "Segmentation fault" in s.log(), what="where it stood")
        until(lambda: s.pids(name) - {pid}, what="another one")
        assert s.ask() == 200
        assert s.stop() == 0
        assert "most recent call first" in s.log()


@pytest.mark.slow
def test_all_may_die_at_once_and_the_template_too(up: Upstream) -> None:
    with served(up.url, workers=2) as s:
        for names in (["template"], ["worker-", "template"], ["worker-"]):
            time.sleep(1.2)
            before = {pid for name in names for pid in s.pids(name)}
            assert before
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            assert [s.ask() for _ in range(8)] == [200] * 8
            until(lambda: len(s.pids()) == 2 and len(s.pids("template")) == 1, what="all are back")
        assert s.stop() == 0


@pytest.mark.slow
def test_a_template_that_hangs_is_gone_without(up: Upstream) -> None:
    with served(up.url) as s:
        (hanging,) = s.pids("template")
        os.kill(hanging, signal.SIGSTOP)
        for pid in s.pids():
            os.kill(pid, signal.SIGKILL)
        assert s.ask() == 200
        until(lambda: s.pids("template") - {hanging}, what="another template")
        assert "does not fork" in s.log()
        assert len(s.pids()) == 1


@pytest.mark.slow
def test_what_is_forked_shares_nothing_but_code(up: Upstream) -> None:
    with served(up.url, workers=2) as s:
        (template,) = s.pids("template")
        assert len(list(Path(f"/proc/{template}/task").iterdir())) == 1
        opened = [os.readlink(path) for path in Path(f"/proc/{template}/fd").iterdir()]
        assert not [name for name in opened if str(s.folder.path) in name]
        assert sum(name.startswith("socket:") for name in opened) == 1  # by which it is asked
        ids = subprocess.run(
            [sys.executable, "-c", FORKED_IDS], capture_output=True, text=True, check=True
        ).stdout.split()  # fmt: skip
        assert len(ids) == len(set(ids)) == 20
        workers = s.pids()
        s.stop(signal.SIGKILL)
        until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in {template, *workers}), what="their end"
        )


FORKED_IDS = """
import os
from stillwatch.gateway import logs
for _ in range(2):
    if os.fork() == 0:
        print(*(logs.traceparent(None) for _ in range(10)), flush=True)
        os._exit(0)
    os.wait()
"""


ORPHAN = """
import os, socket, time
from stillwatch.gateway import template
print(time.time(), flush=True)
door = socket.create_server(("127.0.0.1", 0))
os.set_inheritable(door.fileno(), True)
if os.fork() == 0:
    first = os.getpid()
    if os.fork() == 0:
        nobody = 1 << 30
        template._begin("worker-0", "/", (first, nobody), [door.fileno()], socket.socketpair()[0])
    os._exit(0)
"""


@pytest.mark.slow
def test_a_worker_whose_supervisor_died_meanwhile_leaves_the_port_at_once() -> None:
    """It was being forked at that time: another gateway must find the port free."""
    # it has the pipe as long as it lives
    words = [sys.executable, "-c", ORPHAN]
    began_s = float(subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=120).stdout)
    assert time.time() - began_s < 8


@pytest.mark.slow
def test_fifty_deaths_under_load(up: Upstream) -> None:
    with served(up.url, workers=2) as s, clients(s, 8) as got:
        took = []
        for _ in range(50):
            time.sleep(1.1)
            os.kill(max(s.pids()), signal.SIGKILL)
            began = time.monotonic()
            with ThreadPoolExecutor(8) as pool:
                assert list(pool.map(lambda _: s.ask(), range(8))) == [200] * 8
            took.append(time.monotonic() - began)
        assert got["refused"] == 0
        assert sorted(took)[len(took) // 2] < LOADED_S
        print(f"all of 8 answered within {sorted(took)[25]:.2f} s (median), {max(took):.2f} s (longest)")
