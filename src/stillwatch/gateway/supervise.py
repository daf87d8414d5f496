"""Starts the gateway's processes, restarts them when they end or hang, and ends them in order.

It monitors only whether a process lives and when it last reported. Serving has priority: a worker is never
ended for missing heartbeats alone, only if the port it shares does not answer either.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from stillwatch.cases.exports import TARGETS
from stillwatch.errors import StillwatchError
from stillwatch.gateway import clock, heartbeat, notify
from stillwatch.gateway.fleet.store import CREDENTIALS, is_store
from stillwatch.gateway.fleet.store import PROCESS as STORE
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.handover import WAITING, InheritedFiles
from stillwatch.gateway.probe import DOOR_VARIABLE, port_answers
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings
from stillwatch.gateway.template import CALLS_VARIABLE, Calls, ForkedChild
from stillwatch.gateway.wake import Wake
from stillwatch.units import utc_us

STUCK_S = 15.0  # without a heartbeat
FIRST_BEAT_S = 90.0  # imports on a busy machine
STEADY_S = 60.0  # after that long, the next restart is soon again
WORKER_STEADY_S = 1.0  # and immediate: it served, a fork costs little, and clients wait
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 30.0
WORKER_LONGEST_DELAY_S = 5.0  # clients wait for it
AT_ONCE_S = 0.0  # a worker's first restart: clients wait at its socket
DRAIN_S = 32.0  # a worker has 30 s for its streams
TEMPLATE_S = 30.0  # how long a worker waits for the template to load its code
CLOSE_S = 20.0  # recorder and detector finish their work
TICK_S = 0.25
LATE_S = 5.0  # since this process's last check, due each tick: the process was suspended


class RunningTime:
    """Monotonic seconds, not counting those in which this process was suspended: its children may have been
    suspended with it, and get time to report before they are judged."""

    def __init__(self) -> None:
        self._last_s, self._stood_s = time.monotonic(), 0.0

    def __call__(self) -> float:
        now_s = time.monotonic()
        if now_s - self._last_s > LATE_S:
            self._stood_s += now_s - self._last_s
        self._last_s = now_s
        return now_s - self._stood_s


@dataclass
class Child:
    """One process that should run, and its history. Times are monotonic seconds."""

    name: str
    longest_delay_s: float = LONGEST_DELAY_S
    process: subprocess.Popen[bytes] | ForkedChild | None = None
    started_s: float = 0.0
    start_at_s: float = 0.0
    delay_s: float = FIRST_DELAY_S
    restarts: int = 0
    ended: str = ""  # how it ended last
    beat: str = ""  # time in the last heartbeat, as text, to see whether it changes
    beat_s: float | None = None  # when it last changed

    @property
    def is_worker(self) -> bool:
        return self.name.startswith("worker-")

    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def silent_s(self, now_s: float) -> float:
        """Return the seconds beyond the limit for its age: above 0 it hangs."""
        if self.beat_s is None:
            return now_s - self.started_s - FIRST_BEAT_S
        return now_s - self.beat_s - STUCK_S


@dataclass
class Supervisor:
    """The children of one folder. `step` does what is due; `run` repeats it until stopped."""

    folder: Folder
    settings: GatewaySettings
    tell: Callable[[str], None]
    environment: Mapping[str, str]
    children: list[Child] = field(default_factory=list)
    extra: Callable[[], dict[str, object]] = dict  # further fields of the heartbeat
    ready: Callable[[], None] | None = None  # called once, when every worker has reported
    doors: Mapping[str, Callable[[], socket.socket]] = field(default_factory=dict)  # listening sockets
    first: int = 0  # number of the first worker
    retiring: list[Child] = field(default_factory=list)  # workers of the previous gateway, until ours serve
    gone: Callable[[str], None] | None = None  # called with the name of each of these that has ended
    rehearse: Callable[[], subprocess.Popen[bytes]] | None = None  # exits with 0 if another can follow
    may_run: Callable[[str], bool] = lambda name: True  # in a fleet only one gateway runs the detector
    template: Child | None = None  # process that forks workers; None: each is started directly
    command: tuple[str, ...] = (sys.executable, "-m", "stillwatch.gateway.child")  # NAME FOLDER PARENT follow
    _open: dict[str, socket.socket] = field(default_factory=dict)
    _calls: Calls | None = None
    _wake: Wake = field(default_factory=Wake)
    _stops: int = 0
    _asked: bool = False  # to make way for another gateway
    _rehearsal: subprocess.Popen[bytes] | None = None
    _retired_s: float | None = None  # when the previous workers were told to end
    _beaten_s: float = 0.0
    _trouble: str | None = None
    _probe: Future[bool] | None = None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "probe"))
    _now_s: RunningTime = field(default_factory=RunningTime)

    def __post_init__(self) -> None:
        workers = [
            Child(f"worker-{self.first + k}", WORKER_LONGEST_DELAY_S, delay_s=AT_ONCE_S)
            for k in range(self.settings.workers)
        ]
        hooks = [Child("hooks", WORKER_LONGEST_DELAY_S)] if self.settings.hooks_port is not None else []
        alerts = [Child("alerts")] if (self.folder.path / TARGETS).exists() else []
        store = [Child(STORE)] if is_store(self.settings.shared) else []
        self.children = self.children or [
            *workers, *hooks, Child("recorder"), *store, Child("detector"), *alerts
        ]  # fmt: skip

    # --- signals ---

    def catch_signals(self) -> None:
        """SIGTERM and SIGINT: finish; a second one: at once. SIGUSR2: make way for the installed version.

        SIGHUP changes nothing: changes of files are detected anyway.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        for number in (signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: self._wake.set())
        signal.signal(signal.SIGUSR2, lambda *_: self.make_way())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITING)

    def stop(self) -> None:
        self._stops += 1
        self._wake.set()

    def is_told_to_stop(self) -> bool:
        return self._stops > 0

    def make_way(self) -> None:
        self._asked = True
        self._wake.set()

    # --- the loop ---

    def run(self) -> InheritedFiles | None:
        """Keep the children running until stopped, then end them in order.

        Returns what the next gateway takes over if one is to follow: then the workers continue to serve.
        """
        left: InheritedFiles | None = None
        try:
            while not self._stops and left is None:
                self.step(self._now_s(), utc_us())
                if not self._may_follow():
                    self._wake.wait(TICK_S)
                    self._wake.clear()
                    continue
                left = self._leave()
            if left is None:
                self.drain()
            return left
        finally:
            if self._rehearsal is not None:  # it reads the folder, which may be removed now
                self._rehearsal.kill()
                self._rehearsal.wait(5.0)
            if left is None:
                self._end([*self._all(), *self.retiring], signal.SIGKILL, 5.0)
                self._close_doors()
            if self._calls is not None:
                self._calls.close()
            self._pool.shutdown(wait=False, cancel_futures=True)

    def step(self, now_s: float, now_us: int) -> None:
        """Check each child once and do what is due."""
        for child in self._all():
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, now_s)
            if not self.may_run(child.name):
                if child.process is not None:
                    self._kill(child, "another gateway runs it")
                continue
            if child.process is not None:
                self._look(child, now_s)
            elif now_s >= child.start_at_s and not (child.is_worker and self._template_loads(now_s)):
                self._start(child, now_s)
        if self.ready is not None and all(c.beat_s is not None for c in self.children if c.is_worker):
            self.ready()
            self.ready = None
            notify.ready()
        self._retire(now_s)
        if now_s - self._beaten_s >= clock.pause_s(1.0):
            self._beaten_s = now_s
            self._say(now_us)
            notify.alive()

    def _may_follow(self) -> bool:
        """Return whether another gateway is requested, and could start."""
        if self._rehearsal is None:
            if not self._asked or self.rehearse is None or self.ready is not None:
                return False
            if self.retiring:
                return False  # the previous workers end first: their numbers are taken
            self._asked = False
            self.tell("makes way: looks whether another gateway could start")
            try:
                self._rehearsal = self.rehearse()
            except OSError as why:  # no memory, or no free process: this one continues
                self.tell(f"does not make way: {why}; serves on")
                return False
        code = self._rehearsal.poll()
        if code is None:
            return False
        self._rehearsal = None
        if code:
            self.tell(
                f"does not make way: the check of what is installed now ended with code {code}; serves on"
            )
        return code == 0

    def _leave(self) -> InheritedFiles | None:
        """End all but the workers. Return what the next gateway takes over; None if none will follow."""
        notify.reloading()
        self.tell("makes way: the workers serve on")
        self._end([c for c in self._all() if not c.is_worker], signal.SIGTERM, CLOSE_S)
        if self._stops:
            return None
        workers = [(c.name, c.process.pid) for c in self.children if c.is_worker and c.process is not None]
        return InheritedFiles(tuple(self._open.values()), tuple(workers))

    def _retire(self, now_s: float) -> None:
        """End the previous gateway's workers as soon as ours serve; they finish their replies."""
        for child in [c for c in self.retiring if not c.lives()]:
            self.retiring.remove(child)
            if self.gone is not None:
                self.gone(child.name)
        if self.ready is not None or not self.retiring:
            return
        if self._retired_s is None:
            self._retired_s = now_s
        late = now_s - self._retired_s >= DRAIN_S
        if self._retired_s == now_s or late:
            for child in self.retiring:
                assert child.process is not None
                child.process.send_signal(signal.SIGKILL if late else signal.SIGTERM)

    def _all(self) -> list[Child]:
        return self.children if self.template is None else [self.template, *self.children]

    def _template_loads(self, now_s: float) -> bool:
        """Return whether the template is about to be ready to fork workers."""
        template = self.template
        return (
            template is not None
            and template.lives()
            and template.beat_s is None
            and now_s < template.started_s + TEMPLATE_S
        )

    def _fork_worker(self, child: Child) -> ForkedChild | None:
        """Return a worker from the template; None if it cannot fork one: then it is started directly."""
        if not child.is_worker or self.template is None or self._calls is None or not self.template.lives():
            return None
        worker = self._calls.worker(child.name, self._open.get(child.name))
        if worker is None:
            self._kill(self.template, "does not fork")
        return worker

    def _start(self, child: Child, now_s: float) -> None:
        environment = dict(self.environment)
        environment.pop(notify.SOCKET, None)  # only the supervisor notifies systemd
        if not child.is_worker and child is not self.template:
            environment.pop(UPSTREAM_KEY_VARIABLE, None)  # they do not need it
        for name in () if child.name == STORE else CREDENTIALS:
            environment.pop(name, None)  # of the object store: kept from processes that talk to clients
        try:
            door = self._door(child)
            inherited = [] if door is None else [door.fileno()]
            if door is not None:
                environment[DOOR_VARIABLE] = str(door.fileno())
            if child is self.template:
                inherited.append(self._new_calls().theirs.fileno())
                environment[CALLS_VARIABLE] = str(inherited[-1])
            child.process = self._fork_worker(child) or subprocess.Popen(
                [*self.command, child.name, str(self.folder.path), str(os.getpid())],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=inherited,
                start_new_session=True,  # Ctrl-C and a closed terminal reach only the supervisor
            )
            if child is self.template and self._calls is not None:
                self._calls.theirs.close()
        except (OSError, StillwatchError) as why:  # no memory, or no free process: the others continue
            self._later(child, now_s, f"could not be started: {why}")
            return
        child.started_s, child.beat, child.beat_s = now_s, "", None

    def _new_calls(self) -> Calls:
        if self._calls is not None:
            self._calls.close()
        self._calls = Calls()
        return self._calls

    def _note_end(self, child: Child, now_s: float) -> None:
        assert child.process is not None
        code = child.process.poll()
        assert code is not None
        child.process = None
        if now_s - child.started_s >= (WORKER_STEADY_S if child.is_worker else STEADY_S):
            child.delay_s = AT_ONCE_S if child.is_worker else FIRST_DELAY_S
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._later(child, now_s, how)

    def _later(self, child: Child, now_s: float, how: str) -> None:
        child.ended = how
        child.restarts += 1
        others = any(c.is_worker and c is not child and c.lives() for c in self.children)
        if child.delay_s > FIRST_DELAY_S and child.name in self._open and others:
            self._open.pop(child.name).close()  # it keeps ending: the others get its clients
        child.start_at_s = now_s + child.delay_s
        when = f"in {child.delay_s:.1f} s" if child.delay_s else "at once"
        self.tell(f"{child.name}: {how}; starts again {when}")
        child.delay_s = min(max(child.delay_s * 2, FIRST_DELAY_S), child.longest_delay_s)

    def _door(self, child: Child) -> socket.socket | None:
        """Return the socket of a process that listens. It outlives the process, so clients can wait there."""
        if child.name in self.doors and child.name not in self._open:
            self._open[child.name] = self.doors[child.name]()
        return self._open.get(child.name)

    def _close_doors(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _look(self, child: Child, now_s: float) -> None:
        assert child.process is not None
        try:
            says = heartbeat.read_if_possible(self.folder.run / f"{child.name}.json")
        except OSError:  # this process lacks descriptors or memory: not the child's fault
            child.beat_s = None if child.beat_s is None else now_s
            return
        if says.get("pid") == child.process.pid and str(says.get("at")) != child.beat:
            # Only a change counts: a clock that is set back or forward makes no process look dead.
            child.beat, child.beat_s = str(says.get("at")), now_s
        if child.name == "detector":
            held = heartbeat.held_bytes(child.process.pid)
            if held > self.settings.detector_memory_mb << 20:
                self._kill(
                    child, f"held {held >> 20} MiB of memory, more than {self.settings.detector_memory_mb}"
                )
                return
        if child.silent_s(now_s) <= 0:
            return
        if not child.is_worker:
            self._kill(child, f"gave no sign for {STUCK_S:.0f} s")
        elif self._port_is_dead():
            self._kill(child, f"gave no sign for {STUCK_S:.0f} s and the port does not answer")

    def _port_is_dead(self) -> bool:
        """Check in a thread: the answer comes in a later step."""
        if self._probe is None:
            self._probe = self._pool.submit(
                port_answers, self.settings.host, self.settings.port, 4 * self.settings.workers
            )
            return False
        if not self._probe.done():
            return False
        answers, self._probe = self._probe.result(), None
        return not answers

    def _kill(self, child: Child, why: str) -> None:
        assert child.process is not None
        self.tell(f"{child.name}: {why}; it is ended")
        child.process.kill()

    def _say(self, now_us: int) -> None:
        children = {
            c.name: {
                "pid": c.process.pid if c.process is not None and c.lives() else None,
                "restarts": c.restarts,
                "ended": c.ended,
            }
            for c in (*self.children, *self.retiring)
        }
        trouble = None
        try:
            heartbeat.beat(
                self.folder.run / "supervisor.json",
                now_us,
                stopping=self._stops > 0,
                children=children,
                **self.extra(),
            )
        except OSError as why:  # a full disk must not end the supervisor
            trouble = f"cannot write its heartbeat: {why.strerror}"
        if trouble is not None and trouble != self._trouble:
            self.tell(trouble)
        self._trouble = trouble

    # --- the end ---

    def drain(self) -> None:
        """Let workers and hooks finish their replies, the recorder its records, the detector its state."""
        self._say(utc_us())  # first: load balancers must stop sending clients
        notify.stopping()
        self._serve_until_known(self.settings.shutdown_delay())
        self._close_doors()
        self.tell("stopping: open streams have 30 s")
        first = [c for c in self.children if c.is_worker or c.name == "hooks"]
        self._end([*first, *self.retiring], signal.SIGTERM, DRAIN_S)
        self._end([c for c in self._all() if c not in first], signal.SIGTERM, CLOSE_S)

    def _serve_until_known(self, seconds: float) -> None:
        """Keep serving until load balancers have seen from /readyz to send no more clients."""
        if not seconds or (self.ready is not None and not self.retiring):  # it never reported that it serves
            return
        self.tell(f"stopping: serves for {seconds:g} s more, for load balancers to see it by /readyz")
        until_s, stops = self._now_s() + seconds, self._stops
        while (now_s := self._now_s()) < until_s and self._stops == stops:
            self.step(now_s, utc_us())
            self._wake.wait(TICK_S)
            self._wake.clear()

    def _end(self, children: list[Child], number: signal.Signals, patience_s: float) -> None:
        alive = [c for c in children if c.lives()]
        for child in alive:
            assert child.process is not None
            child.process.send_signal(number)
        until_s = self._now_s() + patience_s
        stops = self._stops
        while any(c.lives() for c in alive) and self._now_s() < until_s and self._stops == stops:
            self._wake.wait(0.05)
            self._wake.clear()
            if number != signal.SIGKILL:
                self._say(utc_us())
                notify.alive()
        for child in alive:
            if child.lives() and child.process is not None:
                self.tell(f"{child.name}: did not end in time; it is killed")
                child.process.kill()
                child.process.wait()
