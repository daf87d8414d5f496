"""The lease in the database that decides which gateway of a fleet runs the detector and applies the ladder.

A lease ends by the database's clock. Its holder counts by its own, from before the request, and stops
earlier: two never hold it at once, however their clocks differ. The detector checks the end of the lease
itself before it writes (`holds`), so that a hanging supervisor does no harm.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillwatch.gateway.fleet.part import FleetPart
from stillwatch.gateway.folder import Folder

if TYPE_CHECKING:
    import psycopg

CHANNEL = "stillwatch_lease"
LEASE_S = 15.0  # from the last renewal, by the database's clock
RENEW_S = 3.0
MARGIN_S = 4.0  # the holder stops this early: for the detector to end, and for clock drift
FILE = "lease"  # in `run`: the lease's end, in seconds since the host's start, and its number
DETECTOR = "detector"


def now_s() -> float:
    """Return seconds that include a machine's sleep, like the database's (so does macOS's monotonic)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease(FleetPart):
    """One gateway's claim to the lease."""

    name = "fleet-lease"
    channel = CHANNEL

    def __init__(
        self, folder: Folder, url: str, gateway: str, life: str, tell: Callable[[str], None]
    ) -> None:
        super().__init__(url, tell)
        self.holder: str | None = None  # the gateway that holds it, if known
        self._gateway, self._life = gateway, life
        self._file = folder.run / FILE
        self._until_s = 0.0
        self.number = 0  # the time it was taken, by the database's clock: later holders have higher ones
        self._write(0.0)

    def is_held(self) -> bool:
        """Return whether this gateway holds it now."""
        return now_s() < self._until_s

    def step(self, db: "psycopg.Connection[Any]") -> float:
        """Take or renew the lease if no other gateway holds it."""
        asked_s, had = now_s(), self.is_held()
        done = db.execute(
            "INSERT INTO leases VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
            " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, life = excluded.life,"
            " until = excluded.until WHERE leases.life = excluded.life OR leases.until < clock_timestamp()"
            " RETURNING (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            (DETECTOR, self._gateway, self._life, LEASE_S),
        )
        if (taken := done.fetchone()) is not None:
            self.holder = self._gateway
            self.number = self.number if had else int(taken[0])
            self._write(asked_s + LEASE_S - MARGIN_S)
            if not had:
                self._tell("fleet: this gateway runs the detector and applies the ladder")
        else:
            self._write(0.0)
            row = db.execute("SELECT holder FROM leases WHERE name = %s", (DETECTOR,)).fetchone()
            self.holder = None if row is None else str(row[0])
        return RENEW_S

    def end(self, db: "psycopg.Connection[Any]") -> None:
        """Release it. The detector has ended by now."""
        self._write(0.0)
        db.execute("DELETE FROM leases WHERE name = %s AND life = %s", (DETECTOR, self._life))
        db.execute("SELECT pg_notify(%s, '')", (CHANNEL,))

    def _write(self, until_s: float) -> None:
        temporary = self._file.with_suffix(f".{os.getpid()}")
        temporary.write_text(f"{until_s:.3f} {self.number}\n", encoding="ascii")
        os.replace(temporary, self._file)
        self._until_s = until_s  # last: the detector can read the file before it is started


def holds(run: Path) -> bool:
    """Return whether the gateway of a `run` folder holds the lease now; for other processes."""
    return held_number(run) is not None


def held_number(run: Path) -> int | None:
    """Return the lease's number if the gateway of a `run` folder holds it now."""
    try:
        until_s, number = (run / FILE).read_text(encoding="ascii").split()
        return int(number) if now_s() < float(until_s) else None
    except (OSError, ValueError):
        return None
