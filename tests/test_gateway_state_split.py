"""State cannot split: the path has one state, whatever happens to its files, and all reports fit it."""

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from stillwatch.cases.store import Store
from stillwatch.cli.main import app
from stillwatch.gateway import heartbeat
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.app import create_app
from stillwatch.gateway.control import actions, keys, mark, migrations
from stillwatch.gateway.control.in_force import NotInForce, behind, wait_until_in_force
from stillwatch.gateway.control.mark import Version
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.control.tables import TableFollower, load_tables
from stillwatch.gateway.folder import Folder, FolderError, open_folder
from stillwatch.gateway.health import health, unready
from stillwatch.gateway.instance import open_terms, sole_instance
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text
from stillwatch.units import utc_us

NOW = 1_795_600_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "serve")


@pytest.fixture
def state(folder: Folder) -> Iterator[ControlState]:
    with ControlState(folder.state) as opened:
        yield opened


def block(state: ControlState, account: str) -> int:
    stands = EnforcementStatus(Step.BLOCK, NOW, "test")
    return actions.act(state, [(account, stands)], who="ann", why="test", now_us=NOW)


def elsewhere(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run code in another process."""
    run = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(run, capture_output=True, text=True, timeout=60)


OPEN_AND_CLOSE = (
    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM meta'); db.close()"
)


def wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


# --- the cause: dropped locks, and a deleted log ---


def test_a_process_that_closes_the_state_never_takes_the_log_away(
    folder: Folder, state: ControlState
) -> None:
    state.issue("a", now_us=NOW)
    before = os.stat(wal(folder.state)).st_ino
    ControlState(folder.state).close()  # this dropped the process's locks: it opened the path a second time
    load_tables(folder.state)
    assert elsewhere(OPEN_AND_CLOSE, folder.state).returncode == 0
    assert os.stat(wal(folder.state)).st_ino == before
    state.issue("b", now_us=NOW)
    assert len(load_tables(folder.state).keys) == 2


def test_the_cases_never_lose_their_log_either(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    with Store(f"sqlite:///{path}") as store:
        before = os.stat(wal(path)).st_ino
        Store(f"sqlite:///{path}").close()
        assert elsewhere(OPEN_AND_CLOSE, path).returncode == 0
        assert os.stat(wal(path)).st_ino == before
        store.look("ann", "looked", "x", {}, NOW)
    with Store(f"sqlite:///{path}") as store:
        assert store.revision() == 1


def test_cases_that_were_replaced_while_open_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    with Store(f"sqlite:///{path}") as store:
        shutil.copy(path, tmp_path / "copy")
        os.replace(tmp_path / "copy", path)
        with pytest.raises(Exception, match="was replaced or removed while it was open"):
            store.look("ann", "looked", "x", {}, NOW)


# --- files that are replaced, removed, renamed ---


def put_back_whole(folder: Folder, copied: Path) -> None:
    shutil.rmtree(folder.path)
    shutil.copytree(copied, folder.path)


def put_back_over(folder: Folder, copied: Path) -> None:
    shutil.copytree(copied, folder.path, dirs_exist_ok=True)


def put_back_renamed(folder: Folder, copied: Path) -> None:
    folder.path.rename(folder.path.with_name("old"))
    shutil.copytree(copied, folder.path)


@pytest.mark.parametrize("put_back", [put_back_whole, put_back_over, put_back_renamed])
def test_a_copy_of_the_folder_that_is_put_back_is_noticed(
    folder: Folder, tmp_path: Path, put_back: Callable[[Folder, Path], None]
) -> None:
    with ControlState(folder.state) as state:
        key_id = keys.parse(state.issue("a", now_us=NOW))[0]  # type: ignore[index]
        first = state.version()
    shutil.copytree(folder.path, tmp_path / "copy")
    with ControlState(folder.state) as state:
        state.revoke(key_id, now_us=NOW)
        block(state, "b")
        assert state.put_back() is None
    put_back(folder, tmp_path / "copy")
    with ControlState(folder.state) as state:
        found = state.put_back()
        assert found is not None
        assert found.revision == first.revision
        assert state.version().generation != first.generation
        assert state.events()[0].what == "state put back"
    with ControlState(folder.state) as state:  # once
        assert [event.what for event in state.events()].count("state put back") == 1


@pytest.mark.slow
def test_only_the_database_put_back_says_how_much_is_missing(folder: Folder, tmp_path: Path) -> None:
    with ControlState(folder.state) as state:
        block(state, "a")
    shutil.copy(folder.state, tmp_path / "copy")
    with ControlState(folder.state) as state:
        block(state, "b")
        block(state, "c")
        last = state.events()[0].event
    shutil.copy(tmp_path / "copy", folder.state)
    with ControlState(folder.state) as state:
        found = state.put_back()
        assert found is not None
        assert (found.revision, found.known_revision) == (1, 3)
        assert state.revision() == 4  # an observer of revision 2 or 3 has seen another state
        assert state.events()[0].event == last + 1  # no event number is used twice
        parts = health(folder, GatewaySettings("http://x"), found.at_us, state=state).parts
        assert "put back" in next(part.text for part in parts if part.name == "standings")


def test_a_folder_that_is_replaced_while_open_is_followed_by_writers_and_readers(
    folder: Folder, tmp_path: Path
) -> None:
    with ControlState(folder.state) as state:
        block(state, "a")
    shutil.copytree(folder.path, tmp_path / "copy")
    with ControlState(folder.state) as state:
        follower = TableFollower(folder.state)
        block(state, "b")
        follower.poll()
        put_back_renamed(folder, tmp_path / "copy")
        with ControlState(folder.state) as other:  # the command line, in the new folder
            block(other, "c")
        block(state, "d")
        follower.poll()
        assert set(actions.standings(state)) == {"a", "c", "d"} == set(follower.tables.standings)
        assert (follower.tables.generation, follower.tables.revision) == (
            state.version().generation,
            state.version().revision,
        )
        follower.close()
    assert set(load_tables(folder.state).standings) == {"a", "c", "d"}


def test_a_database_beside_the_log_of_another_is_refused(folder: Folder, tmp_path: Path) -> None:
    with ControlState(folder.state) as state:
        block(state, "a")
    shutil.copy(folder.state, tmp_path / "copy")
    with ControlState(folder.state) as state:
        block(state, "b")
        follower = TableFollower(folder.state)
        follower.poll()
        assert wal(folder.state).stat().st_size > 0
        os.replace(tmp_path / "copy", folder.state)
        with pytest.raises(StateError, match=r"delete state\.db-wal and state\.db-shm"):
            block(state, "c")
        assert follower.poll() is None
        assert "the log of the one before" in str(follower.error)
        assert "b" in follower.tables.standings  # the last valid ones stay
        follower.close()


def test_a_folder_that_is_gone_answers_no_write_with_success(folder: Folder, state: ControlState) -> None:
    block(state, "a")
    folder.path.rename(folder.path.with_name("elsewhere"))
    with pytest.raises(StateError, match="is gone"):
        block(state, "b")
    folder.path.with_name("elsewhere").rename(folder.path)
    block(state, "c")
    assert set(load_tables(folder.state).standings) == {"a", "c"}
    assert state.put_back() is None  # it is the same folder


def test_a_deleted_log_loses_nothing(folder: Folder, state: ControlState) -> None:
    block(state, "a")
    wal(folder.state).unlink()
    block(state, "b")
    assert set(load_tables(folder.state).standings) == {"a", "b"}


def test_a_mark_that_is_late_or_could_not_be_written_is_no_copy(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ControlState(folder.state) as state:
        block(state, "a")
        monkeypatch.setattr("stillwatch.gateway.control.state.write_mark", lambda *_: None)
        block(state, "b")  # killed before it could report it
    monkeypatch.undo()
    with ControlState(folder.state) as state:
        assert state.put_back() is None


@pytest.mark.slow
def test_workers_of_a_folder_that_was_replaced_while_it_is_served_are_waited_for(
    folder: Folder, tmp_path: Path
) -> None:
    """They follow the folder that is at the path now, and no process holds its lock."""
    with ControlState(folder.state) as state:
        state.issue("a", now_us=NOW)
    shutil.copytree(folder.path, tmp_path / "copy", ignore=shutil.ignore_patterns("run"))
    with sole_instance(folder):
        put_back_renamed(folder, tmp_path / "copy")
        with ControlState(folder.state) as state:
            worker(folder, state.version())  # its status file recreates the folder `run`
            block(state, "a")
            with pytest.raises(NotInForce, match="worker-0 goes by revision"):
                wait_until_in_force(folder, state.version(), state.put_back(), 0.05)
            worker(folder, state.version())
            wait_until_in_force(folder, state.version(), state.put_back())


@pytest.mark.slow
def test_a_change_just_after_the_replacement_waits_until_the_workers_were_heard(
    folder: Folder, tmp_path: Path
) -> None:
    """At first `run` does not exist: no status file does not mean that no worker serves."""
    with ControlState(folder.state) as state:
        state.issue("a", now_us=NOW)
        before = state.version()
    shutil.copytree(folder.path, tmp_path / "copy", ignore=shutil.ignore_patterns("run"))
    put_back_renamed(folder, tmp_path / "copy")
    with ControlState(folder.state) as state:
        block(state, "a")
        sign = threading.Timer(0.5, worker, (folder, before))
        sign.start()
        with pytest.raises(NotInForce, match="worker-0 goes by another state"):
            wait_until_in_force(folder, state.version(), state.put_back(), 0.05)
        sign.join()


def test_a_worker_begins_in_a_copy_of_the_folder_that_lacks_what_only_ran(folder: Folder) -> None:
    """Otherwise a worker that ended after the replacement never came back, and its clients waited in vain."""
    code = import_module("stillwatch.gateway.path.worker")
    GatewaySettings("http://127.0.0.1:1").save(folder.settings)
    folder.terms.write_text(default_text())
    ControlState(folder.state).close()
    shutil.rmtree(folder.run)
    shutil.rmtree(folder.wal)
    loop = asyncio.new_event_loop()
    code.Worker(folder, 0, loop).gate.log.close()
    loop.close()


# --- disks, permissions, clocks, readers, versions ---

FULL = """
import resource, signal, sys
from pathlib import Path
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with ControlState(Path(sys.argv[1])) as state:
    state.issue("before", now_us=1)
    size = Path(sys.argv[1] + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, resource.RLIM_INFINITY))
    refused = 0
    for k in range(5):
        try:
            state.issue(f"during-{k}", now_us=2)
        except StateError as why:
            assert "cannot be written" in str(why), why
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    state.issue("after", now_us=3)
    print(refused, len(state.keys()))
