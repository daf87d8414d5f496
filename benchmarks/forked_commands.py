"""Commands in processes of their own, forked from one that has imported what they need."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Reads commands, a line of JSON each; the code before it defines `act`. It records how each command ended.
FORKING = """
import gc, json, os, resource, signal, sys, traceback
{act}
ends = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
def reap(*_):
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            os.write(ends, b"%d %d\\n" % (found[0], os.waitstatus_to_exitcode(found[1])))
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, reap)
gc.collect(), gc.freeze()
for line in sys.stdin:
    place, words, most_bytes, stays = json.loads(line)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 1), os.dup2(out, 2), os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        code = 0
        try:
            act(words)
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 99
        try:
            sys.stdout.flush(), sys.stderr.flush()
        except OSError:
            code = 98
        if not stays:
            os.rename(place, place + "." + str(code))
        os._exit(code if type(code) is int else 1)
    print(pid, flush=True)
"""
KILLED = -9


def is_there(pid: int) -> bool:
    """Return whether there is such a process; one forked here is reaped at once."""
    return Path(f"/proc/{pid}").exists()


class ForkedCommands:
    """Runs commands. `act`: code that defines a function of that name, which gets a command's words."""

    def __init__(self, place: Path, act: str) -> None:
        self._place, self._number, self._lock = place, 0, threading.Lock()
        self._ends = place / "ends"
        self._parent = subprocess.Popen(
            [sys.executable, "-c", FORKING.format(act=act), str(self._ends)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},  # a crash prints its place
        )

    def __call__(
        self, *words: str, kill_after_s: float | None = None, most_bytes: int | None = None
    ) -> tuple[int, str]:
        """Return exit code and output; KILLED if it was killed. most_bytes: no file may exceed it."""
        with self._lock:
            self._number += 1
            place = self._place / f"command-{self._number}"
        pid = self.begin(words, place, most_bytes)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            lives = is_there(pid)
            for found in self._place.glob(f"{place.name}.*"):
                text = found.read_text(errors="replace")
                found.unlink()
                return int(found.suffix[1:]), text
            if not lives:
                break
            time.sleep(0.005)
        text = place.read_text(errors="replace") if place.exists() else ""
        return KILLED, text

    def begin(
        self, words: Sequence[str], output: Path, most_bytes: int | None = None, *, stays: bool = False
    ) -> int:
        """Start a command; return its process. Its output is renamed at its end, to one with its exit code.

        stays: it is not renamed.
        """
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        with self._lock:
            self._parent.stdin.write(json.dumps([str(output), words, most_bytes, stays]) + "\n")
            self._parent.stdin.flush()
            return int(self._parent.stdout.readline())

    def exit_of(self, pid: int) -> str:
        """Return how a process ended, if known."""
        lines = self._ends.read_text().splitlines() if self._ends.exists() else []
        code = next((int(line.split()[1]) for line in reversed(lines) if line.split()[0] == str(pid)), None)
        if code is None:
            return "nobody knows how"
        return f"with code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def close(self) -> None:
        self._parent.communicate(timeout=10)  # it ends with its input
