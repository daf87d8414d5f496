"""A gateway for tests: real processes in their own folder, in front of a real upstream.

    with gateway(up.url) as g:
        httpx.get(g.url + "/v1/models", headers=g.auth)
        g.rows()  # what was captured, whole

The supervisor is not used: `tests/test_gateway_supervise.py` tests it.
"""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.gateway.child import ENTRIES
from stillwatch.gateway.control.in_force import behind
from stillwatch.gateway.control.owners import Owners
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.counters import read_all
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.record import segments
from stillwatch.gateway.record.recorder import Recorder
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings
from stillwatch.terms.load import default_text

UPSTREAM_KEY = "sk-upstream-canary-0123456789"
PATIENCE_S = 60.0  # for a loaded machine; elsewhere the wait is much shorter
vars(httpx._config.DEFAULT_TIMEOUT_CONFIG).update(httpx.Timeout(PATIENCE_S).as_dict())  # it is 5 s

# Below the ports that the system gives to clients: one of those may be in use when a gateway starts or comes
# back. Each of pytest's workers has its own, so that two tests at once never have the same.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
_PORTS = random.sample(range(12_000 + 5_000 * _WORKER, 17_000 + 5_000 * _WORKER), 5_000)


def free_port() -> int:
    """Return a free port, a new one at each call: a gateway refuses one port for two uses."""
    while True:
        port = _PORTS.pop()
        with suppress(OSError), socket.socket() as found:
            found.bind(("", port))
            return port


def is_listening(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def until(done: Callable[[], Any], seconds: float = PATIENCE_S, what: str = "it") -> Any:
    """Wait until something is true, and return it. A shorter time is for what must be true by then."""
    end = time.monotonic() + seconds
    while True:
        found = done()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {seconds:.0f} s")
        time.sleep(0.02)


@dataclass(frozen=True)
class Reply:
    """The answer of a server on this machine; headers by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body or b"null")


def request(
    port: int, method: str, target: str, body: Any = None, headers: Mapping[str, str] = MappingProxyType({})
) -> Reply:
    """Send one request over its own connection. A body other than bytes is sent as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    kind = {} if not data else {"content-type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, target, data, kind | dict(headers))
        reply = connection.getresponse()
        return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())


class Running:
    """A running gateway."""

    def __init__(self, folder: Folder, port: int, key: str) -> None:
        self.folder, self.port, self.key = folder, port, key
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def issue(self, account: str) -> str:
        """Issue a key to another account, and wait until the workers know it."""
        with ControlState(self.folder.state, self.folder.secret()) as state:
            key = state.issue(account, now_us=time.time_ns() // 1000)
            until(lambda: not behind(self.folder, state.version()), what=f"the key of {account}")
        return key

    def own(self, *names: str, account: str = "acct_test") -> None:
        """Assign stored objects to an account, as an administrator does."""
        with Owners(self.folder.objects) as owners:
            for name in names:
                owners.assign(name, account, time.time_ns() // 1000)

    def start(self, name: str, **env: str) -> None:
        """Start one process (`worker-0`, `recorder`)."""
        kind, _, number = name.partition("-")
        words = [sys.executable, "-m", f"stillwatch.gateway.{ENTRIES[kind]}", str(self.folder.path)]
        settings = {**os.environ, UPSTREAM_KEY_VARIABLE: UPSTREAM_KEY, **env}
        with open(self.folder.run / f"{name}.err", "ab") as err:
            self.processes[name] = subprocess.Popen(
                [*words, number] if number else words, env=settings, stderr=err
            )
        if kind == "worker":
            until(self.listens, what=f"{name} listening")

    def listens(self) -> bool:
        for name, process in self.processes.items():
            if process.poll() is not None and process.returncode:
                raise AssertionError(f"{name} ended: {self.stderr(name)}")
        return is_listening(self.port)

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(40)

    def stderr(self, name: str) -> str:
        return (self.folder.run / f"{name}.err").read_text()

    def counters(self) -> dict[str, int]:
        return read_all(self.folder.run)

    def table(self) -> pa.Table:
        """Return every row in the segments now."""
        found = [pq.read_table(s.path) for s in segments.all_segments(self.folder)]
        return pa.concat_tables(found) if found else pa.table({})

    def rows(self, least: int = 0) -> list[dict[str, Any]]:
        """Return the captured rows in order of arrival, once there are at least so many."""
        until(lambda: self.table().num_rows >= least, what=f"{least} rows")
        table = self.table()
        return sorted(table.to_pylist(), key=lambda row: (row["worker"], row["sequence"])) if table else []

    def settle(self) -> list[dict[str, Any]]:
        """Stop everything in order, so that all captured rows are written; return them."""
        for name in sorted(self.processes, reverse=True):  # workers before the recorder
            self.stop(name)
        # in this process: one that has just started may miss its SIGTERM
        recorder = Recorder(self.folder, lambda: datetime.now(UTC))
        while recorder.step(flush=True):
            pass
        return self.rows()


@contextmanager
def gateway(
    upstream: str,
    terms: str = "",
    *,
    path: Path | None = None,
    workers: int = 1,
    recorder: bool = True,
    start: bool = True,
    account: str = "acct_test",
    **settings: Any,
) -> Iterator[Running]:
    """Run a gateway. `terms` is appended to the default policy, or replaces it if it has a version."""
    with TemporaryDirectory(prefix="stillwatch-") as made:
        folder = open_folder(path or Path(made) / "folder")
        text = terms if "version" in terms else default_text() + "\n" + terms
        folder.terms.write_text(text, encoding="utf-8")
        port = free_port()
        GatewaySettings(
            upstream=upstream, port=port, admin_port=free_port(), workers=workers, **settings
        ).save(folder.settings)
        with ControlState(folder.state, folder.secret()) as state:
            key = state.issue(account, now_us=time.time_ns() // 1000)
        running = Running(folder, port, key)
        try:
            for number in range(workers if start else 0):
                running.start(f"worker-{number}")
            if recorder and start:
                running.start("recorder")
            yield running
        finally:
            for process in running.processes.values():
                process.kill()
                process.wait(10)