"""


@pytest.mark.slow
def test_a_disk_that_is_full_refuses_and_loses_nothing(folder: Folder) -> None:
    done = elsewhere(FULL, folder.state)
    assert done.returncode == 0, done.stderr
    refused, kept = map(int, done.stdout.split())
    assert refused >= 1
    assert kept == 7 - refused
    with ControlState(folder.state) as state:
        assert len(state.keys()) == kept
        assert state.put_back() is None


READ_ONLY = """
import ctypes, sys
from pathlib import Path
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState
header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # linux/capability.h: as root without any capability
assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
try:
    with ControlState(Path(sys.argv[1])) as state:
        state.issue("b", now_us=1)
except StateError as why:
    print(why)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="takes the rights away by capset")
def test_a_read_only_folder_is_refused_with_a_sentence(folder: Folder) -> None:
    with ControlState(folder.state) as state:
        state.issue("a", now_us=NOW)
    for path in folder.path.glob("state*"):
        path.chmod(0o400)
    folder.path.chmod(0o500)
    try:
        done = elsewhere(READ_ONLY, folder.state)
    finally:
        folder.path.chmod(0o700)
    assert (done.returncode, done.stderr) == (0, "")
    assert "state.db" in done.stdout


def test_a_reader_that_holds_a_transaction_hinders_no_block(folder: Folder, state: ControlState) -> None:
    state.issue("a", now_us=NOW)
    with sqlite3.connect(folder.state, isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM keys").fetchone()
        block(state, "a")
        assert "a" in load_tables(folder.state).standings
        state.close()  # does not wait
        reader.execute("ROLLBACK")
    reader.close()
    assert "a" in load_tables(folder.state).standings


def test_a_clock_that_goes_back_changes_nothing(folder: Folder, state: ControlState) -> None:
    key_id = keys.parse(state.issue("a", now_us=NOW))[0]  # type: ignore[index]
    state.revoke(key_id, now_us=NOW - 86_400_000_000)
    follower = TableFollower(folder.state)
    follower.poll()
    assert follower.tables.keys[key_id].disabled
    follower.close()
    with ControlState(folder.state) as again:
        assert again.put_back() is None


def test_an_old_shape_is_brought_up_and_is_no_copy(folder: Folder) -> None:
    db = sqlite3.connect(folder.state, isolation_level=None)
    migrations.m001_keys_standings_proposals(db)
    db.execute("PRAGMA user_version = 1")
    db.execute("UPDATE meta SET value = 7 WHERE name = 'revision'")
    db.close()
    with ControlState(folder.state) as state:
        assert (state.revision(), state.put_back()) == (7, None)
        block(state, "a")
    assert mark.read_mark(folder.state) is not None
    assert load_tables(folder.state).generation


def test_a_second_gateway_is_refused_and_a_replaced_folder_is_seen(folder: Folder, tmp_path: Path) -> None:
    with sole_instance(folder) as lock:
        assert lock.trouble() is None
        with pytest.raises(Exception, match="is served already"), sole_instance(folder):
            pass
        shutil.copytree(folder.path, tmp_path / "copy")
        put_back_renamed(folder, tmp_path / "copy")
        assert "was replaced while it is served" in str(lock.trouble())


# --- in force, or reported as not in force ---


def worker(folder: Folder, version: Version, **more: object) -> None:
    heartbeat.beat(
        folder.run / "worker-0.json",
        utc_us(),
        tables_revision=version.revision,
        tables_generation=version.generation,
        **more,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"revision": -1}, "worker-0 goes by revision"),
        ({"generation": "other"}, "worker-0 goes by another state"),
        ({"tables_error": "disk I/O error"}, "worker-0 cannot read the state"),
    ],
)
def test_a_worker_that_does_not_go_by_it_is_named(
    folder: Folder, state: ControlState, says: dict[str, object], why: str
) -> None:
    block(state, "a")
    now = state.version()
    with sole_instance(folder):
        worker(folder, now)
        wait_until_in_force(folder, now, None)
        assert any(
            p.status == "ok" for p in health(folder, GatewaySettings("http://x"), 0, state=state).parts
        )
        generation = str(says.pop("generation", now.generation))
        worker(folder, Version(generation, now.revision + int(str(says.pop("revision", 0)))), **says)
        with pytest.raises(NotInForce, match=why):
            wait_until_in_force(folder, now, None, 0.05)
        standings = {p.name: p for p in health(folder, GatewaySettings("http://x"), 0, state=state).parts}[
            "standings"
        ]
        assert standings.status == "degraded"


