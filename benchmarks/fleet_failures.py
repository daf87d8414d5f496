#!/usr/bin/env python3
"""A fleet's promises, tried on real gateways and a real PostgreSQL under load.

    python benchmarks/fleet_failures.py rolling --minutes 5           # host after host, SIGTERM and SIGUSR2
    python benchmarks/fleet_failures.py failures --minutes 10 --away-s 60
    python benchmarks/fleet_failures.py skew --minutes 3              # needs Debian's faketime
    python benchmarks/fleet_failures.py restore --accounts 25000      # back up, restore, compare
    python benchmarks/fleet_failures.py rolling --minutes 1 --json

`failures` kills processes of gateways with SIGKILL, kills PostgreSQL, makes it and the shared folder
unavailable, and combines some of these. Clients are behind a load balancer that follows /readyz. Each run
prints a table and exits with 1 if a promise was broken. As root the shared folder is a mount of its own,
which leaves an empty folder behind when it is away, like a network mount; else it is renamed.
"""

import argparse
import http.client
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import postgres_server  # noqa: E402 - the tests' own world
from fleet_world import FleetServed, fleet, folder, member, url_of  # noqa: E402
from gateway_world import until  # noqa: E402
from stillwatch.gateway.control import actions  # noqa: E402
from stillwatch.gateway.control.state import ControlState  # noqa: E402
from stillwatch.gateway.fleet.backup import back_up, restore  # noqa: E402
from stillwatch.gateway.folder import open_folder  # noqa: E402
from stillwatch.gateway.record.segments import all_segments  # noqa: E402
from stillwatch.gateway.settings import SHUTDOWN_DELAY_S, GatewaySettings  # noqa: E402
from stillwatch.terms import EnforcementStatus, Step  # noqa: E402
from upstream import Upstream  # noqa: E402

ASKED_S = 1.0  # between two checks of /readyz, like a load balancer's
PAUSE_S = 0.02  # between two requests of a client: this is no test of the machine
SKEW_S = 5
FILLED_S = 20.0  # time in which a minute's allowance is requested
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
FAILOVER_S = 30.0
PROCESSES = ("worker", "recorder", "detector")
PER_MINUTE = 40  # requests, if clocks differ
Say = Callable[[str], None]


class Missing(Exception):
    """This machine lacks something that a run needs."""


@dataclass
class Outcome:
    """The result of a run. `broken` names each broken promise; the rest are figures."""

    what: str
    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def bar(self, name: str, found: int, most: int = 0) -> None:
        """Record a figure that must not exceed a bar."""
        self.figures[name] = found
        if found > most:
            self.broken.append(f"{name}: {found}, at most {most}")


# --- clients behind a load balancer ----------------------------------------------------------------------


class Balancer(threading.Thread):
    """Polls /readyz of each gateway, and knows which are ready."""

    def __init__(self, gateways: list[FleetServed]) -> None:
        super().__init__(name="balancer", daemon=True)
        self.gateways, self.ready = gateways, list(gateways)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(ASKED_S):
            self.ready = [one for one in self.gateways if one.is_ready()]

    def stop(self) -> None:
        self._ended.set()
        self.join(10)


@dataclass
class Answers:
    """The clients' results. Exchange ids of whole answers with status 200 are acknowledged."""

    acknowledged: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # with a text other than the upstream's
    served_although: list[str] = field(default_factory=list)  # with a key that is blocked or revoked


