"""A real `stillwatch serve` for tests: supervisor, workers, admin port, in front of a real upstream.

with served(up.url, workers=2) as s:
    s.ask()  # 200
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway_world import UPSTREAM_KEY, free_port, until
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE
from stillwatch.units import utc_us

ASK = {"model": "mira", "messages": [{"role": "user", "content": "hello"}]}
COMMAND = (sys.executable, "-c", "from stillwatch.cli.main import run; run()")


class Served:
    """A gateway that is being served."""

    def __init__(self, place: Path, upstream: str, workers: int, issue: bool = True) -> None:
        self.place, self.folder = place, open_folder(place / "serve")
        self.port, self.admin_port, self.workers = free_port(), free_port(), workers
        self.words = ["serve", "--folder", str(self.folder.path), "--upstream", upstream]
        self.words += ["--workers", str(workers), "--port", str(self.port)]
        self.words += ["--admin-port", str(self.admin_port)]
        if issue:
            with ControlState(self.folder.state, self.folder.secret()) as state:
                self.key = state.issue("acct_test", now_us=utc_us())
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **more: Any) -> None:
        environment = {**os.environ, UPSTREAM_KEY_VARIABLE: UPSTREAM_KEY}
        with open(self.place / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *self.words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **{"env": environment, **more},
            )  # fmt: skip
        until(lambda: self.part("workers") == f"{self.workers} of {self.workers} serve", 240, "workers")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(240)

    def log(self) -> str:
        return (self.place / "log").read_text(errors="replace")

    def part(self, name: str) -> str:
        """Return one part's text in /health."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/health", timeout=30) as answer:
                found = json.load(answer)
        except OSError:
            return ""
        return next((part["text"] for part in found["parts"] if part["name"] == name), "")

    def pids(self, start: str = "worker-") -> set[int]:
        """Return the supervisor's children whose name, as in `ps`, begins like this."""
        assert self.process is not None
        return {
            pid
            for pid in children(self.process.pid)
            if any(word.startswith(start.encode()) for word in command_line(pid))
        }

    def connect(self, timeout: float = 30.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, connection: http.client.HTTPConnection | None = None, **headers: str) -> int:
        """Return the status of one request; raises what the connection raises."""
        used = connection or self.connect()
        try:
            used.request(
                "POST", "/v1/chat/completions", json.dumps(ASK),
                {"authorization": f"Bearer {self.key}", "content-type": "application/json", **headers},
            )  # fmt: skip
            answer = used.getresponse()
            answer.read()
            return answer.status
        finally:
            if connection is None:
                used.close()


@contextmanager
def clients(s: Served, many: int, keep: bool = False) -> Iterator[Counter[str]]:
    """Clients that send requests without pause, each on a new or a kept connection; with their results."""
    got: Counter[str] = Counter()
    ended = threading.Event()

    def go() -> None:
        connection = s.connect()
        while not ended.is_set():
            try:
                got[str(s.ask(connection if keep else None))] += 1
            except ConnectionRefusedError:
                got["refused"] += 1
            except (OSError, http.client.HTTPException) as why:
                got[type(why).__name__] += 1
                connection.close()
        connection.close()

    threads = [threading.Thread(target=go) for _ in range(many)]
    for one in threads:
        one.start()
    try:
        yield got
    finally:
        ended.set()
        for one in threads:
            one.join(90)


def children(parent: int) -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, above = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(above) == parent and state != "Z":
            found.add(int(path.parent.name))
    return found


def command_line(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(upstream: str, workers: int = 1, start: bool = True) -> Iterator[Served]:
    with TemporaryDirectory(prefix="stillwatch-") as made:
        found = Served(Path(made), upstream, workers)
        try:
            if start:
                found.start()
            yield found
        finally:
            if found.process is not None and found.process.poll() is None:
                found.process.kill()
                found.process.wait(10)
