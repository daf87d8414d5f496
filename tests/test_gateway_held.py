"""Databases that others lock for long: writers give up in time and report it, and nobody else has to wait."""

import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.pool import QueuePool

import postgres_server
from fleet_world import folder as fleet_folder
from fleet_world import member
from gateway_world import free_port, gateway, request, until
from scripted_upstream import scripted
from stillwatch.cases import CaseError
from stillwatch.cases import store as case_store
from stillwatch.cases.store import Store
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.app import create_app
from stillwatch.gateway.control import actions, state
from stillwatch.gateway.control.enforce import Enforcer
from stillwatch.gateway.control.migrations import StateError, StateUnwritable
from stillwatch.gateway.control.owners import WAIT_S, Owners
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.control.tables import load_tables
from stillwatch.gateway.fleet import database
from stillwatch.gateway.fleet.follower import FleetFollower
from stillwatch.gateway.fleet.membership import catch_up
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.health import health
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.probe import bind
from stillwatch.gateway.serving import AdminServer
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text
from stillwatch.units import utc_us

NOW = 1_795_600_000_000_000
pytestmark = pytest.mark.slow


@contextmanager
def hold_file(path: Path) -> Iterator[None]:
    """Hold a SQLite file as a back-up tool or a forgotten shell does."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


def seconds(do: Callable[[], object]) -> float:
    began_s = time.monotonic()
    do()
    return time.monotonic() - began_s


def refusal_of(do: Callable[[], object]) -> StateError | None:
    try:
        do()
    except StateError as why:
        return why
    return None


def block(found: ControlState, account: str) -> int:
    stands = EnforcementStatus(Step.BLOCK, NOW, "test")
    return actions.act(found, [(account, stands)], who="ann", why="test", now_us=NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    found = open_folder(tmp_path / "serve")
    found.terms.write_text(default_text())
    return found


def test_many_writers_give_up_together_and_readers_go_on(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, each writer waited 5 s for all others: twelve blocks delayed health and the token check for a
    minute, and were written after their senders had given up."""
    monkeypatch.setattr(state, "BUSY_S", 1.0)
    with ControlState(folder.state) as found, ThreadPoolExecutor(12) as pool:
        desk = Desk(
            folder,
            GatewaySettings("http://x"),
            found,
            open_terms(folder, keeps_history=True),
            Findings(folder),
        )
        token = found.admin_token(now_us=NOW)
        out = TestClient(create_app(desk), base_url="http://127.0.0.1:8081")
        out.headers["authorization"] = f"Bearer {token}"
        asked = {"accounts": ["a"], "step": "block", "why": "x", "by": "ann"}
        assert out.get("/v1/keys").status_code == 200
        with hold_file(folder.state):
            began_s = time.monotonic()
            writing = [pool.submit(out.post, "/v1/standings", json=asked) for _ in range(12)]
            time.sleep(0.3)
            assert seconds(lambda: out.get("/v1/keys")) < 0.6, "who reads has the next turn"
            answers = [one.result() for one in writing]
            assert time.monotonic() - began_s < 3.0
        assert {answer.status_code for answer in answers} == {503}
        assert "another process has held it for 1 s; try again" in answers[0].text
        time.sleep(0.3)
        assert load_tables(folder.state).standings == {}, "what was refused never comes into force"
        block(found, "b")
        assert list(load_tables(folder.state).standings) == ["b"]


def test_terms_in_force_are_put_on_record_when_the_state_can_be_written_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "BUSY_S", 0.1)
    with ControlState(folder.state) as found:
        watched = open_terms(folder, keeps_history=True)
        enforcer = Enforcer(folder, found, watched, print)
        enforcer.step(NOW)
        with hold_file(folder.state):
            folder.terms.write_text(default_text().replace("version = 1", "version = 2"))
            until(lambda: enforcer.step(NOW) or "terms" in enforcer.errors, what="it fails")
            assert "another process" in enforcer.errors["terms"]
        enforcer.step(NOW)
        assert "terms" not in enforcer.errors
        recorded = [event for event in found.events() if event.what == "terms in force"]
        assert recorded[0].detail == {"sha256": watched.sha256}


