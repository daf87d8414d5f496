"""One worker: a process that serves clients. It creates what the requests share; `exchange` handles them.

The supervisor runs `main`. On SIGTERM: accept nothing new, finish what is in progress, end.
"""

import asyncio
import gc
import os
import resource
import signal
import ssl
import sys
from contextlib import suppress
from pathlib import Path

import uvloop

from stillwatch.compiled_code.library import kernels
from stillwatch.errors import refuse_os_errors
from stillwatch.gateway import heartbeat, logs
from stillwatch.gateway.child import raise_file_limit
from stillwatch.gateway.control.owners import Owners
from stillwatch.gateway.control.tables import TableFollower
from stillwatch.gateway.counters import PLACE, Counters
from stillwatch.gateway.folder import Folder, FolderError
from stillwatch.gateway.histograms import Histograms
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.path.batch import Notes
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.gateway.path.caller import knows
from stillwatch.gateway.path.coins import Coins
from stillwatch.gateway.path.exchange import Exchange
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.server import (
    LOOK_S,
    RESERVED_FILES,
    Client,
    Door,
    Strangers,
    drain_clients,
    sweep_clients,
)
from stillwatch.gateway.path.upstream import ConnectionPool, Target
from stillwatch.gateway.probe import given_door
from stillwatch.gateway.record.wal import Writer
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings
from stillwatch.units import utc_us

TABLES_S = 0.1  # how soon a new key or enforcement status takes effect
TERMS_S = 1.0
OWNERS_S = 60.0  # between two looks for what ended workers could not write of owners
DRAIN_S = 30.0
DRAWS_S = 5.0  # how much longer than the clients second answers may take


