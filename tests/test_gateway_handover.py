"""One gateway replaces another: all requests are answered, and no connection is refused or reset."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway_world import until
from served import ASK, COMMAND, Served, children, clients, command_line, served
from stillwatch.gateway.instance import running_pid
from stillwatch.gateway.path import server
from stillwatch.gateway.path.budgets import Budgets, void
from upstream import Upstream


@pytest.fixture
def up() -> Iterator[Upstream]:
    """An upstream without a key: a server that is started as by systemd gets no environment."""
    with Upstream() as running:
        yield running


class Stream(threading.Thread):
    """A stream of some seconds, and the text that was received."""

    def __init__(self, s: Served, seconds: float) -> None:
        super().__init__()
        self._s, self._seconds, self.text = s, seconds, b""
        self.begun = threading.Event()

    def run(self) -> None:
        connection = self._s.connect(60)
        headers = {"authorization": f"Bearer {self._s.key}", "content-type": "application/json"}
        headers |= {"x-tokens": str(int(self._seconds / 0.05)), "x-fault": "slow=0.05"}
        connection.request("POST", "/v1/chat/completions", json.dumps(ASK | {"stream": True}), headers)
        answer = connection.getresponse()
        self.begun.set()
        self.text = answer.read()
        connection.close()


def make_way(s: Served) -> set[int]:
    """Let another gateway take over in this process; return its workers when the previous ones have ended."""
    assert s.process is not None
    before = s.pids()
    s.process.send_signal(signal.SIGUSR2)
    until(lambda: s.pids() and not s.pids() & before, 240, "other workers")
    until(lambda: s.part("workers") == f"{s.workers} of {s.workers} serve", 240, "workers that serve")
    return s.pids()


@pytest.mark.slow
def test_a_gateway_makes_way_for_the_next_and_refuses_nobody(up: Upstream) -> None:
    with served(up.url, workers=2) as s:
        stream = Stream(s, 8)
        stream.start()
        with clients(s, 4) as new, clients(s, 4, keep=True) as kept:
            time.sleep(1)
            first = s.pids()
            second = make_way(s)
            assert not first & second
            assert {name for pid in second for name in command_line(pid)} >= {b"worker-64", b"worker-65"}
            make_way(s)  # and back again
            assert {name for pid in s.pids() for name in command_line(pid)} >= {b"worker-0", b"worker-1"}
            time.sleep(1)
        assert set(new) == set(kept) == {"200"}, (new, kept)
        stream.join(60)
        assert stream.text.endswith(b"data: [DONE]\n\n")
        assert s.stop() == 0
        assert "Traceback" not in s.log()
        assert not re.search(r"worker-\d+: did not end", s.log())


def sockets(pid: int) -> set[str]:
    """Return the sockets that a process has open."""
    return {name for fd in Path(f"/proc/{pid}/fd").iterdir() if (name := os.readlink(fd))[:7] == "socket:"}


@pytest.mark.slow
def test_who_asks_while_a_worker_that_ends_stands_still_is_answered(up: Upstream) -> None:
    """The machine pauses: afterwards the worker checks the time before it reads new requests."""
    with served(up.url) as s, closing(s.connect()) as kept:
        assert s.ask(kept) == 200
        (worker,) = s.pids()
        before = sockets(worker)
        os.kill(worker, signal.SIGTERM)
        until(
            lambda: before - sockets(worker), what="its end's beginning"
        )  # it waits a second for last requests
        os.kill(worker, signal.SIGSTOP)
        asked = threading.Timer(0.2, lambda: statuses.append(s.ask(kept)))
        statuses: list[int] = []
        asked.start()
        time.sleep(2)
        os.kill(worker, signal.SIGCONT)
        asked.join(30)
        assert statuses == [200]
        assert s.stop() == 0


@pytest.mark.slow
def test_who_asks_while_a_worker_stands_still_is_answered(up: Upstream) -> None:
    """The first request of a connection comes late, in a pause: by the clock, it was silent for too long."""
    with served(up.url) as s, closing(s.connect()) as late:
        late.connect()
        time.sleep(server.FIRST_BYTE_S - 3)
        (worker,) = s.pids()
        os.kill(worker, signal.SIGSTOP)
        statuses: list[int] = []
        asked = threading.Timer(0.2, lambda: statuses.append(s.ask(late)))
        asked.start()
        time.sleep(3.8)
        os.kill(worker, signal.SIGCONT)
        asked.join(30)
        assert statuses == [200]


@pytest.mark.slow
def test_a_folder_is_held_all_the_while_one_gateway_follows_another(up: Upstream) -> None:
    """Otherwise another gateway takes it, and a change counts as in force that the workers have not read."""
    with served(up.url) as s:
        assert s.process is not None
        found: set[int | None] = set()
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                found.add(running_pid(s.folder))

        looks = threading.Thread(target=look)
        looks.start()
        before = s.pids()
        assert make_way(s) != before
        assert make_way(s) != before
        done.set()
        looks.join()
        assert found == {s.process.pid}
        assert s.stop() == 0
        assert running_pid(s.folder) is None


@pytest.mark.slow
def test_what_cannot_start_is_not_made_way_for(up: Upstream) -> None:
    with served(up.url) as s:
        kept, before = s.folder.settings.read_text(), s.pids()
        s.folder.settings.write_text("{")
        assert s.process is not None
        s.process.send_signal(signal.SIGUSR2)
        until(lambda: "does not make way" in s.log(), what="a refusal")
        assert s.ask() == 200
        assert s.pids() == before
        s.folder.settings.write_text(kept)
        assert make_way(s) != before
        assert s.stop() == 0


@pytest.mark.slow
def test_told_to_stop_while_it_makes_way_it_stops(up: Upstream) -> None:
    with served(up.url) as s:
        assert s.process is not None
        s.process.send_signal(signal.SIGUSR2)
        time.sleep(0.5)
        assert s.stop() == 0
        until(lambda: not children(s.process.pid if s.process else 0), what="their end")


@pytest.mark.slow
def test_told_to_stop_when_only_its_workers_are_left_the_next_one_stops(up: Upstream) -> None:
    """It has ended all that it ends and waits for its threads: a stop signal must still have an effect."""
    with served(up.url) as s:
        assert s.process is not None
        pid = s.process.pid
        s.process.send_signal(signal.SIGUSR2)
        until(lambda: "the workers serve on" in s.log(), what="a hand-over")
        until(lambda: children(pid) == s.pids(), what="the end of all but workers")
        time.sleep(
            0.12
        )  # by now it has looked for the last time; its threads take another quarter of a second
        assert s.stop() == 0
        until(lambda: not children(pid), what="their end")


TOLD_LATE = """
import os, signal, sys, threading, time
from stillwatch.gateway.handover import InheritedFiles, become_the_next, keep_signals
if "LISTEN_PID" in os.environ:
    sys.exit(0 if signal.SIGTERM in signal.sigpending() else 3)
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
keep_signals()
os.kill(os.getpid(), signal.SIGTERM)
while not stops:
    time.sleep(0.01)
