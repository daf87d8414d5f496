"""The hooks process: one port for other gateways. It sets everything up; `answering` has the replies.

The supervisor runs `main`. It uses the workers' own server (`server.Client`): the decision delays every
request of another gateway, and a web framework would cost ten times as much as the decision itself.
"""

import asyncio
import resource
import signal
import sys
from pathlib import Path
from threading import current_thread

import uvloop

from stillwatch.errors import refuse_os_errors
from stillwatch.exchanges.documents import DOCUMENTS_SHARE, READER
from stillwatch.gateway import heartbeat
from stillwatch.gateway.child import raise_file_limit
from stillwatch.gateway.control.owners import Owners
from stillwatch.gateway.control.tables import TableFollower
from stillwatch.gateway.counters import PLACE, Counters
from stillwatch.gateway.folder import Folder, FolderError
from stillwatch.gateway.hooks import WORKER, HookReply
from stillwatch.gateway.hooks.answering import RETRY_S, HookContext, respond
from stillwatch.gateway.hooks.door import opener
from stillwatch.gateway.hooks.held_answers import HeldAnswers
from stillwatch.gateway.hooks.intake import HookIntake, NotKept, Tally
from stillwatch.gateway.hooks.joins import Joins
from stillwatch.gateway.hooks.judge import Judge
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.path.answers import REASONS, error_body
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.request import BadRequest
from stillwatch.gateway.path.server import (
    LOOK_S,
    RESERVED_FILES,
    Client,
    Door,
    Request,
    Strangers,
    drain_clients,
    sweep_clients,
)
from stillwatch.gateway.path.upstream import ConnectionPool, Target
from stillwatch.gateway.path.worker import TABLES_S, TERMS_S
from stillwatch.gateway.probe import given_door
from stillwatch.gateway.record.wal import Writer
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.units import utc_us

READING = 4  # batches at the same time
DRAIN_S = 10.0
TIDY_S = 10


class HookHandler:
    """One request and its reply, for `server.Client`."""

    def __init__(self, world: HookContext, client: Client, request: Request) -> None:
        self.world, self.client, self.request = world, client, request
        self.gone = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        try:
            reply = respond(self.world, self.client, self.request)
        except Exception as why:  # noqa: BLE001 - one request must not end the process
            self._give(self._failure_reply(why))
            return
        if isinstance(reply, HookReply):
            self._give(reply)
        else:
            self._task = self.world.gate.loop.create_task(self._later(reply))

    async def _later(self, replying: object) -> None:
        try:
            reply = await replying  # type: ignore[misc]
        except Exception as why:  # noqa: BLE001 - one request must not end the process
            reply = self._failure_reply(why)
        self._give(reply)

    def _failure_reply(self, why: Exception) -> HookReply:
        if isinstance(why, BadRequest):
            return HookReply(why.status, error_body("chat", why.status, why.code, why.message))
        retry = (b"retry-after", b"%d" % RETRY_S)
        if isinstance(why, NotKept):
            body = error_body("chat", 503, "capture_failed", f"This could not be written down: {why}")
            return HookReply(503, body, (*HookReply(503).headers, retry))
        self.world.tally.failed += 1
        self.world.tally.error = f"{type(why).__name__} while answering {self.request.target[:80]!r}"
        return HookReply(
            500, error_body("chat", 500, "internal", "The hooks process failed at this request.")
        )

    def _give(self, reply: HookReply) -> None:
        if self.gone:
            if reply.answer:  # nobody will report it
                self.world.held.let_go(reply.answer)
            return
        self.gone = True
        client = self.client
        head = client.head(
            reply.status, REASONS.get(reply.status, b"Refused"), list(reply.headers), len(reply.body)
        )
        client.send(head, reply.body) if self.request.method != "HEAD" and reply.body else client.send(head)
        client.done()

    def on_client_lost(self) -> None:
        self.gone = True  # its report is kept all the same

    def on_client_slow(self, slow: bool) -> None:
        return  # replies are short


def _knows(gate: Gate, _: str, request: Request) -> bool:
    """Return whether a head has a hook's key. Without one, no long body is accepted."""
    try:
        return opener(gate, request, gate.now_us(), alone=request.target.startswith("/decide")) is not None
    except BadRequest:
        return False


class _HooksDoor(Door):
    """Drops the oldest connections without a hook key first. Addresses have no share of connections: all
    clients of a gateway have one address."""

    def _is_proxy(self, address: str) -> bool:
        return True

    def holds_too_much(self, client: Client) -> bool:
        return False