@pytest.mark.slow
def test_the_command_line_and_the_admin_port_say_so(folder: Folder, state: ControlState) -> None:
    folder.terms.write_text(default_text())
    token = state.admin_token(now_us=NOW)
    desk = Desk(
        folder, GatewaySettings("http://x"), state, open_terms(folder, keeps_history=True), Findings(folder)
    )
    admin = TestClient(
        create_app(desk), "http://127.0.0.1:8081", headers={"authorization": f"Bearer {token}"}
    )
    body = {"accounts": ["a"], "step": "block", "why": "x"}
    words = ["standing", "set", "b", "--step", "block", "--why", "x", "--folder", str(folder.path)]
    with sole_instance(folder):
        worker(folder, state.version())
        answer = admin.post("/v1/standings", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "not_in_force")
        assert admin.post("/v1/keys", json={"account": "c"}).json()["in_force"] is False
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 3
        assert "worker-0 goes by revision" in done.stderr
    heartbeat.clear(folder.run)
    assert admin.post("/v1/standings", json=body).status_code == 200
    assert CliRunner().invoke(app, words).exit_code == 0
    assert set(actions.standings(state)) == {"a", "b"}


def test_it_is_not_ready_before_a_worker_serves_and_from_the_signal_on(folder: Folder) -> None:
    settings, now_us = GatewaySettings("http://x"), utc_us()
    assert unready(folder, settings, now_us) == "no worker gives a sign that it serves"
    worker(folder, Version("", 0))
    assert unready(folder, settings, utc_us()) is None
    heartbeat.beat(folder.run / "supervisor.json", now_us, stopping=True, children={})
    assert unready(folder, settings, utc_us()) == "it stops"
    assert health(folder, settings, utc_us()).status == "failing"


