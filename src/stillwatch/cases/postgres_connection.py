"""A connection to PostgreSQL that gives up on a server that does not answer.

The kernel detects a host that is gone. If only the server hangs (a stuck disk, a stopped process), its kernel
still acknowledges what is sent, and libpq would wait forever.
"""

import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen


class WaitingConnection(psycopg.Connection[Any]):
    """`answer_s`: the longest wait for an answer, or for its next part."""

    answer_s: float

    def wait(self, gen: PQGen[RV], *args: Any, **more: Any) -> RV:
        return super().wait(self._within_bound(gen), *args, **more)

    def _within_bound(self, gen: PQGen[RV]) -> Generator[Any, Any, RV]:
        """Wrap what psycopg waits for; end it if nothing is ready for too long."""
        heard_s = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > self.answer_s:
                    self.pgconn.finish()  # no rollback is requested
                    raise psycopg.OperationalError(f"gave no answer for {self.answer_s:.0f} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            found: RV = end.value
            return found
