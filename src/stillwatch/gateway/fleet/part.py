"""A part of a gateway that follows something in its fleet's database, in a thread of the supervisor.

It listens on one connection, which is replaced if lost. `step` does the part's work.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stillwatch.errors import StillwatchError
from stillwatch.gateway.fleet.database import FleetDatabase
from stillwatch.gateway.part_thread import PartThread

if TYPE_CHECKING:
    import psycopg

AGAIN_S = 1.0  # until the next try to reach the database


class FleetPart(PartThread):
    """`step` is called on each notice on the channel, and at the latest after the time it returned."""

    name = "fleet"
    channel = ""

    def __init__(self, url: str, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.error: str | None = "has not reached the database yet"
        self.url, self._tell = url, tell
        self._database = FleetDatabase(url)  # of its own, so that it does not wait for others' failures

    def step(self, db: "psycopg.Connection[Any]") -> float:
        """Do what is due; return the seconds until the next call. Raises: StillwatchError, OSError."""
        raise NotImplementedError

    def end(self, db: "psycopg.Connection[Any]") -> None:
        """Finish. Nothing is lost if that fails."""

    def miss(self) -> None:
        """React to a lost connection."""

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (StillwatchError, OSError) as why:
                self._note(str(why))
            except Exception as why:  # noqa: BLE001 - the edge of a thread: it must not end in silence
                self._note(f"{type(why).__name__}: {why}")
            if not self._stop.wait(AGAIN_S):
                self.miss()
        with suppress(StillwatchError), self._database.connect(patient=True) as db:
            self.end(db)

    def _follow(self) -> None:
        """Follow on one connection, until it is lost or this ends."""
        with self._database.connect(patient=True) as db:
            if self.channel:
                db.execute(f"LISTEN {self.channel}")
            while not self._stop.is_set():
                wait_s = self.step(db)
                self.error = None
                for _ in db.notifies(timeout=wait_s, stop_after=1):
                    pass

    def _note(self, why: str) -> None:
        if why != self.error:
            self._tell(f"{self.name}: {why}; what is known stays in force")
        self.error = why