class FleetClients:
    """Threads that send requests without pause over kept connections, with honest and barred keys.

    keys: of honest accounts. barred: keys that must not be served; more may be added.
    """

    def __init__(self, balancer: Balancer, upstream: Upstream, keys: list[str], count: int) -> None:
        self.got, self.barred = Answers(), list[str]()
        self._balancer, self.honest = balancer, keys
        self._bodies = [_body(k) for k in range(24)]
        self._right = [_ask_upstream(upstream, body) for body in self._bodies]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._go, args=(k,)) for k in range(count)]

    def __enter__(self) -> "FleetClients":
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._ended.set()
        for one in self._threads:
            one.join(60)

    def _go(self, number: int) -> None:
        dice = random.Random(number)
        kept: dict[str, http.client.HTTPConnection] = {}
        while not self._ended.wait(PAUSE_S):
            ready = self._balancer.ready
            if not ready:
                self.got.statuses["no gateway was ready"] += 1
                time.sleep(0.1)
                continue
            one = dice.choice(ready)
            if one.name in kept and (dice.random() < 0.3 or _is_over(kept[one.name])):
                _close(kept, one.name)
            connection = kept.setdefault(one.name, one.connect(60.0))
            try:
                again = self._one(connection, one.name, dice)
            except (OSError, http.client.HTTPException) as why:
                self.got.statuses[type(why).__name__] += 1
                again = False
                time.sleep(0.05)
            if not again:
                _close(kept, one.name)
        for name in list(kept):
            _close(kept, name)

    def _one(self, connection: http.client.HTTPConnection, name: str, dice: random.Random) -> bool:
        """Make one exchange; return whether the connection can be reused."""
        barred = list(self.barred)
        key = dice.choice(barred) if barred and dice.random() < 0.1 else dice.choice(self.honest)
        at = dice.randrange(len(self._bodies))
        head = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", self._bodies[at], head)
        reply = connection.getresponse()
        text = reply.read()  # raises if it is not whole
        if key in barred:
            self.got.statuses[f"barred {reply.status}"] += 1
            if reply.status == 200:
                self.got.served_although.append(f"{name} at {datetime.now(UTC):%H:%M:%S}")
        else:
            self.got.statuses[str(reply.status)] += 1
            if reply.status == 200:
                self.got.acknowledged.append(str(reply.headers["x-stillwatch-exchange"]))
            if (reply.status, text) != (200, self._right[at]):
                self.got.wrong.append(f"{name}: {reply.status} {text[:80]!r}")
        return not reply.will_close


def _is_over(connection: http.client.HTTPConnection) -> bool:
    """Return whether the other side has closed an idle connection: load balancers check before reuse."""
    if connection.sock is None:
        return False
    ready = select.poll()  # select() fails in a process with more than 1,023 descriptors
    ready.register(connection.sock, select.POLLIN)
    return bool(ready.poll(0))


def _close(kept: dict[str, http.client.HTTPConnection], name: str) -> None:
    if name in kept:
        kept.pop(name).close()


def _body(number: int) -> str:
    words = [{"role": "user", "content": f"what is {number}?"}]
    return json.dumps({"model": "mira", "messages": words, "stream": bool(number % 2)})


