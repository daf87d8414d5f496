"""A process that has a worker's code loaded and forks workers, so that one that died is replaced at once.

It opens no file, runs no thread and serves nobody: a fork shares only code. A worker is forked twice, so that
the kernel makes it a child of the supervisor (a subreaper). So it is monitored and ended like every other
process, and the template may die without harm.
"""

import ctypes
import gc
import os
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from stillwatch.gateway import child, heartbeat
from stillwatch.gateway.probe import DOOR_VARIABLE
from stillwatch.units import utc_us

NAME = "template-of-workers"  # at least as long as any worker's name, which overwrites it in `ps`
CALLS_VARIABLE = "STILLWATCH_CALLS"  # number of the descriptor for requests for workers
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
LONGEST_CALL = 4096
PATIENCE_S = 2.0  # for a requested worker; then one is started without the template
BEAT_S = 1.0
ARGUMENTS_AT = 45  # index, among the fields of /proc/PID/stat after the name, of the address of the arguments


class ForkedChild:
    """A child made by the template, with the part of `subprocess.Popen` that a supervisor uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """Raises: TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self._wait(0 if end is None else os.WNOHANG)) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.005)
        return code

    def _wait(self, how: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, how)
            except ChildProcessError:  # another caller has waited for it
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Calls:
    """The supervisor's end of the socket to one template: requests workers."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()

    def worker(self, name: str, door: socket.socket | None) -> ForkedChild | None:
        """Fork a worker; None if none came in time: then this template is not used again."""
        with suppress(OSError, ValueError):
            doors = [] if door is None else [door.fileno()]
            socket.send_fds(self._ours, [name.encode()], doors, socket.MSG_DONTWAIT)
            if not _comes(self._ours, PATIENCE_S):
                self._ours.shutdown(socket.SHUT_RD)  # a worker that comes too late cannot report, and ends
            return ForkedChild(int(self._ours.recv(LONGEST_CALL, socket.MSG_DONTWAIT)))
        return None


def main(folder: str) -> None:
    """Run the template: load a worker's code, then fork one at each request."""
    supervisor = os.getppid()
    calls = socket.socket(fileno=int(os.environ.pop(CALLS_VARIABLE)))
    import_module("stillwatch.gateway.path.worker")
    gc.collect()
    gc.freeze()  # the collector writes to the objects it checks, and written pages are no longer shared
    beat = Path(folder) / "run" / f"{NAME}.json"
    while True:
        with suppress(OSError):  # a full disk
            heartbeat.beat(beat, utc_us(), rss=heartbeat.rss_bytes())
        if not _comes(calls, BEAT_S):
            continue
        call, doors, _, _ = socket.recv_fds(calls, LONGEST_CALL, 1)
        if not call:  # the supervisor has closed its end
            return
        between = os.fork()
        if between == 0:
            between = os.getpid()
            if os.fork():
                os._exit(0)
            _begin(call.decode(), folder, (between, supervisor), doors, calls)
            return
        os.waitpid(between, 0)
        for door in doors:
            os.close(door)


def _comes(calls: socket.socket, within_s: float) -> bool:
    """Wait for a request, or for the other end to close. (select() takes no descriptor above 1,023.)"""
    poll = select.poll()
    poll.register(calls, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def _begin(name: str, folder: str, parents: tuple[int, int], doors: list[int], calls: socket.socket) -> None:
    """Run a worker, once the kernel has moved this process from its first parent to the supervisor."""
    os.setsid()
    first, supervisor = parents
    while os.getppid() == first:
        time.sleep(0.001)
    child.tie_to_parent(supervisor, name)  # ends if the supervisor is gone: its port must be free at once
    try:
        calls.send(str(os.getpid()).encode())
    except OSError:  # the supervisor no longer waits: another one serves
        os._exit(0)
    calls.close()
    for door in doors:
        os.environ[DOOR_VARIABLE] = str(door)
    _show_as(name)
    child.main(name, folder, supervisor)


def _show_as(name: str) -> None:
    """Make `ps` show the worker's name in place of the template's."""
    with suppress(OSError, ValueError, IndexError):
        start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[ARGUMENTS_AT])
        at = Path("/proc/self/cmdline").read_bytes().index(NAME.encode())
        ctypes.memmove(start + at, name.encode().ljust(len(NAME), b"\0"), len(NAME))
