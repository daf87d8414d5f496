"""What a gateway is given at its start, and gives to the one after it: sockets, workers, the folder's lock.

Sockets come as `sd_listen_fds(3)` says, by systemd or by the gateway before; workers and the lock by that one
alone, which becomes the new one (`execve`): the process, its children and who watches it stay. The lock is
held all the time: a folder whose workers serve is never taken for one that nobody serves.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stillwatch.gateway.settings import MOST_WORKERS, SettingsError

FIRST = 3  # SD_LISTEN_FDS_START
PID, COUNT, NAMES = "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"
WORKERS = "STILLWATCH_WORKERS"  # "worker-0:4711,…": to be ended as soon as others serve
LOCK = "STILLWATCH_LOCK"  # number of the descriptor that holds the folder's lock
WAITING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)  # signals that wait until there is who catches them


@dataclass(frozen=True)
class InheritedFiles:
    """What this process was given."""

    sockets: tuple[socket.socket, ...] = ()
    workers: tuple[tuple[str, int], ...] = ()  # name and process
    lock: int | None = None  # the descriptor that holds the folder
    # whether the gateway that gives them was told to stop after it had ended: then the next one stops
    is_told_to_stop: Callable[[], bool] = lambda: False

    def at(self, port: int) -> list[socket.socket]:
        """The sockets that listen at a port."""
        return [listener for listener in self.sockets if listener.getsockname()[1] == port]

    def check(self, ports: Iterable[int]) -> None:
        """Raises: SettingsError for a socket that nobody would serve."""
        wanted = set(ports)
        for listener in self.sockets:
            host, port = listener.getsockname()[:2]
            if port not in wanted:
                known = ", ".join(map(str, sorted(wanted)))
                raise SettingsError(
                    f"a socket was given that listens at {host}:{port}, which is no port of this gateway "
                    f"({known}): change ListenStream= in the socket unit, or --port"
                )

    def first_number(self) -> int:
        """The number of the first new worker: none of those that still run."""
        taken = any(int(name.partition("-")[2]) < MOST_WORKERS for name, _ in self.workers)
        return MOST_WORKERS if taken else 0


def take() -> InheritedFiles:
    """Take what this process was given. Raises: SettingsError for what is no TCP socket that listens."""
    named, lock = os.environ.pop(WORKERS, ""), os.environ.pop(LOCK, "")
    meant, count = os.environ.pop(PID, ""), os.environ.pop(COUNT, "0")
    os.environ.pop(NAMES, None)
    if meant != str(os.getpid()) or not count.isdigit():
        return InheritedFiles()
    sockets = []
    for number in range(FIRST, FIRST + int(count)):
        listener = socket.socket(fileno=number)
        listener.set_inheritable(False)
        listener.setblocking(False)
        tcp = listener.family in (socket.AF_INET, socket.AF_INET6) and listener.type == socket.SOCK_STREAM
        if not tcp or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise SettingsError(f"descriptor {number} that was given is no TCP socket that listens")
        sockets.append(listener)
    if lock:
        os.set_inheritable(int(lock), False)
    pairs = (pair.rpartition(":") for pair in named.split(",") if pair)
    workers = tuple((name, int(pid)) for name, _, pid in pairs)
    return InheritedFiles(tuple(sockets), workers, int(lock) if lock else None)


def check_next() -> subprocess.Popen[bytes]:
    """Check whether the command by which this process was started could start now, as it is installed."""
    words = [sys.executable, *sys.orig_argv[1:], "--check"]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def keep_signals() -> None:
    """Let signals wait for the gateway that follows, but for those that other threads still take."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITING)


def become_the_next(files: InheritedFiles) -> None:
    """Become the gateway that is installed now: the same command, the same process, what is given in hand.

    It returns only by an OSError.
    """
    numbers = [listener.fileno() for listener in files.sockets] + ([] if files.lock is None else [files.lock])
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 64 + len(numbers)) for number in numbers]
    for place, number in enumerate(high):
        os.dup2(number, FIRST + place, inheritable=True)
    environment = {
        **os.environ,
        PID: str(os.getpid()),
        COUNT: str(len(files.sockets)),
        LOCK: "" if files.lock is None else str(FIRST + len(files.sockets)),
        WORKERS: ",".join(f"{name}:{pid}" for name, pid in files.workers),
    }
    if files.is_told_to_stop():  # for this thread alone: another would take it, and it would be gone
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
