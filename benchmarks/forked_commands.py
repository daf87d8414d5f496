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

# Reads commands, a line of JSON each; `act` comes with the code before it. Nobody waits for them.
FORKING = """
import gc, json, os, resource, signal, sys, traceback
{act}
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
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
        os._exit(0)
    print(pid, flush=True)
"""
KILLED = -9


def is_there(pid: int) -> bool:
    """Whether there is such a process; nobody waits for those that are forked here."""
    return Path(f"/proc/{pid}").exists()


class ForkedCommands:
    """Runs commands. `act`: code that defines a function of that name, which is given a command's words."""

    def __init__(self, place: Path, act: str) -> None:
        self._place, self._number, self._lock = place, 0, threading.Lock()
        self._parent = subprocess.Popen(
            [sys.executable, "-c", FORKING.format(act=act)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, *words: str, kill_after_s: float | None = None, most_bytes: int | None = None
    ) -> tuple[int, str]:
        """Give exit code and output; KILLED where it was killed. most_bytes: no file may grow beyond."""
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
        """Begin a command; give its process. Its output is renamed at its end, to one with its exit code.

        stays: it is not.
        """
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        with self._lock:
            self._parent.stdin.write(json.dumps([str(output), words, most_bytes, stays]) + "\n")
            self._parent.stdin.flush()
            return int(self._parent.stdout.readline())

    def close(self) -> None:
        self._parent.communicate(timeout=10)  # it ends when nothing more comes
