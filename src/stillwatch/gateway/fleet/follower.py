"""Follows the fleet's state for one gateway, in the supervisor: takes up what others wrote, and says how far it is.

PostgreSQL tells of a change at once (LISTEN); a look each half second finds what was told while nobody
listened. It writes nothing but its own row. Serving does not depend on it.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from stillwatch.gateway.control.in_force import behind
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.fleet.database import (
    CHANNEL,
    LATE_S,
    FleetDatabase,
    FleetGateway,
    leave,
    read_gateways,
    say_alive,
)
from stillwatch.gateway.fleet.membership import catch_up
from stillwatch.gateway.folder import Folder

LOOK_S = 0.5  # the longest time between two looks
SOON_S = 0.02  # until the next look at workers that are about to take up a change
ALIVE_S = 1.0  # how often it says that it is there
AGAIN_S = 1.0  # until the next try to reach the database


class FleetFollower:
    """One gateway's follower. `error` says why it is not up to date."""

    def __init__(
        self,
        folder: Folder,
        state: ControlState,
        name: str,
        terms: Callable[[], str],
        tell: Callable[[str], None],
    ) -> None:
        assert state.fleet is not None
        self.folder, self.state, self._terms, self._tell = folder, state, terms, tell
        self.error: str | None = "has not reached the database yet"
        self.gateways: list[FleetGateway] = []
        self._database = FleetDatabase(state.fleet.url)
        self._life, self._life_before = state.begin_life()
        self._me = FleetGateway(name, self._life, socket.gethostname(), -1, "", 0.0)
        self._said_s = 0.0
        self._stop = threading.Event()

    def says(self) -> dict[str, Any]:
        """Give its part of the supervisor's heartbeat."""
        return {
            "error": self.error,
            "name": self._me.name,
            "gateways": len(self.gateways),
            "silent": [one.name for one in self.gateways if one.silent_s > LATE_S],
            "other_terms": [
                one.name
                for one in self.gateways
                if one.terms and one.silent_s <= LATE_S and one.terms != self._me.terms
            ],
        }

    def step(self, db: Any) -> bool:
        """Take up what is new and say so; give whether all of the gateway's processes go by it."""
        catch_up(self.state, db)
        version = self.state.version()
        late = bool(behind(self.folder, version))
        now = replace(
            self._me, revision=self._me.revision if late else version.revision, terms=self._terms()
        )
        if now != self._me or time.monotonic() - self._said_s >= ALIVE_S:
            if not say_alive(db, now, self._life_before):
                raise StateError(
                    f"another gateway is called {now.name}, too: start this one with another --gateway NAME"
                )
            self._me, self._said_s = now, time.monotonic()
            self._life_before = self._life
            self.gateways = read_gateways(db)
        self.error = None
        return not late

    # --- its thread ---

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (StateError, OSError) as why:
                self._note(str(why))
            except Exception as why:  # noqa: BLE001 - the edge of a thread: it must not end in silence
                self._note(f"{type(why).__name__}: {why}")
            self._stop.wait(AGAIN_S)
        with suppress(StateError), self._database.connect() as db:
            leave(db, self._me.name, self._life)

    def _follow(self) -> None:
        """Follow by one connection, until it is lost or this ends."""
        with self._database.connect(patient=True) as db:
            db.execute(f"LISTEN {CHANNEL}")
            while not self._stop.is_set():
                in_force = self.step(db)
                for _ in db.notifies(timeout=LOOK_S if in_force else SOON_S, stop_after=1):
                    pass

    def _note(self, why: str) -> None:
        if why != self.error:
            self._tell(f"fleet: {why}; what is known stays in force")
        self.error = why
