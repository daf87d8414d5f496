"""An event that a signal handler may set.

`threading.Event.set` takes a lock that is not reentrant: a handler that sets an event for which its own
thread waits can block that thread forever. A byte in a pipe needs no lock.
"""

import os
import select
import signal
from contextlib import suppress
from typing import Self


class Wake:
    """Any thread or handler may set it, any thread may wait for it, one clears it."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        self._on = False

    def __del__(self) -> None:
        for end in (self._read, self._write):
            with suppress(OSError):
                os.close(end)

    @classmethod
    def at_the_end(cls) -> Self:
        """Return one that is set when this process is told to end, by SIGTERM or Ctrl-C."""
        wake = cls()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: wake.set())
        return wake

    def set(self) -> None:
        self._on = True
        with suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._write, b"\0")

    def is_set(self) -> bool:
        return self._on

    def clear(self) -> None:
        self._on = False  # first, so that no later `set` is lost
        with suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, or for `timeout_s`. Return whether it is set."""
        if not self._on:
            poll = select.poll()  # select() fails above 1,023 descriptors
            poll.register(self._read, select.POLLIN)
            poll.poll(max(0, round(timeout_s * 1000)))
        return self._on
