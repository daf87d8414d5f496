"""The attacked gateway: one `stillwatch serve`, started as by a user, with the run's clock.

It starts the gateway, waits until its processes have done what is due, and reads their files.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.gateway import clock, heartbeat
from stillwatch.gateway.control.actions import standings
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.latest import HANDOVER, Findings, FindingsNotice
from stillwatch.gateway.record.segments import all_segments
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE
from stillwatch.range.live import LiveError
from stillwatch.terms import EnforcementStatus
from stillwatch.units import utc_us

SETTLE_US = 6_000_000  # from an hour's end to its evaluation: the detector's own delay, and a margin
MOVE_US = 100_000  # by which the clock is advanced, to recognise a step that began since
PATIENCE_S = 120.0
LOOK_S = 0.01
RUN = (
    "import sys; from stillwatch.gateway.child import tie_to_parent\n"
    "tie_to_parent(int(sys.argv.pop(1)), 'serve')\n"
    "from stillwatch.cli.main import run; run()"
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class RangeGateway:
    """One gateway of a run."""

    path: Path
    upstream: str
    hand: memoryview
    port: int = 0
    halt: threading.Event = field(default_factory=threading.Event)
    _process: subprocess.Popen[bytes] | None = None
    _handed: tuple[int, int] = (0, 0)
    _revision: int = -1
    _findings: Findings | None = field(default=None, repr=False)

    @property
    def folder(self) -> Folder:
        return Folder(self.path / "served")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def now_us(self) -> int:
        return int(self.hand[0])

    # --- start and stop ---

    def start(self, terms: str) -> None:
        """Serve under these terms; return when it answers."""
        file = self.path / "terms.toml"
        file.write_text(terms, encoding="utf-8")
        self.port = free_port()
        words = [
            "serve",
            "--folder",
            str(self.folder.path),
            "--upstream",
            self.upstream,
            "--terms",
            str(file),
        ]
        words += ["--port", str(self.port), "--admin-port", str(free_port())]
        words += ["--short-answers", "0"]  # the toy teacher's worked solutions have about twenty tokens
        env = {
            **os.environ,
            clock.VARIABLE: str(self.path / "clock"),
            UPSTREAM_KEY_VARIABLE: "range",
            "OMP_NUM_THREADS": "1",
        }
        with open(self.path / "serve.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(os.getpid()), *words], env=env, stdout=log, stderr=log
            )
        self._wait(self._serves, "the gateway serves")
        self._findings = Findings(self.folder)

    def _serves(self) -> bool:
        with socket.socket() as listener:
            listens = listener.connect_ex(("127.0.0.1", self.port)) == 0
        return listens and bool(self._says("detector")) and bool(self._says("supervisor"))

    def stop(self) -> None:
        """Stop it in good order, so that everything captured is written."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        self._process = None

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not done():
            self.go_on()
            if self._process is not None and self._process.poll() is not None:
                raise LiveError(f"the gateway ended ({self._process.returncode}): {self._last_words()}")
            if time.monotonic() > until:
                raise LiveError(
                    f"waited {PATIENCE_S:.0f} s until {what}; {self.path / 'serve.log'} may say why"
                )
            time.sleep(LOOK_S)

    def _last_words(self) -> str:
        try:
            return (self.path / "serve.log").read_text(errors="replace").strip().splitlines()[-1]
        except (OSError, IndexError):
            return f"see {self.path / 'serve.log'}"

    def go_on(self) -> None:
        """Raises: LiveError if the run is to stop."""
        if self.halt.is_set():
            raise LiveError("the run was ended")

    # --- event time ---

    def settle(self, at_us: int) -> None:
        """Set the time, and wait until the gateway has done all that is due by then.

        Every row is in a segment, the detector has run since, its results have gone through the ladder, and
        the workers know the enforcement statuses.
        """
        self.hand[0] = max(self.now_us, at_us + SETTLE_US)
        since = utc_us()
        self._wait(lambda: self._all_written(since), "all rows are written")
        self.hand[2] += 1
        looks = int(self.hand[2])
        self._wait(lambda: int(self._says("detector").get("looks") or 0) >= looks, "the detector has looked")
        handed = self._sign()
        if handed != self._handed:
            self._handed = handed
            self.hand[0] += MOVE_US
            now = self.now_us
            self._wait(
                lambda: int((self._says("supervisor").get("enforcer") or {}).get("at") or 0) >= now,
                "the ladder is climbed",
            )
        with ControlState(self.folder.state) as state:
            revision = state.revision()
        if revision != self._revision:
            self._revision = revision
            self._wait(
                lambda: int(self._says("worker-0").get("tables_revision") or 0) >= revision,
                "the worker knows the standings",
            )

    def _all_written(self, since_us: int) -> bool:
        """Return whether the recorder has reported since then that nothing is open and nothing waits.

        Its count of rows is not used: under load it may have been restarted meanwhile.
        """
        self.hand[1] += 1  # repeatedly: an outcome may come a moment after its answer
        state = self._says("recorder")
        fresh = int(state.get("at") or 0) > since_us and not state.get("error")
        return fresh and not (state.get("files_behind") or state.get("open") or state.get("lag_s"))

    def _says(self, name: str) -> dict[str, Any]:
        return heartbeat.read(self.folder.run / f"{name}.json")

    def _sign(self) -> tuple[int, int]:
        try:
            file = (self.folder.detector / HANDOVER).stat()
        except FileNotFoundError:
            return 0, 0
        return file.st_ino, file.st_mtime_ns

    # --- its state ---

    def issue(self, accounts: Iterable[str]) -> dict[str, str]:
        """Issue each account a key, as `stillwatch key issue` does, and wait until it works."""
        with ControlState(self.folder.state, self.folder.secret()) as state:
            keys = {name: state.issue(name, now_us=self.now_us, who="range") for name in accounts}
            revision = state.revision()
        if self._process is not None:
            self._wait(
                lambda: int(self._says("worker-0").get("tables_revision") or 0) >= revision, "the keys count"
            )
        return keys

    def standings(self) -> dict[str, EnforcementStatus]:
        """Return the enforcement status of every account that has one."""
        statuses: dict[str, EnforcementStatus] = {}
        with ControlState(self.folder.state) as state:
            while True:
                page = standings(state, after=max(statuses, default=""))
                statuses |= page
                if not page:
                    return statuses

    def current_findings(self) -> FindingsNotice:
        """Return the latest findings of the detector."""
        assert self._findings is not None
        return self._findings.current()

    def rows(self) -> pa.Table:
        """Return all recorded rows: account, time, outcome, status, output_tokens."""
        names = ["account", "time", "outcome", "status", "output_tokens", "rule"]
        parts = [pq.read_table(s.path, columns=names) for s in all_segments(self.folder)]
        return pa.concat_tables(parts) if parts else pa.table({name: [] for name in names})


def new_gateway(path: Path, upstream: str, at_us: int, secret: bytes) -> RangeGateway:
    """Return a gateway without history. Its secret comes from the run's seed."""
    path.mkdir(parents=True, exist_ok=True)
    served = path / "served"
    served.mkdir(exist_ok=True, mode=0o700)
    if not (served / "secret").exists():
        (served / "secret").write_bytes(secret)
        os.chmod(served / "secret", 0o600)
    open_folder(served)
    return RangeGateway(path, upstream, clock.write(path / "clock", at_us))


def copy_gateway(gateway: RangeGateway, path: Path, upstream: str) -> RangeGateway:
    """Return the same gateway with the same history, in another place. It must not be running meanwhile."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    shutil.copytree(gateway.folder.path, path / "served", symlinks=True)
    return RangeGateway(path, upstream, clock.write(path / "clock", gateway.now_us))