def _ask_upstream(upstream: Upstream, body: str) -> bytes:
    connection = http.client.HTTPConnection(upstream.url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    text = connection.getresponse().read()
    connection.close()
    return text


# --- the fleet -------------------------------------------------------------------------------------------


class SharedMount:
    """The folder that all gateways write to, which can be made unavailable."""

    def __init__(self, place: Path) -> None:
        self.at, self._kept = place / "shared", place / "shared-kept"
        self.at.mkdir()
        self._kept.mkdir()
        bound = ["mount", "--bind", str(self._kept), str(self.at)]
        self.mounts = os.geteuid() == 0 and subprocess.run(bound, capture_output=True).returncode == 0
        if not self.mounts:
            self._kept.rmdir()

    def take_away(self) -> None:
        if self.mounts:
            subprocess.run(["umount", "-l", str(self.at)], check=True)
        else:
            self.at.rename(self._kept)

    def bring_back(self) -> None:
        if self.mounts:
            subprocess.run(["mount", "--bind", str(self._kept), str(self.at)], check=True)
        else:
            self._kept.rename(self.at)

    def end(self) -> None:
        if self.mounts:
            subprocess.run(["umount", "-l", str(self.at)], check=False)


@dataclass
class FleetUnderLoad:
    """Gateways, their infrastructure, and clients that send requests."""

    gateways: list[FleetServed]
    server: postgres_server.PostgresServer
    shared: SharedMount
    clients: FleetClients


@contextmanager
def under_load(many: int, clients: int, **more: Any) -> Iterator[FleetUnderLoad]:
    """Provide a fleet under load until the end. more: as of `fleet`. Raises: Missing without PostgreSQL."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillwatch-fleet-")))
        server = stack.enter_context(postgres_server.startable())
        if server is None:
            raise Missing(postgres_server.WHY_NOT)
        upstream = stack.enter_context(Upstream())
        shared = SharedMount(place)
        stack.callback(shared.end)
        names = [f"gw-{k}" for k in range(many)]
        url = url_of(str(server.folder))
        gateways = stack.enter_context(fleet(place, upstream.url, url, *names, **more))
        keys = [gateways[k % many].issue(f"acct_{k}") for k in range(3)]
        balancer = Balancer(gateways)
        balancer.start()
        stack.callback(balancer.stop)
        asking = stack.enter_context(FleetClients(balancer, upstream, keys, clients))
        yield FleetUnderLoad(gateways, server, shared, asking)


def rows_of(found: FleetUnderLoad, columns: list[str]) -> pa.Table:
    """Return every row in the shared folder, of all gateways."""
    paths = [one.path for one in all_segments(found.gateways[0].folder)]
    return pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])


# --- a rolling restart -----------------------------------------------------------------------------------


def rolling(
    seconds: float, clients: int = 6, delay_s: float = SHUTDOWN_DELAY_S, say: Say = lambda _: None
) -> Outcome:
    """Restart host after host, by SIGTERM and start and by SIGUSR2 in turns, for so long."""
    outcome, count = Outcome("rolling", {"shutdown_delay_s": delay_s}), Counter[str]()
    with under_load(3, clients, delay_s=delay_s) as found:
        end_s = time.monotonic() + seconds
        before = len(found.clients.got.acknowledged)
        while time.monotonic() < end_s or not (count["SIGTERM"] and count["SIGUSR2"]):
            for one in found.gateways:
                by_signal = signal.SIGTERM if count["SIGTERM"] <= count["SIGUSR2"] else signal.SIGUSR2
                _restart(one, by_signal)
                count[by_signal.name] += 1
                time.sleep(2 * ASKED_S)  # until the balancer has seen this host
            say(f"{sum(count.values())} restarts, {len(found.clients.got.acknowledged):,} answers")
        got = found.clients.got
        outcome.figures |= {**count, "answers": len(got.acknowledged) - before}
        errors = {name: n for name, n in got.statuses.items() if not name.isdigit()}
        outcome.figures["errors"] = dict(errors)
        outcome.bar("connection errors", sum(errors.values()))
        outcome.bar("answers other than the upstream's", len(got.wrong))
    return outcome


def _restart(one: FleetServed, by_signal: signal.Signals) -> None:
    if by_signal is signal.SIGTERM:
        if one.stop() != 0:
            raise AssertionError(f"{one.name} did not end in good order: {one.log()[-500:]}")
        one.start()
        return
    assert one.process is not None
    before = one.pids()
    one.process.send_signal(by_signal)
    until(lambda: one.pids() and not one.pids() & before, 90, "other workers")
    until(lambda: one.part("workers") == "1 of 1 serve", 90, "workers")


# --- kill -9, and unavailable services -------------------------------------------------------------------


class Failures:
    """Injects failures into a fleet, and records violations."""

    KINDS = (*PROCESSES, "gateway", "database", "shared folder", "all")

    def __init__(self, found: FleetUnderLoad, away_s: float, seed: int, say: Say) -> None:
        self.found, self.away_s, self._say = found, away_s, say
        self._dice = random.Random(seed)
        self.count: Counter[str] = Counter()
        self.unserved: list[str] = []  # honest requests at a gateway that should serve
        self.not_refused: list[str] = []  # changes accepted without the database
        self._barred = 0

    def inject(self, kind: str) -> None:
        """Inject one failure and end it."""
        self._say(f"{kind}: {len(self.found.clients.got.acknowledged):,} acknowledged before")
        self.count[kind] += 1
        if kind in PROCESSES:
            self._kill(kind)
        elif kind == "gateway":
            victim = self._dice.choice(self.found.gateways)
            with self._killed(victim):
                self._see_served([one for one in self.found.gateways if one is not victim])
        elif kind == "database":
            with self._no_database():
                self._see_changes_refused()
                self._wait_away()
        elif kind == "shared folder":
            with self._no_shared():
                self._wait_away()
                self._kill("recorder")
        else:  # nothing is available, and a gateway dies and is started meanwhile
            with self._no_database(), self._no_shared():
                with self._killed(self._dice.choice(self.found.gateways)):
                    pass
                self._wait_away()
        self._see_served(self.found.gateways)

    def bar_somebody(self) -> None:
        """Block an account or revoke a key at any gateway. Once in force it must stay so."""
        self._barred += 1
        account, one = f"barred_{self._barred}", self._dice.choice(self.found.gateways)
        key = one.issue(account)
        if self._dice.random() < 0.5:
            done = one.run("standing", "set", account, "--step", "block", "--why", "test")
        else:
            listed = one.run("key", "list").stdout.splitlines()
            done = one.run("key", "revoke", next(line.split()[0] for line in listed if account in line))
        if done.returncode not in (0, 3):
            raise AssertionError(f"{account} could not be barred at {one.name}: {done.stderr}")
        if done.returncode == 0:  # else it may take a moment more
            self.found.clients.barred.append(key)
        self.count[f"barred with exit code {done.returncode}"] += 1

    def _kill(self, kind: str) -> None:
        one = self._dice.choice([g for g in self.found.gateways if g.pids(kind)] or self.found.gateways)
        for pid in one.pids(kind):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(1.5)

    @contextmanager
    def _killed(self, one: FleetServed) -> Iterator[None]:
        assert one.process is not None
        one.process.kill()
        one.process.wait(30)
        yield
        one.start()

    @contextmanager
    def _no_database(self) -> Iterator[None]:
        self.found.server.stop(signal.SIGKILL)
        try:
            yield
        finally:
            self.found.server.start()

    @contextmanager
    def _no_shared(self) -> Iterator[None]:
        self.found.shared.take_away()
        try:
            yield
        finally:
            self.found.shared.bring_back()

    def _see_changes_refused(self) -> None:
        one = self._dice.choice(self.found.gateways)
        done = one.run("standing", "set", "acct_0", "--step", "block", "--why", "test")
        if done.returncode != 2:
            self.not_refused.append(f"{one.name}: exit code {done.returncode}")

    def _wait_away(self) -> None:
        end_s = time.monotonic() + self.away_s
        while time.monotonic() < end_s:
            self._see_served(self.found.gateways)
            time.sleep(min(1.0, self.away_s / 4))

    def _see_served(self, gateways: list[FleetServed]) -> None:
        for one in gateways:
            try:
                status: object = one.status(self.found.clients.honest[0])
            except (OSError, http.client.HTTPException) as why:
                status = type(why).__name__
            if status != 200:
                self.unserved.append(f"{one.name}: {status}")


def failures(
    seconds: float, clients: int = 4, away_s: float = 60.0, seed: int = 0, say: Say = lambda _: None
) -> Outcome:
    """Inject each kind of failure, then random ones, for so long; then count."""
    outcome, dice = Outcome("failures"), random.Random(seed)
    with under_load(2, clients) as found:
        tried = Failures(found, away_s, seed, say)
        tried.bar_somebody()
        end_s, kinds = time.monotonic() + seconds, list(Failures.KINDS)
        dice.shuffle(kinds)
        while kinds or time.monotonic() < end_s:
            kind = kinds.pop() if kinds else dice.choice(Failures.KINDS)
            tried.inject(kind)
            if kind not in PROCESSES:  # else the state was available all the time
                _until_changes_are_taken(found)
                tried.bar_somebody()
        found.clients.stop()
        for one in found.gateways:
            until(lambda one=one: one.pids("recorder"), 60, "the recorder")
            one.stop()
        rows = Counter(rows_of(found, ["exchange_id"]).column("exchange_id").to_pylist())
        got = found.clients.got
        outcome.figures |= {**tried.count, "acknowledged": len(got.acknowledged), "rows": rows.total()}
        outcome.figures["statuses"] = dict(got.statuses)
        outcome.bar("acknowledged and lost", len(set(got.acknowledged) - set(rows)))
        outcome.bar("rows doubled", sum(n > 1 for n in rows.values()))
        outcome.bar("served though blocked or revoked", len(got.served_although))
        outcome.bar("honest requests not served by who lives", len(tried.unserved))
        outcome.bar("changes taken without the database", len(tried.not_refused))
        outcome.figures["examples"] = [*got.served_although[:3], *tried.unserved[:3], *tried.not_refused[:3]]
    return outcome


def _until_changes_are_taken(found: FleetUnderLoad) -> None:
    for one in found.gateways:
        until(lambda one=one: one.part("fleet").startswith(one.name), 90, f"the fleet as {one.name} sees it")


# --- clocks that differ ----------------------------------------------------------------------------------


def skew(seconds: float, say: Say = lambda _: None) -> Outcome:
    """Run one of two gateways with a clock that is ahead, past the end of at least one minute.

    Raises: Missing without Debian's faketime.
    """
    if not FAKETIME:
        raise Missing("no faketime on this machine (Debian: apt-get install faketime)")
    outcome = Outcome("skew", {"clock_ahead_s": SKEW_S})
    terms = f"version = 1\n[limits]\nrequests_per_minute = {PER_MINUTE}\n"
    ahead = {
        "LD_PRELOAD": str(FAKETIME[-1]),
        "FAKETIME": f"+{SKEW_S}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # a wrong clock runs as fast as others
    }
    with under_load(2, 0, terms=terms, environments={"gw-1": ahead}) as found:
        a, b = found.gateways
        detectors, key = DetectorWatch([a, b]), a.issue("acct_busy")
        if (left_s := 60.0 - (time.time() + SKEW_S) % 60.0) < FILLED_S:
            time.sleep(left_s)  # a minute that ends before it is used up would hide a clock's error
        with asked_always([a, b], key) as began_s:
            until(lambda: "ahead of the database's" in b.part("fleet"), 20, "that b's clock is told of")
            end_s = max(time.monotonic() + seconds, began_s + _until_next_minute_s() + 8.0)
            _see_changes(outcome, a, b)
            _see_failover(outcome, a, b, say)
            missed = sum("no sign" in one.part("fleet") for one in (a, b))
            outcome.bar("gateways missed though they are there", missed)
            while time.monotonic() < end_s:
                time.sleep(0.2)
        detectors.stop()
        a.stop()
        b.stop()
        outcome.bar("two detectors at once", detectors.both)
        rows = rows_of(found, ["exchange_id", "account", "time", "outcome"]).to_pylist()
        answered = [
            (row["time"].timestamp(), row["exchange_id"].startswith(b.name))
            for row in rows
            if row["account"] == "acct_busy" and row["outcome"] == "complete"
        ]
        spent = by_minute(answered, PER_MINUTE + 2)
        outcome.figures["answers of each minute"] = [spent[minute] for minute in sorted(spent)]
        outcome.bar("requests in a minute", max(spent.values()), PER_MINUTE + 2)
    return outcome


def by_minute(answered: list[tuple[float, bool]], most: int) -> Counter[int]:
    """Count answers by the minute that they were charged to: (seconds by its gateway's clock, ahead or not).

    Minutes start with the fastest clock. Until the other gateway hears of the new minute it may still charge
    what is left of its own; such answers count for the old minute as far as it has room.
    """
    spent: Counter[int] = Counter()
    between: Counter[int] = Counter()  # in the old minute
    for seconds, is_ahead in answered:
        minute = int(seconds // 60)
        if not is_ahead and (seconds + SKEW_S) // 60 > minute:
            between[minute] += 1
        else:
            spent[minute] += 1
    for minute in sorted(between):
        of_old = min(between[minute], max(0, most - spent[minute]))
        spent[minute] += of_old
        spent[minute + 1] += between[minute] - of_old
    return spent


def _until_next_minute_s() -> float:
    return 60.0 - time.time() % 60.0


def _see_changes(outcome: Outcome, a: FleetServed, b: FleetServed) -> None:
    """Check that a change at one gateway holds at the other when the command ends, in both directions."""
    wrong = 0
    for one, other in ((a, b), (b, a)):
        account = f"acct_of_{one.name}"
        key = one.issue(account)
        wrong += other.status(key) != 200
        for step, status in (("block", 403), ("watch", 200)):
            began_s = time.monotonic()
            done = one.run("standing", "set", account, "--step", step, "--why", "test")
            outcome.figures[f"{step} at {one.name}, seconds with the command"] = round(
                time.monotonic() - began_s, 2
            )
            wrong += done.returncode != 0 or other.status(key) != status
    outcome.bar("changes not in force at the other", wrong)


def _see_failover(outcome: Outcome, a: FleetServed, b: FleetServed, say: Say) -> None:
    """Kill the detector's gateway, so that another takes over; then hand over in good order, back again."""
    until(lambda: a.pids("detector") or b.pids("detector"), 40, "a detector")
    first, second = (a, b) if a.pids("detector") else (b, a)
    took = []
    for number, one, other in ((signal.SIGKILL, first, second), (signal.SIGTERM, second, first)):
        began_s = time.monotonic()
        one.stop(number)
        until(lambda other=other: other.pids("detector"), FAILOVER_S + 30, "the other detector")
        took.append(round(time.monotonic() - began_s, 1))
        say(f"{one.name} ended by {number.name}: detector at {other.name} after {took[-1]} s")
        one.start()
    outcome.figures["failover after a kill, in good order, seconds"] = took
    outcome.bar("longest failover, seconds", round(max(took)), round(FAILOVER_S))


class DetectorWatch(threading.Thread):
    """Counts the moments at which two gateways run a detector."""

    def __init__(self, gateways: list[FleetServed]) -> None:
        super().__init__(name="detector-watch", daemon=True)
        self.both, self._gateways, self._ended = 0, gateways, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.2):
            self.both += sum(bool(one.pids("detector")) for one in self._gateways) > 1

    def stop(self) -> None:
        self._ended.set()
        self.join(10)


@contextmanager
def asked_always(gateways: list[FleetServed], key: str) -> Iterator[float]:
    """Send requests of one account to all gateways as fast as allowed. Provides the start time."""
    ended = threading.Event()

    def go(one: FleetServed) -> None:
        while not ended.wait(0.03):
            with suppress(OSError, http.client.HTTPException):
                connection = one.connect(20.0)
                head = {"authorization": f"Bearer {key}", "content-type": "application/json"}
                connection.request("POST", "/v1/chat/completions", _body(0), head)
                connection.getresponse().read()
                connection.close()

    threads = [threading.Thread(target=go, args=(one,)) for one in gateways]
    for thread in threads:
        thread.start()
    try:
        yield time.monotonic()
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)


