"""Adds to the cases: the gateway's findings, folded, and to the audit trail the events of `state.db`.

A thread of its own copies both from their sources: serving, enforcement and the ladder do not wait for the
cases' database, and one that was unreachable gets everything later.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, or_, select, text

from stillwatch.cases import CaseError, DetectorState, Verdict
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.detector_changes import states_set
from stillwatch.cases.evidence import Input
from stillwatch.cases.fold import fold
from stillwatch.cases.migrations import migrate
from stillwatch.cases.store import Store
from stillwatch.cases.tables import cases, members
from stillwatch.errors import StillwatchError
from stillwatch.gateway import clock, heartbeat
from stillwatch.gateway.control.actions import accounts_of
from stillwatch.gateway.control.state import ControlEvent, ControlState
from stillwatch.gateway.folder import Folder, derive
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.part_thread import PartThread

SOURCE = "serve"
PERIOD_S = 1.0
LISTEN_US = 30_000_000  # a suppression ends with time alone
AGAIN_US = 10_000_000  # delay before a database that could not be opened is tried again
TABLE_EVENT = "networks table"  # the table used for `asn` from now on
EVENTS = 500  # copied in one transaction
STAYS = {  # details of an event that name no customer and quote nobody
    "accounts", "action", "block_minutes", "by itself", "campaign", "campaigns", "commitment", "days",
    "expires_us", "from_us", "in_force", "networks", "one_block_in", "replaces", "rule", "sha256",
    "start_us", "step", "steps",
}  # fmt: skip


def m001_copied(db: Connection) -> None:
    """Record how far each gateway's events have been copied."""
    db.execute(text("CREATE TABLE gateway_events (gateway TEXT PRIMARY KEY, event BIGINT NOT NULL)"))


MIGRATIONS = [m001_copied]


@dataclass(frozen=True)
class CaseworkDecisions:
    """People's decisions in cases that the ladder respects, as last read."""

    detectors: Mapping[str, DetectorState] = field(default_factory=dict)  # with a state set by a person
    spared: frozenset[str] = frozenset()  # accounts


