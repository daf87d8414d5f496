"""A connection to PostgreSQL that gives up a server which does not answer.

A host that is gone is noticed by its kernel's silence. Where only the server stands still (a disk that hangs,
a stopped process) the kernel goes on to acknowledge what is sent, and libpq would wait without end.
"""

import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen


class WaitingConnection(psycopg.Connection[Any]):
    """`answer_s`: how long each answer, or the next part of one, is waited for."""

    answer_s: float

    def wait(self, gen: PQGen[RV], *args: Any, **more: Any) -> RV:
        return super().wait(self._within_bound(gen), *args, **more)

    def _within_bound(self, gen: PQGen[RV]) -> Generator[Any, Any, RV]:
        """What psycopg waits for, ended where nothing was ready for too long."""
        heard_s = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > self.answer_s:
                    self.pgconn.finish()  # nobody asks it to roll back
                    raise psycopg.OperationalError(f"gave no answer for {self.answer_s:.0f} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            found: RV = end.value
            return found
