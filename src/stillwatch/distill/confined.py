"""Runs an unreviewed program in a process of its own: no network, no files but its own, limits.

It is started by path as `python -I -S -B confined.py`, so that it imports nothing of this package. It reads a
JSON request from standard input and writes one line: the request's token and the outcome. If the kernel
denies a means of confinement, it continues without, and reports which it had.

Fooled by: a program written to look through its own process for the token. It is meant to judge answers, not
to withstand attacks.
"""

import contextlib
import ctypes
import io
import json
import os
import resource
import signal
import struct
import sys

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)  # linux/sched.h
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture since 5.13
READS = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, list a folder: linux/landlock.h
OUTPUT = 1 << 20  # characters a program may print

libc = ctypes.CDLL(None, use_errno=True)


def unshare() -> dict[str, bool]:
    """Leave the machine's network, processes and message queues; return what was granted."""
    if sys.platform != "linux":
        return {"network": False, "processes": False}
    network = CLONE_NEWNET | CLONE_NEWIPC
    for flags in (CLONE_NEWUSER | network | CLONE_NEWPID, network | CLONE_NEWPID, CLONE_NEWUSER | network):
        if libc.unshare(flags) == 0:
            return {"network": True, "processes": bool(flags & CLONE_NEWPID)}
    return {"network": False, "processes": False}


def landlock(folder: str, readable: list[str]) -> dict[str, bool]:
    """Allow only reading what Python needs and writing in one folder; return what was granted."""
    abi = libc.syscall(CREATE_RULESET, None, 0, 1) if sys.platform == "linux" else 0
    if abi < 1 or libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return {"files": False}
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    attr = struct.pack("QQQ", handled, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    attr = attr[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = libc.syscall(CREATE_RULESET, attr, len(attr), 0)
    if rules < 0:
        return {"files": False}
    for path, allowed in [(folder, handled), *((path, handled & READS) for path in readable)]:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            allowed &= 1 << 0 | 1 << 1 | 1 << 2
        rule = struct.pack("=Qi", allowed, handle)
        granted = libc.syscall(ADD_RULE, rules, 1, rule, 0) == 0
        os.close(handle)
        if not granted:
            return {"files": False}
    granted = libc.syscall(RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return {"files": granted, "tcp": granted and abi >= 4}


def limit(seconds: float, mib: int) -> None:
    whole_seconds = max(1, int(seconds + 0.999))
    for bounded, limit in (
        (resource.RLIMIT_CPU, whole_seconds),
        (resource.RLIMIT_AS, mib << 20),
        (resource.RLIMIT_FSIZE, 16 << 20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(bounded, (limit, limit))


class ProgramOutput(io.StringIO):
    """A program's output, up to the length that is looked at."""

    def write(self, text: str) -> int:
        if self.tell() + len(text) > OUTPUT:
            raise OverflowError(f"prints more than {OUTPUT} characters")
        return super().write(text)


def run(code: str, tests: str, cases: list[dict[str, str]]) -> dict[str, object]:
    """Run the program, then its tests; or the program once for each case of input and output."""
    try:
        program = compile(code, "answer.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as why:
        return {"ok": False, "why": f"is no Python: {why}"}
    done = 0
    try:
        if tests:
            names: dict[str, object] = {"__name__": "answer"}
            with contextlib.redirect_stdout(ProgramOutput()), contextlib.redirect_stderr(ProgramOutput()):
                exec(program, names)
                exec(compile(tests, "tests.py", "exec"), names)
            return {"ok": True, "why": ""}
        for done, case in enumerate(cases):
            printed, sys.stdin = ProgramOutput(), io.StringIO(case["stdin"])
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(ProgramOutput()):
                try:
                    exec(program, {"__name__": "__main__"})
                except SystemExit as left:
                    if left.code not in (None, 0):
                        return {"ok": False, "why": f"case {done + 1}: leaves with {left.code!r}"[:300]}
            if printed.getvalue().split() != case["stdout"].split():
                return {"ok": False, "why": f"case {done + 1}: prints {printed.getvalue()[:100]!r}"}
        return {"ok": True, "why": ""}
    except BaseException as why:  # noqa: BLE001 - whatever a program raises is its own failure
        where = f"case {done + 1}: " if cases else ""
        return {"ok": False, "why": f"{where}{type(why).__name__}: {why}"[:300]}


def die_with_the_parent() -> None:
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def inside(request: dict[str, object], folder: str, out: int, had: dict[str, bool]) -> None:
    """Run the confined process; this call does not return."""
    die_with_the_parent()
    os.chdir(folder)
    readable = [
        sys.prefix,
        sys.base_prefix,
        "/usr",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/dev/null",
        "/dev/urandom",
    ]
    had |= landlock(folder, readable)
    limit(float(str(request["seconds"])), int(str(request["mib"])))
    code, tests, cases = request["code"], request["tests"], request["cases"]
    came = run(str(code), str(tests), cases if isinstance(cases, list) else [])
    os.write(out, json.dumps([request["token"], came, had]).encode() + b"\n")
    os._exit(0)


def main() -> None:
    request = json.load(sys.stdin)
    out = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nothing, handle)
    die_with_the_parent()
    had = unshare()
    first = os.fork()  # of the new process namespace: when it ends, all processes started in it end
    if first == 0:
        die_with_the_parent()
        worker = os.fork()  # not the first process: the kernel does not send it the limits' signals
        if worker == 0:
            inside(request, sys.argv[1], out, had)
        os.waitpid(worker, 0)
        os._exit(0)
    os.waitpid(first, 0)


if __name__ == "__main__":
    main()