# --- one archive and back --------------------------------------------------------------------------------


def restored(accounts: int) -> Outcome:
    """Back up a fleet of blocked accounts, and restore it to an empty database and folder.

    Raises: Missing without PostgreSQL.
    """
    outcome, now_us = Outcome("restore", {"blocked accounts": accounts}), time.time_ns() // 1000
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillwatch-fleet-")))
        server = stack.enter_context(postgres_server.running())
        if server is None:
            raise Missing(postgres_server.WHY_NOT)
        old, url, archive = folder(place / "a"), url_of(server), place / "fleet.tar"
        GatewaySettings("http://127.0.0.1:9", state=url, shared=str(place / "shared"), gateway="a").save(
            old.settings
        )
        before = stack.enter_context(member(old, url))
        status = EnforcementStatus(Step.BLOCK, now_us, "test")
        names = [f"acct_{k}" for k in range(accounts)]
        actions.act(before, [(name, status) for name in names], who="t", why="test", now_us=now_us)
        steps: dict[str, Callable[[], object]] = {
            "back-up": lambda: back_up(old, before, archive, now_us),
            "restore": lambda: restore(archive, place / "b", url_of(server), "t", now_us),
            "first copy": lambda: member(
                open_folder(place / "b"), str(GatewaySettings.load(place / "b" / "serve.json").state)
            ).close(),
        }
        for name, step in steps.items():
            began_s = time.monotonic()
            step()
            outcome.figures[f"{name}, seconds"] = round(time.monotonic() - began_s, 2)
        outcome.figures["archive, bytes"] = archive.stat().st_size
        with ControlState(place / "b" / "state.db") as after:
            same = actions.standings(after) == actions.standings(before)
            outcome.bar("enforcement statuses that differ", int(not same))
    return outcome


def main() -> int:
    """Run the named test, print its results."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("what", choices=["rolling", "failures", "skew", "restore"])
    options.add_argument("--minutes", type=float, default=1.0)
    options.add_argument("--clients", type=int, default=4)
    options.add_argument("--away-s", type=float, default=60.0, help="how long something is away")
    options.add_argument("--delay-s", type=float, default=SHUTDOWN_DELAY_S, help="of `rolling`; 0: as before")
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--accounts", type=int, default=25_000, help="of `restore`")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    say: Say = (lambda _: None) if given.json else (lambda text: print(text, flush=True))
    seconds = given.minutes * 60
    try:
        if given.what == "rolling":
            found = rolling(seconds, given.clients, given.delay_s, say)
        elif given.what == "failures":
            found = failures(seconds, given.clients, given.away_s, given.seed, say)
        elif given.what == "skew":
            found = skew(seconds, say)
        else:
            found = restored(given.accounts)
    except Missing as why:
        print(f"fleet_failures: {why}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(asdict(found), indent=1))
    else:
        print("\n".join(f"{name}: {value}" for name, value in found.figures.items()))
        print("\n".join(["BROKEN: " + one for one in found.broken] or ["every promise held"]))
    return 1 if found.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
