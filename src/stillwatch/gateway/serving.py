"""`stillwatch serve` as a whole: one instance of a folder, its supervisor, its ladder and its admin port.

The supervisor runs in the main thread, because the kernel ties children to the thread that created them; the
ladder and the admin port have a thread each.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

from stillwatch.gateway import heartbeat
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.app import create_app
from stillwatch.gateway.admin.connections import BACKLOG, MOST, AdminConnection
from stillwatch.gateway.child import raise_file_limit
from stillwatch.gateway.control.case_sync import Casework
from stillwatch.gateway.control.enforce import Enforcer
from stillwatch.gateway.control.owners import Owners
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.fleet.database import psycopg_url
from stillwatch.gateway.fleet.follower import FleetFollower
from stillwatch.gateway.fleet.lease import Lease
from stillwatch.gateway.fleet.membership import join, leave_fleet
from stillwatch.gateway.fleet.objects import ObjectExchange
from stillwatch.gateway.fleet.part import FleetPart
from stillwatch.gateway.fleet.storage import COPY, enter_store, has_entered, use_own, use_shared
from stillwatch.gateway.fleet.store import PROCESS as STORE
from stillwatch.gateway.fleet.store import ObjectStore, StoreAway, is_store
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.handover import InheritedFiles, keep_signals
from stillwatch.gateway.health import PUT_BACK_LATELY_US, put_back_text
from stillwatch.gateway.instance import open_terms, sole_instance
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.part_thread import PartThread
from stillwatch.gateway.path.budgets import void
from stillwatch.gateway.probe import bind, listening
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.gateway.supervise import AT_ONCE_S, Child, Supervisor
from stillwatch.gateway.template import NAME as TEMPLATE
from stillwatch.gateway.template import ForkedChild
from stillwatch.terms.reload import WatchedTerms
from stillwatch.units import utc_us

AGAIN_S = 5.0
NOTHING = InheritedFiles()
Tell = Callable[[str], None]


@dataclass(frozen=True)
class InFleet:
    """The parts of a gateway that belong to its fleet."""

    follower: FleetFollower
    lease: Lease
    parts: tuple[FleetPart, ...]
    store: Path | None  # the mirror's heartbeat; None: they share a folder

    def has_findings(self) -> bool:
        """Return whether the newest findings are here, for a detector to continue from."""
        return self.store is None or heartbeat.read(self.store).get("findings_of") == self.lease.number

    def says(self) -> dict[str, object]:
        """Return their part of the supervisor's heartbeat."""
        return self.follower.says(self.parts) | {"detector": self.lease.holder, "leads": self.lease.is_held()}


@dataclass(frozen=True)
class StartNotice:
    """What is reported once to the person who started the gateway."""

    serves: str
    admin: str
    token: str | None  # only at the first start of a folder


def serve(
    folder: Folder,
    settings: GatewaySettings,
    *,
    environment: Mapping[str, str],
    tell: Tell,
    started: Callable[[StartNotice], None],
    inherited: InheritedFiles = NOTHING,
    rehearse: Callable[[], subprocess.Popen[bytes]] | None = None,
) -> InheritedFiles | None:
    """Serve until SIGTERM or SIGINT. `started` is called when every worker has sent its first heartbeat.

    After SIGUSR2, if `rehearse` succeeds: returns what the next gateway takes over, with running workers.

    Raises: FolderError, SettingsError, TermsError, StateError if it cannot start.
    """
    raise_file_limit()
    with sole_instance(folder, inherited.lock) as lock:
        watched = open_terms(folder, keeps_history=True)
        door = _admin_door(settings, inherited)
        settings.save(folder.settings)
        _forget_all(folder, but=dict(inherited.workers))
        retiring = [Child(name, process=ForkedChild(pid)) for name, pid in inherited.workers]
        with ControlState(folder.state) as state:
            fleet = _enter_fleet(folder, settings, state, watched, tell)
            leads: Callable[[], bool] = (lambda: True) if fleet is None else fleet.lease.is_held
            put_back = state.put_back()
            if put_back is not None and utc_us() - put_back.at_us < PUT_BACK_LATELY_US:
                tell(f"warning: {put_back_text(put_back)}")
            token = state.admin_token(now_us=utc_us())
            desk = Desk(folder, settings, state, watched, Findings(folder))
            found_under = {"short_answer_tokens": settings.short_answers}
            casework = Casework(folder, settings.cases or settings.state, state, tell, leads, found_under)
            enforcer = Enforcer(folder, state, watched, tell, lambda: casework.said, leads)
            admin = AdminServer(create_app(desk, casework), door, tell)
            news = StartNotice(
                _url(settings.host, settings.port), _url(settings.admin_host, settings.admin_port), token
            )
            supervisor = Supervisor(
                folder,
                settings,
                tell,
                environment,
                extra=lambda: {
                    **enforcer.says(),
                    "admin": admin.error,
                    "cases": casework.error,
                    "folder": lock.trouble(),
                    **({} if fleet is None else {"fleet": fleet.says()}),
                    "rss": heartbeat.rss_bytes(),
                },
                ready=lambda: started(news),
                doors=_doors(settings, inherited),
                first=inherited.first_number(),
                retiring=retiring,
                gone=partial(_forget, folder),
                rehearse=rehearse,
                may_run=lambda name: (
                    name != "detector" or (leads() and (fleet is None or fleet.has_findings()))
                ),
                template=Child(TEMPLATE, delay_s=AT_ONCE_S) if sys.platform == "linux" else None,
            )
            supervisor.catch_signals()
            parts: list[PartThread] = [enforcer, casework, admin, *(fleet.parts if fleet else ())]
            threads = [part.start() for part in parts]
            try:
                left = supervisor.run()
                if left is not None and fleet is not None:
                    fleet.follower.stays = True
            finally:
                for part in parts:
                    part.stop()
                for thread in threads:
                    thread.join(10.0)
        if left is None:
            heartbeat.clear(folder.run)
            return None
        keep_signals()
        return InheritedFiles((*left.sockets, door), left.workers, lock.pass_on(), supervisor.is_told_to_stop)