def test_a_worker_waits_once_for_the_owners_and_then_serves_on() -> None:
    """Once, each new object delayed a worker, and all its clients, by half a second."""
    answers = iter(f"resp_{number:08d}" for number in range(100))
    with (
        scripted(lambda _: {"id": next(answers), "object": "response", "model": "mira", "output": []}) as up,
        gateway(up.url, recorder=False) as g,
    ):

        def make() -> str:
            body = {"model": "mira", "input": "hello"}
            reply = request(g.port, "POST", "/v1/responses", body, g.auth)
            assert reply.status == 200
            return str(reply.json()["id"])

        def parts() -> list[str]:
            settings = GatewaySettings.load(g.folder.settings)
            return [part.text for part in health(g.folder, settings, utc_us()).parts if part.name == "owners"]

        first = make()
        with hold_file(g.folder.objects):
            made: list[str] = []
            assert seconds(lambda: made.extend(make() for _ in range(20))) < 20 * WAIT_S / 3
            assert (
                seconds(lambda: request(g.port, "DELETE", f"/v1/responses/{first}", headers=g.auth)) < WAIT_S
            )
            assert request(g.port, "GET", f"/v1/responses/{made[-1]}", headers=g.auth).status == 200
            until(lambda: parts() and "new objects" in parts()[0], what="health says so")
        until(lambda: not parts(), what="they are written without a further request")
        g.stop("worker-0", signal.SIGKILL)
        with Owners(g.folder.objects) as owners:
            assert set(owners.owners(made).values()) == {"acct_test"}


def test_who_made_what_outlives_a_killed_worker_while_the_owners_cannot_be_written() -> None:
    """A client that was told of an object once lost it for good, if its worker was killed meanwhile."""
    answers = iter(f"resp_{number:08d}" for number in range(100))
    with (
        scripted(lambda _: {"id": next(answers), "object": "response", "model": "mira", "output": []}) as up,
        gateway(up.url, recorder=False) as g,
    ):
        other = {"authorization": f"Bearer {g.issue('acct_other')}"}

        def make() -> str:
            body = {"model": "mira", "input": "hello"}
            return str(request(g.port, "POST", "/v1/responses", body, g.auth).json()["id"])

        def seen(name: str) -> tuple[int, int]:
            reads = [
                request(g.port, "GET", f"/v1/responses/{name}", headers=by).status for by in (g.auth, other)
            ]
            return reads[0], reads[1]

        make()
        with hold_file(g.folder.objects):
            made = [make() for _ in range(5)]
            g.stop("worker-0", signal.SIGKILL)
            g.start("worker-0")
            assert {seen(name) for name in made} == {(200, 404)}
            made.append(make())
            g.stop("worker-0")  # in order: it cannot write them either
        g.start("worker-1")  # of another number, as after a hand-over
        until(lambda: owned_by(g.folder, made) == {"acct_test"}, what="all are written")
        assert {seen(name) for name in made} == {(200, 404)}


def owned_by(folder: Folder, names: list[str]) -> set[str | None]:
    with Owners(folder.objects) as owners:
        known = owners.owners(names)
        return {known.get(name) for name in names}


def test_a_gateway_whose_file_is_held_keeps_the_turn_from_nobody(tmp_path: Path, url: str) -> None:
    """It once held the fleet's turn for 5 s per try, and others' revocations were refused after 3 s."""
    a = fleet_folder(tmp_path / "a")
    b = fleet_folder(tmp_path / "b", a)
    with member(a, url) as one, member(b, url) as other, ThreadPoolExecutor(1) as pool:
        block(one, "warm")
        with hold_file(a.state):
            failing = pool.submit(refusal_of, lambda: block(one, "x"))
            time.sleep(0.2)
            block(other, "acct_1")
            assert isinstance(failing.result(), StateUnwritable)
        catch_up(one)
        assert set(load_tables(a.state).standings) == {"warm", "acct_1"}