become_the_next(InheritedFiles(is_told_to_stop=lambda: bool(stops)))
"""


@pytest.mark.slow
def test_a_stop_that_another_thread_took_waits_for_the_next_gateway() -> None:
    assert subprocess.run([sys.executable, "-c", TOLD_LATE], timeout=60).returncode == 0


def as_systemd(sockets: list[socket.socket]) -> Callable[[], None]:
    """Do what systemd does between fork and exec for a socket unit."""

    def pass_on() -> None:
        high = [os.dup(one.fileno()) for one in sockets]
        for place, number in enumerate(high):
            os.dup2(number, 3 + place, inheritable=True)
        os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), str(len(high))

    return pass_on


def listening(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    found.listen(512)
    return found


@pytest.mark.slow
def test_where_systemd_has_the_socket_a_restart_refuses_nobody(up: Upstream) -> None:
    with served(up.url, workers=2, start=False) as s, listening(s.port) as door:
        more = {"preexec_fn": as_systemd([door]), "env": None, "close_fds": False}
        s.start(**more)
        stream = Stream(s, 3)
        stream.start()
        with clients(s, 4) as new, clients(s, 4, keep=True) as kept:
            assert stream.begun.wait(60)
            assert s.stop() == 0
            stream.join(60)
            assert stream.text.endswith(b"data: [DONE]\n\n")
            s.start(**more)
            time.sleep(1)
            s.stop(signal.SIGKILL)
            time.sleep(0.2)
            lost = sum(new.values()) + sum(kept.values()) - new["200"] - kept["200"]
            assert lost <= 8  # the requests of the killed workers
            assert new["refused"] + kept["refused"] == 0
            s.start(**more)
        assert s.stop() == 0
        assert "Traceback" not in s.log()


@pytest.mark.slow
def test_a_socket_that_nobody_would_serve_is_told(up: Upstream) -> None:
    with served(up.url, start=False) as s, listening(0) as door:
        done = subprocess.run(
            [*COMMAND, *s.words], preexec_fn=as_systemd([door]), close_fds=False, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert f"127.0.0.1:{door.getsockname()[1]}, which is no port of this gateway" in done.stderr


def test_who_takes_over_sees_what_was_spent_and_an_ended_worker_holds_nothing(tmp_path) -> None:
    old = Budgets(tmp_path, 0, 1)
    old.add(old.place("a", 3), 5, 1, 70)
    old.hold(3, 500)
    new = Budgets(tmp_path, 64, 1)
    assert (new.spent(3, 5).output_tokens_day, new.spent(3, 5).tokens_held) == (70, 500)
    new.add(new.place("a", 3), 5, 1, 1)
    assert old.spent(3, 5).output_tokens_day == 71
    void(tmp_path / "worker-0.budgets")
    assert (new.spent(3, 5).output_tokens_day, new.spent(3, 5).tokens_held) == (71, 0)
