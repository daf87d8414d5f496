"""A part of a gateway that follows something in its fleet's database, in a thread of the supervisor.

It listens on one connection, which is made anew when it is lost. What a part does is in its `step`.
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
    """`step` is called when something is told on the channel, and at the latest as soon as it says."""

    name = "fleet"
    channel = ""

    def __init__(self, url: str, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.error: str | None = "has not reached the database yet"
        self.url, self._tell = url, tell
        self._database = FleetDatabase(url)  # of its own: others' failures do not make it wait

    def step(self, db: "psycopg.Connection[Any]") -> float:
        """Do what is due; give the seconds until the next look. Raises: StillwatchError, OSError."""
        raise NotImplementedError

    def end(self, db: "psycopg.Connection[Any]") -> None:
        """Say good-bye. Nothing is lost where that cannot be done."""

    def miss(self) -> None:
        """Do what a lost database asks for."""

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
        """Follow by one connection, until it is lost or this ends."""
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