def trust(settings: GatewaySettings) -> ssl.SSLContext | None:
    """Return how the upstream's certificate is checked; None for plain HTTP."""
    if not settings.upstream.startswith("https"):
        return None
    context = ssl.create_default_context()
    if settings.upstream_ca is not None:
        context.load_verify_locations(settings.upstream_ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Worker:
    """One worker, from start to end."""

    def __init__(self, folder: Folder, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self.folder, self.number, self.loop = folder, number, loop
        for below in (folder.run, folder.wal):  # a restored copy of the folder may lack them
            below.mkdir(mode=0o700, exist_ok=True)
        self.settings = GatewaySettings.load(folder.settings)
        logs.configure(self.settings.log_format, self.settings.log_level, f"worker-{number}")
        self.terms = open_terms(folder, keeps_history=False)
        self.follower = TableFollower(folder.state)
        tables = self.follower.poll() or self.follower.tables
        self.counters = Counters(folder.run / f"worker-{number}.counters")
        target = Target(self.settings.upstream)
        pool = ConnectionPool(target, loop, self.counters.values, trust(self.settings))
        secret = folder.secret()
        self.coins = Coins(folder, number, pool, self.counters.values, lambda: self.gate.now_us())
        self.gate = Gate(
            loop=loop,
            worker=number,
            terms=self.terms.terms,
            tables=tables,
            secret=secret,
            pool=pool,
            budgets=Budgets(
                folder.run, number, self.settings.workers, in_fleet=self.settings.state is not None
            ),
            counters=self.counters.values,
            upstream_key=os.environ.get(UPSTREAM_KEY_VARIABLE) or None,
            open_log=lambda durable, failed: Writer(
                folder.wal, number, secret, durable=durable, failed=failed, soon=loop.call_soon
            ),
            upstream_host=target.host,
            coins=self.coins,
            notes=Notes(folder.run),
            owners=Owners(folder.objects, folder.run / f"worker-{number}.owners"),
            strangers=Strangers(),
            histograms=Histograms(folder.run / f"worker-{number}.histograms"),
            gateway=self.settings.gateway if self.settings.state else None,
        )
        self._stopped = loop.create_future()
        self._beaten = ""  # the error of the tables in the last heartbeat

    async def serve(self) -> None:
        """Serve until told to stop."""
        self._reserve()
        with refuse_os_errors(FolderError, "nobody is served before others can see that it is here"):
            self._announce()  # before the tables: later changes wait for this worker's confirmation
        self._tables()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = max(16, (min(files, 1 << 20) - RESERVED_FILES) // 2)  # each may need one to the upstream
        self.gate.pool.most = min(self.gate.pool.most, most)
        sock = given_door(self.settings.host, self.settings.port)
        door = Door(self.gate, sock, lambda: Client(self.gate, Exchange, knows), most)
        for name in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(name, self._stop)
        self._second()
        self.loop.call_later(OWNERS_S, self._owners)
        await self._stopped
        door.close()
        await drain_clients(self.gate, DRAIN_S)
        for client in list(self.gate.clients):
            client.transport.abort()
        until = self.loop.time() + 1.0
        while self.gate.clients and self.loop.time() < until:
            await asyncio.sleep(0.01)  # so that their outcomes are recorded
        until = self.loop.time() + DRAWS_S
        while self.coins.drawing and self.loop.time() < until:
            await asyncio.sleep(0.05)
        self.coins.close()
        self.gate.log.close()
        self.gate.owners.close()
        self.gate.histograms.flush()
        self.gate.pool.close()

    def _stop(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _tables(self) -> None:
        self.loop.call_later(TABLES_S, self._tables)  # first, so that it runs again whatever fails below
        new_tables = self.follower.poll()
        if new_tables is not None:
            self.gate.tables = new_tables
            self._reserve()
            self.gate.counters[PLACE["reloads_tables"]] += 1
        if new_tables is not None or (self.follower.error or "") != self._beaten:
            self._beat()  # at once: the maker of the change waits for the confirmation

    def _reserve(self) -> None:
        self.gate.budgets.reserve(entry.number for entry in self.gate.tables.keys.values())

    def _second(self) -> None:
        """Do what is due once a second: policy, timeouts, heartbeat."""
        self.loop.call_later(TERMS_S, self._second)  # first, so that it runs again whatever fails below
        self.loop.call_later(LOOK_S, self._sweep, self.loop.time())
        new = self.terms.poll()
        if new is not None:
            self.gate.set_terms(new)
            self.gate.counters[PLACE["reloads_terms"]] += 1
        self.coins.poll(self.gate.terms.coin)
        self.gate.histograms.flush()
        self._beat()

    def _owners(self) -> None:
        self.loop.call_later(OWNERS_S, self._owners)
        self.gate.owners.take_over()

    def _sweep(self, at_s: float) -> None:
        sweep_clients(self.gate, at_s)
        self.gate.pool.sweep(at_s, self.settings.upstream_timeout_s)

    def _beat(self) -> None:
        with suppress(OSError):  # a full disk does not stop serving; the supervisor notices
            self._announce()

    def _announce(self) -> None:
        """Write the heartbeat: the worker's health, and which state it applies. Raises: OSError."""
        self._beaten = self.follower.error or ""
        heartbeat.beat(
            self.folder.run / f"worker-{self.number}.json",
            utc_us(),
            rss=heartbeat.rss_bytes(),
            capture=self.gate.capture_error,
            terms_version=self.gate.terms.version,
            terms_error=self.terms.error,
            tables_revision=self.gate.tables.revision,
            tables_generation=self.gate.tables.generation,
            tables_error=self.follower.error,
            waiting_bytes=self.gate.log.waiting_bytes,
            coin=self.coins.error,
            owners=self.gate.check_owners(),
            owners_waiting=self.gate.owners.write_waiting(),
        )


def main(folder: str, number: int) -> None:
    """Run worker `number` of the gateway in a folder."""
    raise_file_limit()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = Worker(Folder(Path(folder)), number, loop)
    # loads the library now, and builds it in a checkout: later, clients would wait for it
    hasattr(kernels, "find_fields")
    gc.collect()
    gc.freeze()  # what exists now stays: the collector need not check it again
    gc.set_threshold(20_000, 50, 100)
    loop.run_until_complete(worker.serve())
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
