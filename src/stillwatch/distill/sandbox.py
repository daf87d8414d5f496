"""Runs unreviewed programs confined, and reports how well. The confinement itself is in `confined.py`."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError

CHILD = Path(__file__).with_name("confined.py")
GRACE_S = 5.0  # to start Python; the program gets its limit of processor time, and twice that by the clock


@dataclass(frozen=True)
class ProgramLimits:
    """Limits of a program."""

    seconds: float = 10.0
    mib: int = 512


@dataclass(frozen=True)
class Ran:
    """The outcome of a program. `confined`: what the kernel granted; empty if it died before reporting."""

    ok: bool
    why: str
    confined: dict[str, bool]


def run_program(code: str, tests: str, cases: list[dict[str, str]], limits: ProgramLimits) -> Ran:
    """Run a program with its tests, or once for each case. Raises: DistillError if none can be started."""
    token = secrets.token_hex(16)
    request = {
        "code": code, "tests": tests, "cases": cases,
        "seconds": limits.seconds, "mib": limits.mib, "token": token,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="stillwatch-", ignore_cleanup_errors=True) as folder:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(CHILD), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={
                    "PATH": "/usr/bin:/bin",
                    "PYTHONHASHSEED": "0",
                    "TMPDIR": folder,
                },  # without any keys
                cwd=folder,
                start_new_session=True,
            )
        except OSError as why:
            raise DistillError(f"a process for a program cannot be started: {why.strerror}") from why
        try:
            output, _ = process.communicate(json.dumps(request).encode(), 2 * limits.seconds + GRACE_S)
        except subprocess.TimeoutExpired:
            return Ran(False, f"takes longer than {limits.seconds:g} s", {})
        finally:
            _end(process)
    try:
        came = json.loads(output)
        if came[0] == token:
            return Ran(bool(came[1]["ok"]), str(came[1]["why"]), came[2])
    except (ValueError, TypeError, KeyError, IndexError):
        pass
    return Ran(False, "ended before its tests did (out of time or memory, or it left)", {})


@lru_cache(maxsize=1)
def confinement() -> dict[str, Any]:
    """Return how programs are confined on this machine: network, files, processes.

    Raises: DistillError if not even an empty program completes.
    """
    ran = run_program("", "pass", [], ProgramLimits())
    if not ran.ok:
        raise DistillError(
            f"programs cannot be run here, so no answer of the task code can be judged: {ran.why}"
        )
    return {"limits": True, "network": False, "files": False, "processes": False} | ran.confined


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the whole session; its process namespace ends with its first process."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