@pytest.mark.parametrize(("module", "name"), [("path.worker", "worker-0"), ("hooks.serve", "hooks")])
def test_what_changes_while_a_process_begins_to_serve_waits_for_it(
    module: str, name: str, folder: Folder, state: ControlState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read the state before the change. It must be visible by then, or the change counts as in force."""
    code = import_module(f"stillwatch.gateway.{module}")
    GatewaySettings("http://127.0.0.1:1", hooks_port=1).save(folder.settings)
    folder.terms.write_text(default_text())
    found: list[str] = []

    def door(*_: object) -> None:
        block(state, "a")
        found.extend(behind(folder, state.version()))
        raise InterruptedError

    monkeypatch.setattr(code, "given_door", door)
    loop = asyncio.new_event_loop()
    served = code.Worker(folder, 0, loop) if name == "worker-0" else code.Hooks(folder, loop)
    with pytest.raises(InterruptedError):
        loop.run_until_complete(served.serve())
    loop.close()
    assert [text.partition(" ")[0] for text in found] == [name]


@pytest.mark.parametrize(("module", "process"), [("path.worker", "Worker"), ("hooks.serve", "Hooks")])
def test_a_process_that_cannot_say_that_it_is_here_serves_nobody(
    module: str, process: str, folder: Folder, state: ControlState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a full disk its status is invisible to others, and it would apply the old state after a change."""
    code = import_module(f"stillwatch.gateway.{module}")
    GatewaySettings("http://127.0.0.1:1", hooks_port=1).save(folder.settings)
    folder.terms.write_text(default_text())

    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(heartbeat, "beat", no_room)
    monkeypatch.setattr(code, "given_door", lambda *_: pytest.fail("it serves"))
    loop = asyncio.new_event_loop()
    made = getattr(code, process)(folder, *([0] if process == "Worker" else []), loop)
    with pytest.raises(FolderError, match="No space left on device"):
        loop.run_until_complete(made.serve())
    loop.close()


# --- all of these together ---


@pytest.mark.slow
def test_random_interleavings_of_writers_lose_no_record_of_the_cases() -> None:
    from state_interleavings import interleave_cases

    found = interleave_cases(10, seed=2)
    assert not found.wrong, found.wrong


@pytest.mark.slow
def test_random_interleavings_lose_nothing_and_bring_nothing_back() -> None:
    from state_interleavings import interleave

    found = interleave(60, seed=2, seconds=150)
    print(found)
    assert found.interleavings >= 3
    assert not found.wrong, found.wrong