def test_a_change_that_only_the_fleet_could_take_is_said_to_be_there(tmp_path: Path, url: str) -> None:
    """Such a change, even the end of a block, was once reported as failed, and came into force later."""
    a = fleet_folder(tmp_path / "a")
    with member(a, url) as one:
        action = block(one, "acct_1")
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = a.state.with_name("state.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
        try:
            why = refusal_of(lambda: actions.undo(one, action, who="t", why="no", now_us=NOW))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert isinstance(why, StateUnwritable)
        assert "written in the fleet's database" in str(why)
        catch_up(one)
        assert load_tables(a.state).standings == {}


def test_health_says_that_nothing_can_be_changed_while_somebody_holds_the_fleets_row(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forgotten session (`idle in transaction`) or used-up connections were once invisible to followers."""
    monkeypatch.setattr(database, "SILENT_MS", 300)
    a = fleet_folder(tmp_path / "a")
    with member(a, url) as one:
        follower = FleetFollower(a, one, "a", lambda: "", print)
        assert one.fleet is not None
        with one.fleet.connect() as db:
            with psycopg.connect(url) as stranger:
                stranger.execute("SELECT * FROM stillwatch_gateway.fleet FOR UPDATE")
                assert isinstance(refusal_of(lambda: block(one, "acct_1")), StateUnwritable), "503: try again"
                follower.step(db)
                assert "try again" in str(follower.says([])["error"])
                stranger.rollback()
            monkeypatch.setattr(follower, "_turn_s", 0.0)
            follower.step(db)
        assert follower.says([])["error"] is None
        block(one, "acct_1")


def test_cases_at_a_server_that_stands_still_keep_nobody_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, each requested page of the console blocked a thread of the admin port for ever."""
    monkeypatch.setattr(case_store, "ANSWER_S", 0.5)
    monkeypatch.setitem(case_store._GIVEN_UP, "connect_timeout", 2)
    with postgres_server.startable() as server:
        if server is None:
            pytest.skip(postgres_server.WHY_NOT)
        with Store(postgres_server.new_database(str(server.folder))) as store:
            before = store.revision()
            server.freeze()
            try:
                with pytest.raises(CaseError, match=r"no answer|cannot be reached|timeout"):
                    store.revision()
            finally:
                server.freeze(signal.SIGCONT)
            assert store.revision() == before


def test_cases_whose_connections_are_all_in_use_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(f"sqlite:///{tmp_path}/cases.db") as store:
        assert isinstance(store.engine.pool, QueuePool)
        monkeypatch.setattr(store.engine.pool, "_timeout", 0.1)
        taken = [store.engine.connect() for _ in range(15)]
        with pytest.raises(CaseError, match="in use; try again"):
            store.revision()
        for connection in taken:
            connection.close()


def answers(port: int) -> bool:
    with suppress(OSError):
        return request(port, "GET", "/health").status == 200
    return False


def test_health_has_a_thread_though_all_others_wait_for_a_database() -> None:
    waits = threading.Event()
    app = FastAPI()
    app.add_api_route("/slow", lambda: waits.wait(20))
    app.add_api_route("/health", lambda: "ok")
    port = free_port()
    door = bind("127.0.0.1", port, "admin_port")
    server = AdminServer(app, door, print)
    thread = server.start()
    try:
        until(lambda: answers(port), what="the port")
        with ThreadPoolExecutor(60) as pool:
            for _ in range(60):
                pool.submit(request, port, "GET", "/slow")
            time.sleep(0.5)
            assert seconds(lambda: request(port, "GET", "/health")) < 5
            waits.set()
    finally:
        server.stop()
        thread.join(10)
        door.close()
