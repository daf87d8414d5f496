"""The supervisor: a process that dies or hangs is restarted, serving last, and all end in order."""

import errno
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway_world import free_port, until
from stillwatch.gateway import heartbeat, supervise
from stillwatch.gateway.folder import Folder, FolderError, open_folder
from stillwatch.gateway.health import health
from stillwatch.gateway.instance import running_pid, sole_instance
from stillwatch.gateway.probe import bind, port_answers, upstream_trouble
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings, SettingsError
from stillwatch.gateway.supervise import Supervisor
from stillwatch.units import utc_us
from upstream import Upstream

CHILD = """
import json, os, signal, sys, time
name, folder, parent = sys.argv[1:]
def told(what): return os.path.exists(f"{folder}/{what}-{name}")
if told("deaf"): signal.signal(signal.SIGTERM, signal.SIG_IGN)
else: signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open(f"{folder}/ran-{name}", "a").write("key" if "STILLWATCH_UPSTREAM_KEY" in os.environ else "bare")
if told("big"): held = b"x" * (300 << 20)
if told("die"): sys.exit(7)
at = 0
while True:
    at += 1
    path = f"{folder}/run/{name}.json"
    if told("hang"): open(f"{folder}/silent-{name}", "w").close()
    else:
        open(path + ".new", "w").write(json.dumps({"pid": os.getpid(), "at": at}))
        os.replace(path + ".new", path)
    time.sleep(0.02)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "serve")


class Watch:
    """A supervisor of fake processes whose clock the test sets."""

    def __init__(self, folder: Folder, workers: int = 2, **more: Any) -> None:
        script = folder.path / "child.py"
        script.write_text(CHILD)
        self.folder, self.said, self.now_s = folder, [], 1_000.0
        settings = GatewaySettings(
            "http://127.0.0.1:9", port=free_port(), workers=workers, detector_memory_mb=256
        )
        environment = {**os.environ, UPSTREAM_KEY_VARIABLE: "canary"}
        command = (sys.executable, "-IS", str(script))
        self.it = Supervisor(folder, settings, self.said.append, environment, command=command, **more)

    def child(self, name: str) -> supervise.Child:
        return next(c for c in self.it.children if c.name == name)

    def pid(self, name: str) -> int:
        process = self.child(name).process
        assert process is not None
        return process.pid

    def silence(self, name: str) -> None:
        """Let a child hang; its last heartbeat is seen at the present time."""
        (self.folder.path / f"hang-{name}").touch()
        until((self.folder.path / f"silent-{name}").exists, what=f"{name} silent")
        self.beating(name)

    def step(self, forward_s: float = 0.0) -> None:
        self.now_s += forward_s
        self.it.step(self.now_s, utc_us())

    def beating(self, *but: str) -> None:
        """Wait until the heartbeat of each child except those named was seen at the present time."""
        wanted = [c for c in self.it.children if c.name not in but]

        def seen() -> bool:
            self.step()
            return all(c.beat_s == self.now_s for c in wanted)

        until(seen, what="heartbeats")

    def pass_s(self, seconds: float, *silent: str) -> None:
        """Let time pass while all children except those named continue their heartbeats."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s = min(self.now_s + 7, until_s)
            self.beating(*silent)

    def until_restarted(self, name: str, times: int = 1) -> None:
        def ended() -> bool:
            self.step()
            return self.child(name).restarts >= times

        until(ended, what=f"{name} to end")
        self.until_due(name)

    def until_due(self, name: str) -> None:
        """Let time pass until a child that ended is due, and restart it."""
        start_at_s = self.child(name).start_at_s
        self.pass_s(start_at_s - self.now_s, name)
        self.now_s = max(self.now_s, start_at_s)  # rounding
        self.step()


@contextmanager
def watching(folder: Folder, **more: Any) -> Iterator[Watch]:
    watch = Watch(folder, **more)
    try:
        watch.step()
        yield watch
    finally:
        for child in watch.it.children:
            if child.process is not None:
                child.process.kill()
                child.process.wait()