def _enter_fleet(
    folder: Folder, settings: GatewaySettings, state: ControlState, watched: WatchedTerms, tell: Tell
) -> InFleet | None:
    """Join the fleet in the settings, or leave the previous one. Raises: StateError."""
    if settings.state is None:
        if leave_fleet(state):
            with Owners(folder.objects) as owners:
                owners.end_sharing()
            use_own(folder)
            tell("left its fleet: state.db is this gateway's alone from here on")
        return None
    assert settings.shared is not None
    assert settings.gateway is not None
    if (warning := join(state, psycopg_url(settings.state))) is not None:
        tell(f"warning: {warning}")
    # after joining: a gateway that could not join writes nothing there
    if is_store(settings.shared):
        _enter_store(folder, settings.shared, settings.gateway, tell)
    elif (warning := use_shared(folder, Path(settings.shared), settings.gateway)) is not None:
        tell(f"warning: {warning}")
    from stillwatch.gateway.fleet.budgets import BudgetExchange  # loads NumPy

    follower = FleetFollower(folder, state, settings.gateway, lambda: watched.sha256, tell)
    lease = Lease(folder, follower.url, settings.gateway, follower.life, tell)
    objects = ObjectExchange(folder, follower.url, tell)
    budgets = BudgetExchange(folder, follower.url, settings.gateway, tell)
    store = folder.run / f"{STORE}.json" if is_store(settings.shared) else None
    return InFleet(follower, lease, (follower, lease, objects, budgets), store)


def _enter_store(folder: Folder, address: str, gateway: str, tell: Tell) -> None:
    """Make the folder keep a copy of the object store. Raises: FolderError, StoreError."""
    store = ObjectStore(address, folder.secret())
    use_shared(folder, folder.path / COPY, gateway)
    try:
        enter_store(folder, store, gateway)
    except StoreAway as why:
        if not has_entered(folder, store):
            raise
        tell(f"warning: {why}; exchanges wait on this disk until it is back")


def _admin_door(settings: GatewaySettings, inherited: InheritedFiles) -> socket.socket:
    """Return the admin port's socket, once all ports are known to be free or inherited."""
    addresses = settings.addresses()
    inherited.check(port for _, port in addresses.values())
    for what, (host, port) in addresses.items():
        if not inherited.at(port):
            bind(host, port, what).close()  # each worker gets a socket at it
    sockets = inherited.at(settings.admin_port)
    return sockets[0] if sockets else bind(*addresses["admin_port"], "admin_port")


def _forget_all(folder: Folder, but: Mapping[str, int]) -> None:
    """Remove what an earlier run left, except for workers that still run."""
    heartbeat.clear(folder.run, but=but)
    for path in folder.run.glob("worker-*.budgets"):
        if path.stem not in but:
            void(path)


def _forget(folder: Folder, worker: str) -> None:
    """Remove an ended worker's heartbeat, and release its reservations."""
    (folder.run / f"{worker}.json").unlink(missing_ok=True)
    with suppress(OSError):
        void(folder.run / f"{worker}.budgets")


def _doors(settings: GatewaySettings, inherited: InheritedFiles) -> dict[str, Callable[[], socket.socket]]:
    """Return functions that open the sockets at which clients wait, also while a process is replaced."""
    first, clients = inherited.first_number(), inherited.at(settings.port)

    def door(number: int) -> socket.socket:
        if clients:
            return clients[number % len(clients)].dup()
        return listening(settings.host, settings.port)

    doors: dict[str, Callable[[], socket.socket]] = {
        f"worker-{first + k}": partial(door, k) for k in range(settings.workers)
    }
    if settings.hooks_port is not None:
        hooks = inherited.at(settings.hooks_port)
        doors["hooks"] = (
            hooks[0].dup if hooks else partial(listening, settings.hooks_host, settings.hooks_port)
        )
    return doors


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class AdminServer(PartThread):
    """The admin port in its thread. It is restarted when it fails: the gateway serves without it."""

    name = "admin"

    def __init__(self, app: FastAPI, door: socket.socket, tell: Tell) -> None:
        super().__init__()
        self._app, self._tell = app, tell
        self._door = door
        self._server: uvicorn.Server | None = None
        self.error: str | None = None

    def stop(self) -> None:
        super().stop()
        if self._server is not None:
            self._server.should_exit = True

    def _run(self) -> None:
        while not self._stop.is_set():
            config = uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                lifespan="off",
                http=AdminConnection,
                ws="none",
                backlog=BACKLOG,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=200,
                timeout_keep_alive=10,
                timeout_graceful_shutdown=3,
            )
            self._server = uvicorn.Server(config)
            self.error = None
            try:
                asyncio.run(self._serve(self._server))
            except Exception as why:  # noqa: BLE001 - the edge of a thread: it must not end in silence
                self.error = f"{type(why).__name__}: {why}"
            if self._stop.is_set():
                return
            self.error = self.error or "ended by itself"
            self._tell(f"admin port: {self.error}; begins again in {AGAIN_S:.0f} s")
            self._stop.wait(AGAIN_S)

    async def _serve(self, server: uvicorn.Server) -> None:
        # a call that waits for a database occupies a thread: there is one for each connection, health's too
        current_default_thread_limiter().total_tokens = MOST + BACKLOG
        await server.serve(sockets=[self._door.dup()])
