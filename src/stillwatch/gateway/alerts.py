"""The alerts process: notifies the recipients in `alerts.toml` of new cases, and of overdue ones again.

It is a separate process, so that a receiver that hangs delays nothing else. Queued messages are in `outbox/`;
after a kill it continues from there. `stillwatch alerts deliver` does the same from the command line.
"""

import os
import random
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stillwatch.cases.audit.trail import attach
from stillwatch.cases.exports import TARGETS
from stillwatch.cases.exports.deliver import work_off
from stillwatch.cases.exports.outbox import Outbox
from stillwatch.cases.exports.targets import read_targets
from stillwatch.cases.exports.telling import tell
from stillwatch.cases.store import Store
from stillwatch.console import people
from stillwatch.console.escalation import escalate
from stillwatch.console.inbox import mail
from stillwatch.console.settings import load_settings
from stillwatch.errors import StillwatchError
from stillwatch.gateway import heartbeat
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.gateway.wake import Wake
from stillwatch.units import utc_us

PERIOD_S = 5.0
OUTBOX, AUDIT_KEY = "outbox", "audit.key"
CONSOLE_VARIABLE = "STILLWATCH_CONSOLE"  # where people reach the console, for links


class Alerts:
    """One folder's alerts. `step` queues news and sends what is due."""

    def __init__(self, folder: Folder, settings: GatewaySettings) -> None:
        self.folder = folder
        self.error: str | None = None
        self.waiting = self.dead = self.sent = 0
        self._url = settings.cases or f"sqlite:///{folder.cases}"
        self._store: Store | None = None
        self._outbox = Outbox(folder.path / OUTBOX)

    def step(self) -> None:
        """Do one round. Raises: StillwatchError; unsent messages stay queued.

        Errors in mail or escalation do not delay the delivery of other alerts.
        """
        targets, base = read_targets(self.folder.path / TARGETS), os.environ.get(CONSOLE_VARIABLE, "")
        store = self._store = self._store or self._open()
        tell(self._outbox, targets, store, utc_us(), base)
        try:
            mail(self._outbox, targets, store, utc_us(), base)
            stages = load_settings(self.folder.path).escalation
            escalate(self._outbox, targets, store, stages, utc_us(), base)
        finally:
            self.sent += work_off(self._outbox, targets, utc_us, random.Random()).sent
        waiting, self.dead = self._outbox.waiting(), len(self._outbox.dead())
        self.waiting, refused = len(waiting), [letter for letter in waiting if letter.attempts]
        self.error = None
        if refused:
            self.error = f"{self.waiting} wait; {refused[0].target}: {refused[0].last_error}"
        elif self.dead:
            self.error = f"{self.dead} were given up; `stillwatch alerts list` names them"

    def _open(self) -> Store:
        with ExitStack() as undo:
            store = undo.enter_context(Store(self._url))
            attach(store, self.folder.path / AUDIT_KEY)
            people.prepare(store)
            undo.pop_all()
        return store

    def says(self) -> dict[str, Any]:
        """Return the contents of its heartbeat."""
        sums = {"sent": self.sent, "waiting": self.waiting, "dead": self.dead}
        return {"rss": heartbeat.rss_bytes(), "error": self.error, **sums}


def _pulse(alerts: Alerts, stop: Wake) -> None:
    while not stop.wait(1.0):
        try:
            heartbeat.beat(alerts.folder.run / "alerts.json", utc_us(), **alerts.says())
        except OSError:
            continue  # the supervisor sees the missing heartbeat


def main(folder: str) -> None:
    """Run the alerts process of the gateway in a folder."""
    stop = Wake.at_the_end()
    place = Folder(Path(folder))
    alerts = Alerts(place, GatewaySettings.load(place.settings))
    threading.Thread(target=_pulse, args=(alerts, stop), name="pulse", daemon=True).start()
    while not stop.is_set():
        try:
            alerts.step()
        except (StillwatchError, OSError) as why:
            alerts.error = str(why)
        stop.wait(PERIOD_S)


if __name__ == "__main__":
    main(sys.argv[1])
