"""What a gateway inherits at its start and passes to its successor: sockets, workers, the folder's lock.

Sockets come as `sd_listen_fds(3)` describes, from systemd or the previous gateway. Workers and the lock come
from the previous gateway, which becomes the new one (`execve`): process, children and monitoring stay. The
lock is held throughout, so a folder with serving workers never appears unused.
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
WORKERS = "STILLWATCH_WORKERS"  # "worker-0:4711,…": ended as soon as new ones serve
LOCK = "STILLWATCH_LOCK"  # number of the descriptor that holds the folder's lock
WAITING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)  # stay pending until somebody handles them


@dataclass(frozen=True)
class InheritedFiles:
    """What this process inherited."""

    sockets: tuple[socket.socket, ...] = ()
    workers: tuple[tuple[str, int], ...] = ()  # name and process
    lock: int | None = None  # the descriptor of the folder's lock
    # whether the gateway that passes these on was asked to stop at its very end: then its successor stops
    is_told_to_stop: Callable[[], bool] = lambda: False

    def at(self, port: int) -> list[socket.socket]:
        """Return the sockets that listen at a port."""
        return [listener for listener in self.sockets if listener.getsockname()[1] == port]

    def check(self, ports: Iterable[int]) -> None:
        """Check that the gateway has a port for each socket. Raises: SettingsError."""
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
        """Return a number for the first new worker that no running one has."""
        taken = any(int(name.partition("-")[2]) < MOST_WORKERS for name, _ in self.workers)
        return MOST_WORKERS if taken else 0


def take() -> InheritedFiles:
    """Return what this process inherited. Raises: SettingsError for anything but a listening TCP socket."""
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
    """Start a check whether the command of this process could start now, as it is installed."""
    words = [sys.executable, *sys.orig_argv[1:], "--check"]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def keep_signals() -> None:
    """Leave signals pending for the next gateway, except those that other threads still take."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITING)


def become_the_next(files: InheritedFiles) -> None:
    """Replace this process by the gateway installed now, with these files. Returns only by an OSError."""
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
    if files.is_told_to_stop():  # to this thread: another one would take the signal and lose it
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
