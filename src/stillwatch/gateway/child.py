"""The start of every child process of the gateway: tie it to its parent, then run its own `main`.

Run as `python -m stillwatch.gateway.child NAME FOLDER PARENT_PID`; NAME is `worker-0` or a key of `ENTRIES`.
A module of its own, because the supervisor has threads and must not fork.
"""

import ctypes
import faulthandler
import os
import resource
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from stillwatch.errors import StillwatchError, machine_refusal
from stillwatch.gateway import clock

CANNOT_BEGIN = 2
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # linux/prctl.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
HELD_BYTES = 64 << 20  # freed memory that a process keeps, so that the kernel need not clear pages again
LARGE_BYTES = 8 << 20  # a larger block is returned to the kernel as soon as it is freed
# For processes that read and write tables: one allocator, without a second one's reserve, and no buffers for
# BLAS threads, which would take cores from serving. The owner's own settings win.
TABLE_SETTINGS = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
DETECTOR_NICENESS = 10  # serving has priority
DETECTOR_OOM_SCORE = 800  # of 1,000: when memory runs out the kernel takes the detector, not a worker


ENTRIES = {
    "worker": "path.worker",
    "recorder": "record.recorder",
    "detector": "detector",
    "hooks": "hooks.serve",
    "store": "fleet.mirror",
    "alerts": "alerts",
    "template": "template",
}


def tie_to_parent(parent: int, name: str) -> None:
    """Have the kernel kill this process when its parent ends for any reason (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NAME, f"sw-{name}"[:15].encode(), 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before prctl
        os._exit(1)


def hold_memory() -> None:
    """Keep freed memory for the next request: clearing pages took up to a fifth of a worker's time."""
    with suppress(OSError, AttributeError):  # another C library keeps its own behaviour
        set_to = ctypes.CDLL(None).mallopt
        for name, value in (
            (M_TRIM_THRESHOLD, HELD_BYTES), (M_TOP_PAD, 1 << 20), (M_MMAP_THRESHOLD, LARGE_BYTES),
        ):  # fmt: skip
            set_to(name, value)


def raise_file_limit() -> None:
    """Raise the descriptor limit to the hard limit: the soft one is only the shell's default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def report_crashes() -> None:
    """Have this process print its stack if a library crashes it."""
    with suppress(AttributeError, OSError, RuntimeError, ValueError):  # a closed standard error is harmless
        faulthandler.enable()


def step_back() -> None:
    """Give way to serving: lower the CPU priority, and be the first to be killed when memory runs out."""
    os.nice(DETECTOR_NICENESS)
    with suppress(OSError):  # not on every kernel; then all processes are equally likely to be killed
        Path("/proc/self/oom_score_adj").write_text(str(DETECTOR_OOM_SCORE), encoding="ascii")


def main(name: str, folder: str, parent: int) -> None:
    """Become one of the gateway's processes."""
    report_crashes()
    tie_to_parent(parent, name)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to drop streams
    kind, _, number = name.partition("-")
    if kind in ("worker", "recorder"):
        hold_memory()
    if kind in ("recorder", "detector"):
        for setting, value in TABLE_SETTINGS.items():  # before these libraries are loaded
            os.environ.setdefault(setting, value)
    if kind == "detector" and not clock.is_driven():  # a range waits for the detector
        step_back()
    entry = import_module(f"stillwatch.gateway.{ENTRIES[kind]}")
    try:
        entry.main(folder, *([int(number)] if kind == "worker" else []))
    except (StillwatchError, OSError, MemoryError) as why:
        text = str(why) if isinstance(why, StillwatchError) else machine_refusal(why)
        if text is None:
            raise
        # an error that a person can act on: one line in the log, no traceback
        print(f"stillwatch serve: {name}: {text}", file=sys.stderr, flush=True)
        sys.exit(CANNOT_BEGIN)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