class Hooks:
    """The lifetime of the process."""

    def __init__(self, folder: Folder, loop: asyncio.AbstractEventLoop) -> None:
        self.folder, self.loop = folder, loop
        self.settings = GatewaySettings.load(folder.settings)
        self.terms = open_terms(folder, keeps_history=False)
        self.follower = TableFollower(folder.state)
        tables = self.follower.poll() or self.follower.tables
        counters = Counters(folder.run / "hooks.counters")
        secret = folder.secret()
        gate = Gate(
            loop=loop,
            worker=WORKER,
            terms=self.terms.terms,
            tables=tables,
            secret=secret,
            pool=ConnectionPool(Target(self.settings.upstream), loop, counters.values, None),  # never used
            budgets=Budgets(
                folder.run, WORKER, self.settings.workers, in_fleet=self.settings.state is not None
            ),
            counters=counters.values,
            upstream_key=None,
            owners=Owners(folder.objects),
            strangers=Strangers(),
            open_log=lambda durable, failed: Writer(
                folder.wal, WORKER, secret, durable=durable, failed=failed
            ),
        )
        tally = Tally()
        held = HeldAnswers(gate, folder.run / "hooks.held")
        intake = HookIntake(gate, folder.path / "dead-letters.jsonl", tally, held)
        joins = Joins(gate, folder.path / "held")
        self.world = HookContext(gate, Judge(gate), intake, joins, held, tally, asyncio.Semaphore(READING))
        self._number()
        self._beaten = ""  # the tables' error in the last heartbeat
        self._stopped = loop.create_future()
        self._seconds = 0
        self._chores: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Serve until stopped."""
        gate, world = self.world.gate, self.world
        await world.joins.begin()
        with refuse_os_errors(FolderError, "nobody is served before others can see that it is here"):
            self._announce()  # before it reads: later changes wait for its heartbeat
        self._tables()
        assert self.settings.hooks_port is not None
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        door = _HooksDoor(
            gate,
            given_door(self.settings.hooks_host, self.settings.hooks_port),
            lambda: Client(gate, lambda _, client, request: HookHandler(world, client, request), _knows),
            max(16, min(files, 1 << 20) - RESERVED_FILES),
        )
        for name in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(name, self._stop)
        self._second()
        await self._stopped
        door.close()
        await drain_clients(gate, DRAIN_S)
        for client in list(gate.clients):
            client.cut()
        if self._chores:
            await asyncio.wait(self._chores, timeout=DRAIN_S)
        world.joins.close()  # waiting calls remain in its journal
        gate.log.close()

    def _stop(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _number(self) -> None:
        keys = self.world.gate.tables.keys.values()
        self.world.intake.numbers = {entry.account: entry.number for entry in keys}

    def _tables(self) -> None:
        self.loop.call_later(TABLES_S, self._tables)  # first, so that failures below are retried
        new_tables = self.follower.poll()
        if new_tables is not None:
            self.world.gate.tables = new_tables
            self._number()
            self.world.gate.counters[PLACE["reloads_tables"]] += 1
        if new_tables is not None or (self.follower.error or "") != self._beaten:
            self._beat()  # at once, because the author of the change waits for it

    def _second(self) -> None:
        """Do what is due once a second: policy, calls that waited long enough, timeouts, heartbeat."""
        gate = self.world.gate
        self.loop.call_later(TERMS_S, self._second)  # first, so that failures below are retried
        self.loop.call_later(LOOK_S, sweep_clients, gate, self.loop.time())
        new = self.terms.poll()
        if new is not None:
            gate.set_terms(new)
            gate.counters[PLACE["reloads_terms"]] += 1
        self.world.held.sweep(gate.now_us())
        if not self._chores:
            chore = self.loop.create_task(self._chore())
            self._chores.add(chore)
            chore.add_done_callback(self._chores.discard)
        self._beat()

    def _beat(self) -> None:
        gate = self.world.gate
        try:
            self._announce()
        except OSError as why:  # a full disk stops no decision; the failure is visible from outside
            gate.capture_error = gate.capture_error or f"heartbeat: {why.strerror}"

    def _announce(self) -> None:
        """Write the heartbeat: this process's health, and the state it applies. Raises: OSError."""
        gate, world = self.world.gate, self.world
        self._beaten = self.follower.error or ""
        world.held.note()
        heartbeat.beat(
            self.folder.run / "hooks.json",
            utc_us(),
            rss=heartbeat.rss_bytes(),
            capture=gate.capture_error,
            owners=gate.check_owners(),
            terms_version=gate.terms.version,
            terms_error=self.terms.error,
            tables_revision=gate.tables.revision,
            tables_generation=gate.tables.generation,
            tables_error=self.follower.error,
            waiting_bytes=gate.log.waiting_bytes,
            waiting_calls=len(world.joins),
            held_answers=len(world.held),
            untold_answers=world.held.untold,
            **vars(world.tally),
        )

    async def _chore(self) -> None:
        world = self.world
        try:
            rows, refused, keys = world.joins.due(world.gate.now_us())
            for why in refused:
                world.intake.dead("otlp", why, b"")
            await world.intake.keep(rows, "otlp")
            world.joins.forget(keys)
            self._seconds += 1
            if self._seconds % TIDY_S == 0:
                world.joins.tidy()
        except (NotKept, OSError) as why:  # they remain waiting, and are retried
            world.tally.error = f"what waits for texts: {why}"


def main(folder: str) -> None:
    """Run the hooks process of the gateway in a folder."""
    raise_file_limit()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    hooks = Hooks(Folder(Path(folder)), loop)
    READER.spared, READER.share = current_thread(), DOCUMENTS_SHARE  # decisions wait for no document
    loop.run_until_complete(hooks.serve())
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1])
