"""Follows the fleet's state for one gateway: applies others' changes, and reports its progress.

PostgreSQL announces changes at once (LISTEN); a check each half second finds missed announcements. It writes
nothing but its own row. Serving does not depend on it.
"""

import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stillwatch.gateway.control.in_force import behind
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.fleet.database import (
    CHANNEL,
    LATE_S,
    SPENT_CHANNEL,
    FleetGateway,
    leave,
    read_clock,
    read_gateways,
    say_alive,
)
from stillwatch.gateway.fleet.membership import catch_up
from stillwatch.gateway.fleet.part import FleetPart
from stillwatch.gateway.folder import Folder

if TYPE_CHECKING:
    import psycopg

LOOK_S = 0.5  # the longest time between two checks
SOON_S = 0.02  # until the next check of workers that are about to apply a change
ALIVE_S = 1.0  # between two reports that it is alive
TURN_S = 10.0  # between two tests whether a change could be written: all connections may be in use, or a lock


class FleetFollower(FleetPart):
    """One gateway's follower. `error` says why it is not up to date."""

    channel = CHANNEL

    def __init__(
        self,
        folder: Folder,
        state: ControlState,
        name: str,
        terms: Callable[[], str],
        tell: Callable[[str], None],
    ) -> None:
        assert state.fleet is not None
        super().__init__(state.fleet.url, tell)
        self.folder, self.state, self._terms = folder, state, terms
        self.gateways: list[FleetGateway] = []
        self.life, self._life_before = state.begin_life()
        self._me = FleetGateway(name, self.life, socket.gethostname(), -1, "", 0.0)
        self._said_s = self._ahead_s = self._turn_s = 0.0
        self.stays = False  # its workers serve on for its successor: others wait for them

    def says(self, parts: Iterable[FleetPart]) -> dict[str, Any]:
        """Return the fleet's part of the supervisor's heartbeat. `parts`: all that belong to it."""
        return {
            "error": next((part.error for part in parts if part.error), None) or self._no_turn(),
            "name": self._me.name,
            "gateways": len(self.gateways),
            "clock_ahead_s": round(self._ahead_s, 1),
            "silent": [member.name for member in self.gateways if member.silent_s > LATE_S],
            "other_terms": [
                member.name
                for member in self.gateways
                if member.terms and member.silent_s <= LATE_S and member.terms != self._me.terms
            ],
        }

    def _no_turn(self) -> str | None:
        return None if self.state.fleet is None else self.state.fleet.no_turn

    def _try_turn(self) -> None:
        """Test whether a change could be written, without writing one."""
        with suppress(StateError):
            if self.state.fleet is not None:
                with self.state.fleet.turn():
                    pass

    def step(self, db: "psycopg.Connection[Any]") -> float:
        """Apply new changes, and report the revision that all of the gateway's processes apply."""
        catch_up(self.state, db, self._tell)
        version = self.state.version()
        late = bool(behind(self.folder, version))
        now = replace(self._me, revision=self._me.revision if late else version.revision, terms=self._terms())
        if now != self._me or time.monotonic() - self._said_s >= ALIVE_S:
            if not say_alive(db, now, self._life_before):
                raise StateError(
                    f"another gateway is called {now.name}, too: start this one with another --gateway NAME"
                )
            if not self._said_s:  # from now on others divide a budget's rest by one more
                db.execute("SELECT pg_notify(%s, '')", (SPENT_CHANNEL,))
            self._me, self._said_s = now, time.monotonic()
            self._life_before = self._me.life
            self.gateways = read_gateways(db)
            self._ahead_s = time.time() - read_clock(db)
        if not late and time.monotonic() - self._turn_s >= TURN_S:
            self._try_turn()
            self._turn_s = time.monotonic()
        return SOON_S if late else LOOK_S

    def end(self, db: "psycopg.Connection[Any]") -> None:
        if not self.stays:
            leave(db, self._me.name, self._me.life)