def test_what_dies_is_started_again_and_the_others_stay(folder: Folder) -> None:
    with watching(folder) as watch:
        watch.beating()
        others = {c.name: watch.pid(c.name) for c in watch.it.children if c.name != "worker-1"}
        os.kill(watch.pid("worker-1"), signal.SIGKILL)
        watch.until_restarted("worker-1")
        assert watch.said == ["worker-1: killed by SIGKILL; starts again at once"]
        assert {name: watch.pid(name) for name in others} == others


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "waits"),
    [
        ("detector", [6.4, 12.8, 25.6, 30.0, 30.0]),
        ("worker-0", [1.6, 3.2, 5.0, 5.0]),  # serving waits for it
    ],
)
def test_who_dies_again_and_again_waits_longer_each_time(
    folder: Folder, name: str, waits: list[float]
) -> None:
    (folder.path / f"die-{name}").touch()
    with watching(folder, workers=1) as watch:
        watch.child(name).delay_s = waits[0]  # it died before

        def died() -> bool:
            watch.until_due(name)
            return watch.child(name).restarts >= len(waits)

        until(died, what="so many deaths")
        said = [f"{name}: ended with code 7; starts again in {wait} s" for wait in waits]
        assert watch.said[: len(waits)] == said
        (folder.path / f"die-{name}").unlink()

        def gives_a_sign() -> bool:
            watch.until_due(name)
            return bool(watch.child(name).beat)

        until(gives_a_sign, what="one that lives")
        watch.pass_s(supervise.STEADY_S)
        os.kill(watch.pid(name), signal.SIGKILL)
        watch.until_restarted(name, watch.child(name).restarts + 1)
        soon = "at once" if name == "worker-0" else "in 0.2 s"
        assert watch.said[-1] == f"{name}: killed by SIGKILL; starts again {soon}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recorder", "detector"])
def test_who_hangs_is_ended_and_started_again(folder: Folder, name: str) -> None:
    with watching(folder) as watch:
        watch.beating()
        watch.silence(name)
        watch.pass_s(supervise.STUCK_S - 1, name)
        assert watch.said == []
        watch.pass_s(2, name)
        watch.until_restarted(name)
        assert watch.said[0] == f"{name}: gave no sign for 15 s; it is ended"


@pytest.mark.slow
def test_a_heartbeat_counts_by_moving_whatever_its_clock_says(folder: Folder) -> None:
    with watching(folder) as watch:  # these children's clocks stand near 1970
        watch.beating()
        watch.pass_s(3 * supervise.STUCK_S)
        assert watch.said == []