class Casework(PartThread):
    """One gateway's access to its cases. Thread-safe; the database is opened at first use."""

    name = "casework"

    def __init__(
        self,
        folder: Folder,
        url: str | None,
        state: ControlState,
        tell: Callable[[str], None],
        leads: Callable[[], bool] = lambda: True,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """leads: in a fleet one gateway copies for all; settings: those of its detector."""
        super().__init__()
        self._settings = settings or {}
        self.folder, self.state, self._tell = folder, state, tell
        self.url = url or f"sqlite:///{folder.cases}"
        self._leads = leads
        self.error: str | None = None  # why the cases are behind
        self.said = CaseworkDecisions()
        self._said_at = (-1, 0)  # revision, time
        self._findings = Findings(folder)
        self._folded: tuple[int, ...] = ()
        self._networks: list[list[str]] | None = None  # files of the network table in use: name and SHA-256
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._refused: tuple[int, CaseError] | None = None

    @property
    def key_file(self) -> Path:
        """Return the path of the key that signs the audit trail."""
        return self.folder.path / "audit.key"

    def store(self, now_us: int) -> Store:
        """Return the cases. Raises: CaseError, AuditError while they cannot be opened."""
        with self._lock:
            if self._store is not None:
                return self._store
            if self._refused is not None and 0 <= now_us - self._refused[0] < AGAIN_US:
                raise self._refused[1]
            try:
                self._store = self._open_store()
            except CaseError as why:
                self._refused = (now_us, why)
                raise
            return self._store

    def _open_store(self) -> Store:
        store = Store(self.url)
        try:
            attach(store, self.key_file)
            migrate(store.engine, "gateway", MIGRATIONS)
        except BaseException:
            store.close()
            raise
        return store

    def step(self, now_us: int) -> None:
        """Copy new data. Raises: StillwatchError, OSError; the next call copies the rest."""
        leads = self._leads()
        while leads and self.copy_events(now_us) == EVENTS:
            pass
        handed = self._findings.current()
        if leads and handed.result is not None and handed.sign != self._folded:
            tables = [Input(**table) for table in handed.networks]
            networks = {"networks": sorted({table.name for table in tables})} if tables else {}
            settings = {**self._settings, **networks}
            fold(self.store(now_us), handed.result, now_us, SOURCE, inputs=tables, settings=settings)
            self._folded = handed.sign
        self._listen(self.store(now_us), now_us)
        self._note_networks(now_us)

    def copy_events(self, now_us: int) -> int:
        """Copy events since the last call to the trail, each once; return how many, 500 at most."""
        store, name = self.store(now_us), self._name()
        last = text("SELECT event FROM gateway_events WHERE gateway = :name")
        with store.reading() as db:
            before = db.execute(last, {"name": name}).scalar()
        if not self.state.events_after(before or 0, 1):
            return 0
        with store.writing(now_us) as tx:
            before = tx.db.execute(last, {"name": name}).scalar()
            events = self.state.events_after(before or 0, EVENTS)
            for event in events:
                tx.audit(event.who, event.what, event.subject, *trail_entry(event, self.state))
            if events:
                moved = "UPDATE gateway_events SET event = :event WHERE gateway = :name"
                if before is None:
                    moved = "INSERT INTO gateway_events VALUES (:name, :event)"
                tx.db.execute(text(moved), {"name": name, "event": events[-1].event})
        return len(events)

    def _note_networks(self, now_us: int) -> None:
        """Record, once, that the recorder uses another table for `asn` than before, or none."""
        beat = heartbeat.read(self.folder.run / "recorder.json")
        if "networks" not in beat:
            return
        files = [[entry["name"], entry["sha256"]] for entry in beat["networks"].get("files", ())]
        if self._networks is None:
            self._networks = self.state.last_detail(TABLE_EVENT, self._name()).get("networks", [])
        if files != self._networks:
            self.state.event("stillwatch", TABLE_EVENT, self._name(), {"networks": files}, now_us=now_us)
            self._networks = files

    def _name(self) -> str:
        return derive(self.state.secret, b"gateway").hex()[:16]

    def _listen(self, store: Store, now_us: int) -> None:
        revision = store.revision()
        if revision != self._said_at[0] or not 0 <= now_us - self._said_at[1] < LISTEN_US:
            now = CaseworkDecisions(states_set(store), spared_accounts(store, now_us))
            self.said = self.said if now == self.said else now
            self._said_at = (revision, now_us)

    # --- its thread ---

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            try:
                self.step(clock.now_us())
            except (StillwatchError, OSError) as why:
                self._note(str(why))
            except Exception as why:  # noqa: BLE001 - the edge of a thread: it must not end in silence
                self._note(f"{type(why).__name__}: {why}")
            else:
                self.error = None
        if self._store is not None:
            self._store.close()

    def _note(self, why: str) -> None:
        if why != self.error:
            self._tell(f"cases: {why}")
        self.error = why


def trail_entry(
    event: ControlEvent, state: ControlState
) -> tuple[dict[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Return an event's permanent part for the trail, and the part that can be erased by person."""
    stays: dict[str, Any] = {k: v for k, v in event.detail.items() if k in STAYS}
    stays |= {"gateway_event": event.event, "done_us": event.at_us}
    sealed = {k: v for k, v in event.detail.items() if k not in STAYS}
    if event.what in ("standings set", "action undone"):
        names = "\0".join(sorted(accounts_of(state, int(event.subject))))
        stays["accounts_sha256"] = hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()
    if not sealed:
        return stays, {}
    return stays, {str(sealed.get("account", f"{event.what} {event.subject}")): sealed}


NOT_THE_ACTOR = (Verdict.VICTIM, Verdict.FALSE, Verdict.PERMITTED)
DISMISSED = (Verdict.FALSE, Verdict.PERMITTED)


def spared_accounts(store: Store, now_us: int) -> frozenset[str]:
    """Return accounts judged not to be the operator's, and those of dismissed and suppressed cases.

    A dismissed case that returns larger is judged again: until then its new size exempts nobody.
    """
    m, c = members.c, cases.c
    own = select(m.account).where(m.verdict.in_([str(v) for v in NOT_THE_ACTOR]))
    quiet = or_(c.verdict.in_([str(v) for v in DISMISSED]), c.suppressed_until_us > now_us)
    of_case = select(m.account).join(cases, c.id == m.case_id).where(m.home.is_not(None), quiet)
    with store.reading() as db:
        return frozenset(db.execute(own).scalars()) | frozenset(db.execute(of_case).scalars())
