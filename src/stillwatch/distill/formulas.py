"""Decides whether two formulas are equal: Math-Verify's judgement, in a separate process that can be killed.

An answer is untrusted text. Algebra on it may take unlimited time and memory. Math-Verify's own timeout uses
a signal, which needs the main thread and does not interrupt a long multiplication. A second process therefore
compares, and the kernel ends it after a limit of processor time, which does not depend on the machine's load.

Null: two answers that are equal by the rules of algebra simplify to one expression.
Blind to: identities that SymPy does not find; what a question asked for ("in lowest terms").
Fooled by: an equation in place of a number: `x=5` and `5` count as one.
Source: Math-Verify (Apache-2.0), https://github.com/huggingface/Math-Verify
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec

from stillwatch.distill import EXTRA, DistillError

CPU_S = 3  # of processor time per pair
ENVIRONMENT = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL")  # without any keys
MEMORY = 4 << 30  # bytes of address space


class _Comparer:
    """The second process, started when first needed and restarted after it was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def compare(self, left: str, right: str) -> bool | None:
        with self._lock:
            process = self._start()
            line = ""
            with suppress(OSError):  # it may have been killed between two questions
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps([left, right]) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            if not line:
                self.end()
                return None
            return bool(json.loads(line))

    def _start(self) -> "subprocess.Popen[str]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "stillwatch.distill.formulas"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                text=True,
                encoding="utf-8",
            )
        except OSError as why:
            raise DistillError(f"a process to compare formulas cannot be started: {why.strerror}") from why
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self.end()
            raise DistillError(f"Math-Verify cannot be started here; install it anew: {EXTRA}")
        return self._process

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_comparer = _Comparer()
atexit.register(_comparer.end)


def same_formula(left: str, right: str) -> bool | None:
    """Return whether two formulas (LaTeX, or plain) are equal; None if `CPU_S` did not suffice.

    Raises: DistillError if Math-Verify is not installed.
    """
    if not _is_installed():
        raise DistillError(
            f"to tell whether {left[:40]!r} and {right[:40]!r} are one answer needs Math-Verify: {EXTRA}"
        )
    return _comparer.compare(_storable(left), _storable(right))


def _is_installed() -> bool:
    try:
        return find_spec("math_verify") is not None
    except ValueError:  # printed by something else, such as a test's replacement
        return False


def _storable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _answer_until_closed() -> None:
    """The second process: reads a pair per line, writes true or false per line."""
    import resource

    from math_verify import parse, verify

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        last = int(used.ru_utime + used.ru_stime) + CPU_S
        resource.setrlimit(resource.RLIMIT_CPU, (last, resource.RLIM_INFINITY))
        gold, answer = (parse(f"${formula}$", parsing_timeout=None) for formula in json.loads(line))
        is_same = verify(gold, answer, timeout_seconds=None)
        print(json.dumps(bool(gold) and bool(answer) and bool(is_same)), file=answers, flush=True)


if __name__ == "__main__":
    _answer_until_closed()