@pytest.mark.slow
def test_who_stood_still_together_with_the_supervisor_is_not_ended(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that was paused: no process has had time to report yet."""
    pause_s = 0.0
    monkeypatch.setattr(supervise, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + pause_s))
    watch = Watch(folder)
    running = threading.Thread(target=watch.it.run)
    running.start()
    try:
        until(lambda: all(c.beat_s is not None for c in watch.it.children), what="heartbeats")
        pids = [watch.pid(c.name) for c in watch.it.children]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        pause_s = 2 * supervise.STUCK_S
        before = {c.name: c.beat for c in watch.it.children}
        path = folder.run / "supervisor.json"
        for _ in range(2):  # it has looked since then
            last = heartbeat.read(path)["at"]
            until(lambda last=last: heartbeat.read(path)["at"] != last, what="the supervisor")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        until(lambda: all(c.beat != before[c.name] for c in watch.it.children), what="heartbeats")
        assert [c.restarts for c in watch.it.children] == [0] * len(pids)
        assert pids == [watch.pid(c.name) for c in watch.it.children]
    finally:
        watch.it.stop()
        running.join(60)


def test_a_silent_worker_lives_while_the_port_answers_and_dies_when_not(folder: Folder) -> None:
    with watching(folder, workers=1) as watch:
        watch.beating()
        watch.silence("worker-0")
        door = bind("127.0.0.1", watch.it.settings.port, "port")
        door.listen(64)
        with answering(door):
            watch.pass_s(supervise.STUCK_S + 1, "worker-0")
            for _ in range(30):  # it is asked repeatedly, and answers
                watch.step()
                time.sleep(0.02)
            assert watch.child("worker-0").lives()
        watch.until_restarted("worker-0")
        assert "gave no sign for 15 s and the port does not answer; it is ended" in watch.said[0]


def test_nobody_is_ended_because_the_supervisor_cannot_look(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free descriptor it can read no heartbeat and test no port. That proves nothing."""

    def no_descriptor(*_: object, **__: object) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    with watching(folder, workers=1) as watch:
        watch.beating()
        pids = [watch.pid(c.name) for c in watch.it.children]
        with monkeypatch.context() as short:
            short.setattr(Path, "read_bytes", no_descriptor)
            short.setattr(selectors, "DefaultSelector", no_descriptor)
            assert port_answers("127.0.0.1", watch.it.settings.port, 2)
            for _ in range(3):
                watch.step(supervise.STUCK_S + 1)
        watch.step()
        assert pids == [watch.pid(c.name) for c in watch.it.children]
        assert watch.said == []


@contextmanager
def answering(door: socket.socket) -> Iterator[None]:
    """A server that answers with HTTP on a port."""
    door.settimeout(0.05)
    stop = threading.Event()

    def answer() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                one, _ = door.accept()
                with one:
                    one.recv(1000)
                    one.sendall(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        door.close()


@pytest.mark.slow
def test_a_detector_that_takes_too_much_memory_is_ended(folder: Folder) -> None:
    (folder.path / "big-detector").touch()
    with watching(folder) as watch:
        watch.until_restarted("detector")
        assert "MiB of memory, more than 256; it is ended" in watch.said[0]


def test_only_workers_know_the_upstream_s_key(folder: Folder) -> None:
    with watching(folder, workers=1) as watch:
        watch.beating()
        ran = {c.name: (folder.path / f"ran-{c.name}").read_text() for c in watch.it.children}
        assert ran == {"worker-0": "key", "recorder": "bare", "detector": "bare"}


@pytest.mark.slow
def test_they_end_in_order_and_who_does_not_is_killed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "DRAIN_S", 5.0)
    (folder.path / "deaf-worker-1").touch()
    with watching(folder) as watch:
        watch.beating()
        watch.it.drain()
        assert watch.said == [
            "stopping: open streams have 30 s",
            "worker-1: did not end in time; it is killed",
        ]
        codes = {c.name: c.process.returncode for c in watch.it.children if c.process}
        assert codes == {"worker-0": 0, "worker-1": -signal.SIGKILL, "recorder": 0, "detector": 0}


@pytest.mark.slow
def test_a_second_word_to_stop_hurries(folder: Folder) -> None:
    (folder.path / "deaf-worker-0").touch()
    with watching(folder, workers=1) as watch:
        watch.beating()
        timer = threading.Timer(0.5, watch.it.stop)
        timer.start()
        watch.it.drain()
        timer.join()
        assert "worker-0: did not end in time; it is killed" in watch.said


def test_its_heartbeat_names_its_children_and_readiness_is_told_once(folder: Folder) -> None:
    told: list[str] = []
    with watching(folder, ready=lambda: told.append("ready")) as watch:
        watch.beating()
        watch.step(2)
        watch.step(2)
        says = heartbeat.read(folder.run / "supervisor.json")
        assert set(says["children"]) == {"worker-0", "worker-1", "recorder", "detector"}
        assert told == ["ready"]


# --- ports, locks, health ---


def test_a_port_for_a_test_is_none_that_a_client_gets() -> None:
    """Else another connection has it when a gateway starts, or while it is restarted."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    assert max(ports) < first


def test_a_port_that_is_taken_is_named(folder: Folder) -> None:
    with bind("127.0.0.1", 0, "port") as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"127.0.0.1:{port} \(port\): another process listens there"):
            bind("127.0.0.1", port, "port")
        assert not port_answers("127.0.0.1", port, 2, patience_s=0.3)  # it listens and does not answer
    assert not port_answers("127.0.0.1", port, 2, patience_s=0.3)
    assert upstream_trouble(f"http://127.0.0.1:{port}") is not None


def test_a_folder_is_served_once(folder: Folder) -> None:
    assert running_pid(folder) is None
    with (
        sole_instance(folder),
        pytest.raises(FolderError, match=f"is served already, by process {os.getpid()}"),
        sole_instance(folder),
    ):
        pass
    assert running_pid(folder) is None
    with sole_instance(folder):
        pass


def test_settings_outlive_a_write_and_refuse_a_slip_of_the_pen(folder: Folder) -> None:
    settings = GatewaySettings("https://x/prefix", workers=3, admin_names=("gate.internal",))
    settings.save(folder.settings)
    assert GatewaySettings.load(folder.settings) == settings
    for text, told in (
        ('{"upstream": "http://x", "wrkers": 2}', "wrkers: unknown key; did you mean `workers`"),
        ('{"upstream": "http://x", "workers": "2"}', "workers: '2' is text; give a whole number"),
        ('{"workers": 2}', "`upstream` is missing"),
        ('{"upstream": "http://a..example"}', "label empty or too long"),
        ("[]", "holds no JSON object"),
        ("{", "not JSON"),
    ):
        folder.settings.write_text(text)
        with pytest.raises(SettingsError, match=told):
            GatewaySettings.load(folder.settings)


def _beat(folder: Folder, name: str, now_us: int, **says: Any) -> None:
    heartbeat.beat(folder.run / f"{name}.json", now_us, **says)


NOW = 1_795_600_000_000_000
FINE = {"worker-0": {"terms_version": 1}, "recorder": {"lag_s": 0.1}, "detector": {"lag_s": 1.0}}
CHILDREN = {"children": {"worker-0": {"pid": 1, "restarts": 0, "ended": ""}}}


@pytest.mark.parametrize(
    ("change", "overall", "part", "told"),
    [
        ({}, "ok", "workers", "1 of 1 serve"),
        ({"worker-0": None}, "failing", "workers", "none of 1 gives a sign that it serves"),
        ({"worker-0": {"capture": "disk full"}}, "degraded", "capture", "not written down: disk full"),
        ({"worker-0": {"terms_error": "terms.toml:3: bad"}}, "degraded", "terms", "terms.toml:3: bad"),
        ({"worker-0": {"tables_error": "corrupt"}}, "degraded", "standings", "the last good ones stay"),
        ({"recorder": None}, "degraded", "recorder", "exchanges wait in the log"),
        ({"detector": None}, "degraded", "detector", "gives no sign; serving goes on"),
        ({"detector": {"lag_s": 300}}, "degraded", "detector", "is 300 s behind"),
        ({"detector": {"error": "no room"}}, "degraded", "detector", "no room; serving goes on"),
        ({"supervisor": None}, "degraded", "supervisor", "not started again"),
        ({"supervisor": {"enforcer": {"errors": {"ladder": "x"}}}}, "degraded", "standings", "ladder: x"),
    ],
)
def test_health_says_which_part_is_wrong(
    folder: Folder, change: dict[str, Any], overall: str, part: str, told: str
) -> None:
    for name, says in {**FINE, "supervisor": CHILDREN, **change}.items():
        if says is not None:
            _beat(folder, name, NOW, **says)
    found = health(folder, GatewaySettings("http://x"), NOW)
    assert found.status == overall
    assert [(p.name, told in p.text) for p in found.parts if p.name == part] == [(part, True)]


def test_a_gap_of_the_last_hour_degrades_and_an_old_one_does_not(folder: Folder) -> None:
    for name, says in {**FINE, "supervisor": CHILDREN}.items():
        _beat(folder, name, NOW, **says)
    gap = {"worker": 0, "from_us": NOW - 10, "until_us": NOW, "exchanges": 3, "reason": "disk full"}
    folder.gaps.write_text(json.dumps(gap) + "\n{torn", encoding="utf-8")
    settings = GatewaySettings("http://x")
    assert health(folder, settings, NOW + 1).status == "degraded"
    for name, says in {**FINE, "supervisor": CHILDREN}.items():
        _beat(folder, name, NOW + 4_000_000_000, **says)
    found = health(folder, settings, NOW + 4_000_000_000)
    assert found.status == "ok"
    assert any("3 exchanges, disk full" in part.text for part in found.parts)


def test_capture_that_must_not_fail_fails_the_gateway(folder: Folder) -> None:
    for name, says in {**FINE, "supervisor": CHILDREN, "worker-0": {"capture": "disk full"}}.items():
        _beat(folder, name, NOW, **says)
    assert health(folder, GatewaySettings("http://x"), NOW, refuses=True).status == "failing"


# --- the complete gateway ---


def _children() -> set[int]:
    """Return the running child processes of any gateway."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"stillwatch.gateway.child" in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def _health(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return dict(json.load(answer))
    except (OSError, ValueError):
        return {"status": "none", "parts": []}


@pytest.mark.slow
def test_serve_from_start_to_end(up: Upstream, folder: Folder) -> None:
    port, admin_port = free_port(), free_port()
    words = ["serve", "--folder", str(folder.path), "--upstream", up.url, "--workers", "2"]
    words += ["--port", str(port), "--admin-port", str(admin_port)]
    command = [sys.executable, "-c", "from stillwatch.cli.main import run; run()", *words]
    environment = {**os.environ, UPSTREAM_KEY_VARIABLE: "sk-upstream-canary"}

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def mine() -> set[int]:
        says = heartbeat.read(folder.run / "supervisor.json").get("children", {})
        return {child["pid"] for child in says.values() if child["pid"]}

    with begin() as first:
        until(lambda: _health(admin_port)["status"] == "ok", what="health")
        children = until(lambda: len(mine()) == 4 and mine(), what="four children")
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 2
        assert f"is served already, by process {first.pid}" in refused.stderr
        first.send_signal(signal.SIGHUP)  # changes nothing
        detector = heartbeat.read(folder.run / "detector.json")["pid"]
        os.kill(detector, signal.SIGKILL)
        until(lambda: len(mine()) == 4 and detector not in mine(), what="another detector")
        children = mine()
        first.kill()
        until(lambda: not children & _children(), what="the children to end with their parent")
        first.communicate()
    with begin() as second:
        until(lambda: _health(admin_port)["status"] == "ok", what="health")
        second.terminate()
        out, err = second.communicate(timeout=60)
    assert second.returncode == 0
    assert f"http://127.0.0.1:{port}/v1" in out
    assert "sw-admin-" not in out  # the first one showed the token, once
    assert "Traceback" not in err
    written = [path for path in folder.path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"sk-upstream-canary" in path.read_bytes()]
