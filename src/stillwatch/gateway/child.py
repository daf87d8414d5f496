"""How every child process of the gateway begins: tied to its parent, then its own `main`. It watches none.

Run as `python -m stillwatch.gateway.child NAME FOLDER PARENT_PID`, NAME being `worker-0`, or what stands in
`ENTRIES`. A module of its own: the supervisor has threads, and is
not forked.
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
HELD_BYTES = 64 << 20  # freed memory that a process keeps, rather than have the kernel clear pages anew
LARGE_BYTES = 8 << 20  # a larger block is the kernel's again as soon as it is freed
# Of who reads and writes tables: one allocator for all instead of a second one's reserve, and no buffers for
# threads that would take the cores of serving. What the owner has set stays.
TABLE_SETTINGS = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
DETECTOR_NICENESS = 10  # serving goes first
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
    """Let the kernel end this process when its parent ends, however that came about (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NAME, f"sw-{name}"[:15].encode(), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def hold_memory() -> None:
    """Keep what was freed for the next request: clearing pages took up to a fifth of a worker."""
    with suppress(OSError, AttributeError):  # another C library: then it does as it does
        set_to = ctypes.CDLL(None).mallopt
        for name, value in (
            (M_TRIM_THRESHOLD, HELD_BYTES), (M_TOP_PAD, 1 << 20), (M_MMAP_THRESHOLD, LARGE_BYTES),
        ):  # fmt: skip
            set_to(name, value)


def raise_file_limit() -> None:
    """Take as many descriptors as the machine's owner allows: the lower limit is the shell's habit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def report_crashes() -> None:
    """Let this process write where it stood should a library crash it."""
    with suppress(AttributeError, OSError, RuntimeError, ValueError):  # a closed standard error ends nothing
        faulthandler.enable()


def step_back() -> None:
    """Make room for serving: lower priority, and first to go when memory runs out."""
    os.nice(DETECTOR_NICENESS)
    with suppress(OSError):  # not on every kernel; then it is as likely as the others
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
    if kind == "detector" and not clock.is_driven():  # a range waits for it
        step_back()
    entry = import_module(f"stillwatch.gateway.{ENTRIES[kind]}")
    try:
        entry.main(folder, *([int(number)] if kind == "worker" else []))
    except (StillwatchError, OSError, MemoryError) as why:
        text = str(why) if isinstance(why, StillwatchError) else machine_refusal(why)
        if text is None:
            raise
        # what a person can act on: a line for the log, no traceback
        print(f"stillwatch serve: {name}: {text}", file=sys.stderr, flush=True)
        sys.exit(CANNOT_BEGIN)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
