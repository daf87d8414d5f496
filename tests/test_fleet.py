"""The state of a fleet: several copies, written in turn through a real PostgreSQL."""

import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import postgres_server
from fleet_world import cut, folder, member, query, url_of
from stillwatch.errors import StillwatchError
from stillwatch.gateway.control import actions
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.control.tables import load_tables
from stillwatch.gateway.fleet.database import FleetUnreachable
from stillwatch.gateway.fleet.membership import catch_up, join, leave_fleet
from stillwatch.gateway.folder import Folder
from stillwatch.terms import EnforcementStatus, Step

NOW = 1_800_000_000_000_000


@pytest.fixture
def two(tmp_path: Path, url: str) -> Iterator[tuple[ControlState, ControlState]]:
    """Two gateways' states in one fleet."""
    a = folder(tmp_path / "a")
    b = folder(tmp_path / "b", a)
    with member(a, url) as one, member(b, url) as other:
        yield one, other


def block(state: ControlState, *accounts: str) -> int:
    status = EnforcementStatus(Step.BLOCK, NOW, "test")
    return actions.act(state, [(a, status) for a in accounts], who="t", why="test", now_us=NOW)


def everything(state: ControlState) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a state except each host's own."""
    with state.reading() as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        found = {n: db.execute(f"SELECT * FROM {n} ORDER BY 1").fetchall() for n in names}
    found["meta"] = [row for row in found["meta"] if row[0] not in ("fleet", "life")]
    return found


@pytest.mark.slow
def test_what_one_gateway_writes_the_other_takes_up(two: tuple[ControlState, ControlState]) -> None:
    a, b = two
    key = a.issue("acct_1", "org", now_us=NOW)
    assert catch_up(b)
    assert not catch_up(b)
    key_id = b.keys()[0].key_id
    assert load_tables(b.path).keys[key_id].account == "acct_1"
    assert key_id in key
    action = block(b, "acct_1", "ü\u2019" * 20)
    b.revoke(key_id, now_us=NOW)
    catch_up(a)
    assert load_tables(a.path).keys[key_id].disabled
    assert load_tables(a.path).standings["acct_1"].step is Step.BLOCK
    actions.undo(a, action, who="t", why="no", now_us=NOW)
    catch_up(b)
    assert load_tables(b.path).standings == {}
    assert everything(a) == everything(b)


@pytest.mark.slow
def test_who_writes_takes_up_first_what_others_wrote(two: tuple[ControlState, ControlState]) -> None:
    a, b = two
    for k in range(5):
        block(a, f"a{k}")
        block(b, f"b{k}")
    catch_up(a)
    assert everything(a) == everything(b)
    assert len(actions.standings(a)) == 10
    seen = a.revision()
    block(b, "c")
    with pytest.raises(StateError, match="look again"):
        a.revoke("nobody", now_us=NOW, if_revision=seen)


@pytest.mark.slow
def test_many_writers_lose_nothing(tmp_path: Path, url: str) -> None:
    first = folder(tmp_path / "0")
    folders = [first, *(folder(tmp_path / str(k), first) for k in (1, 2))]
    failed: list[BaseException] = []

    def write(found: Folder, number: int) -> None:
        try:
            with ControlState(found.state) as state:
                for k in range(8):
                    state.issue(f"acct_{number}_{k}", now_us=NOW)
                    block(state, f"acct_{number}_{k}")
        except BaseException as why:  # noqa: BLE001 - told below
            failed.append(why)

    for found in folders:
        member(found, url).close()
    threads = [threading.Thread(target=write, args=(folders[n % 3], n)) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failed
    states = [ControlState(found.state) for found in folders]
    for state in states:
        catch_up(state)
    found = everything(states[0])
    assert len(found["keys"]) == 48
    assert len(found["standings"]) == 48
    assert sorted(row[0] for row in found["accounts"]) == list(range(48))
    assert all(everything(state) == found for state in states[1:])
    for state in states:
        state.close()


def test_the_first_brings_its_state_along_and_nothing_is_mixed(tmp_path: Path, url: str) -> None:
    a = folder(tmp_path / "a")
    with ControlState(a.state, a.secret()) as alone:
        alone.issue("acct_1", now_us=NOW)
        block(alone, "acct_2")
    with member(a, url) as state:
        before = everything(state)
    with member(folder(tmp_path / "b", a), url) as other:
        assert everything(other) == before
    own = folder(tmp_path / "c", a)
    with ControlState(own.state, own.secret()) as alone:
        alone.issue("acct_9", now_us=NOW)
        with pytest.raises(StateError, match="of its own"):
            join(alone, url)
        assert [one.account for one in alone.keys(limit=9)] == ["acct_9"]
    with pytest.raises(StateError, match="its secret is not the fleet's"):
        member(folder(tmp_path / "d"), url)


def test_a_plain_handle_on_a_members_folder_writes_to_the_fleet(
    two: tuple[ControlState, ControlState],
) -> None:
    a, b = two
    with ControlState(a.path) as command_line:
        command_line.issue("acct_1", now_us=NOW)
    catch_up(b)
    assert [one.account for one in b.keys(limit=9)] == ["acct_1"]


def test_a_handle_from_before_the_fleet_writes_nothing_past_it(tmp_path: Path, url: str) -> None:
    a = folder(tmp_path / "a")
    with ControlState(a.state, a.secret()) as early, ControlState(a.state, a.secret()) as state:
        join(state, url)
        with pytest.raises(StateError, match="do it again"):
            early.issue("acct_1", now_us=NOW)
        assert everything(state)["keys"] == []


@pytest.mark.slow
def test_while_the_database_is_away_bans_hold_and_writes_say_that_they_failed(
    tmp_path: Path,
) -> None:
    with postgres_server.running() as server:
        if server is None:
            pytest.skip(postgres_server.WHY_NOT)
        url = url_of(server)
        a = folder(tmp_path / "a")
        state = member(a, url)
        state.issue("acct_1", now_us=NOW)
        key_id = state.keys()[0].key_id
        state.revoke(key_id, now_us=NOW)
        block(state, "acct_2")
    before = everything(state)
    for write in (lambda: block(state, "acct_3"), lambda: state.issue("x", now_us=NOW)):
        with pytest.raises(FleetUnreachable, match="cannot be reached"):
            write()
    assert everything(state) == before
    state.close()
    with ControlState(a.state, a.secret()) as again:  # a host that starts while it is away
        warning = join(again, url)
        assert warning is not None
        assert "begins with revision" in warning
        tables = load_tables(a.state)
        assert tables.keys[key_id].disabled
        assert tables.standings["acct_2"].step is Step.BLOCK
    shutil.copy2(a.state, tmp_path / "copy.db")
    a.state.unlink()
    shutil.copy2(tmp_path / "copy.db", a.state)  # its age is unknown
    with ControlState(a.state, a.secret()) as put_back, pytest.raises(StateError, match="from elsewhere"):
        join(put_back, url)
    with (
        ControlState(folder(tmp_path / "b", a).state) as stranger,
        pytest.raises(StateError, match="only while its database is there"),
    ):
        join(stranger, url)


@pytest.mark.slow
def test_a_connection_that_is_cut_in_the_middle_changes_nothing(
    two: tuple[ControlState, ControlState], url: str
) -> None:
    a, b = two

    def write_and_be_cut() -> None:
        with a.writing() as (db, _):
            db.execute("INSERT INTO accounts VALUES (0, 'x', NULL, 1)")
            cut(url)

    with pytest.raises(FleetUnreachable):
        write_and_be_cut()
    catch_up(b)
    assert everything(a)["accounts"] == everything(b)["accounts"] == []
    time.sleep(2.1)  # it is tried again after a while
    block(a, "acct_1")


def test_a_database_that_went_back_too_far_resurrects_nothing(
    two: tuple[ControlState, ControlState], url: str, tmp_path: Path
) -> None:
    a, b = two
    a.issue("acct_1", now_us=NOW)
    key_id = a.keys()[0].key_id
    a.revoke(key_id, now_us=NOW)
    query(url, "UPDATE fleet SET revision = revision - 1")
    query(url, "UPDATE keys SET revoked_us = NULL")
    query(url, "DELETE FROM history")  # from a time that no gateway remembers
    with pytest.raises(StateError, match="went back"):
        catch_up(a)
    with pytest.raises(StateError, match="went back"):
        a.issue("acct_2", now_us=NOW)
    assert load_tables(a.path).keys[key_id].disabled
    warning = join(a, url)
    assert warning is not None
    assert "went back" in warning
    # the remedy: the gateway with the most data starts the database again
    query(url, "DROP SCHEMA stillwatch_gateway CASCADE")
    assert join(a, url) is None
    catch_up(b)
    assert load_tables(b.path).keys[key_id].disabled
    assert everything(a) == everything(b)


def test_a_copy_that_lost_its_file_or_got_an_old_one_is_brought_up_to_date(
    two: tuple[ControlState, ControlState], tmp_path: Path, url: str
) -> None:
    a, b = two
    block(a, "acct_1")
    catch_up(b)
    old = tmp_path / "old.db"
    with b.reading() as db:
        db.execute("COMMIT")
        db.execute(f"VACUUM INTO '{old}'")
        db.execute("BEGIN")
    block(a, "acct_2")
    catch_up(b)
    path = b.path
    b.close()
    for part in ("", "-wal", "-shm"):
        path.with_name(path.name + part).unlink(missing_ok=True)
    old.rename(path)
    with ControlState(path) as again:
        catch_up(again)
        assert everything(again) == everything(a)
        assert again.put_back() is None


def test_who_leaves_keeps_what_it_knew(two: tuple[ControlState, ControlState]) -> None:
    a, b = two
    block(a, "acct_1")
    catch_up(b)
    assert leave_fleet(b)
    assert not leave_fleet(b)
    block(b, "acct_2")
    catch_up(a)
    assert set(actions.standings(a)) == {"acct_1"}
    assert set(actions.standings(b)) == {"acct_1", "acct_2"}


@pytest.mark.slow
def test_a_newer_database_is_refused(tmp_path: Path, url: str) -> None:
    member(folder(tmp_path / "a"), url).close()
    query(url, "UPDATE shapes SET version = 99")
    with pytest.raises(StillwatchError, match="written by a newer Stillwatch"):
        member(folder(tmp_path / "b"), url)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_no_order_of_events_loses_or_resurrects_anything(tmp_path: Path, url: str, seed: int) -> None:
    """Three hosts, with lost connections, handles opened and closed, and old copies restored."""
    rng = random.Random(seed)
    first = folder(tmp_path / "0")
    hosts = [first, *(folder(tmp_path / str(k), first) for k in (1, 2))]
    states = [member(one, url) for one in hosts]
    old: list[Path | None] = [None] * 3
    issued: set[str] = set()
    revoked: set[str] = set()
    blocks: dict[str, int] = {}
    for step in range(250):
        k, event = rng.randrange(3), rng.random()
        state = states[k]
        if event < 0.15:
            account = f"acct_{step}"
            issued.add(state.issue(account, now_us=NOW).split("-")[2][:12])
        elif event < 0.3 and (known := [one.key_id for one in state.keys() if one.revoked_us is None]):  # noqa: SIM118
            key_id = rng.choice(known)
            state.revoke(key_id, now_us=NOW)
            revoked.add(key_id)
        elif event < 0.45:
            account = f"acct_{rng.randrange(20)}"
            blocks[account] = block(state, account)
        elif event < 0.5 and blocks:
            account = rng.choice(sorted(blocks))
            actions.undo(state, blocks.pop(account), who="t", why="t", now_us=NOW)
        elif event < 0.7:
            catch_up(state)
        elif event < 0.8:
            cut(url)
        elif event < 0.9:
            state.close()
            states[k] = ControlState(hosts[k].state)
        elif event < 0.95:
            old[k] = tmp_path / f"{k}-{step}.db"
            with sqlite3.connect(hosts[k].state) as db:
                db.execute(f"VACUUM INTO '{old[k]}'")
            db.close()
        elif (copy := old[k]) is not None:
            state.close()
            for part in ("", "-wal", "-shm"):
                hosts[k].state.with_name(f"state.db{part}").unlink(missing_ok=True)
            shutil.copy2(copy, hosts[k].state)
            states[k] = ControlState(hosts[k].state)
            catch_up(states[k])
    for state in states:
        catch_up(state)
    found = everything(states[0])
    assert all(everything(state) == found for state in states)
    keys = load_tables(first.state).keys
    assert len(keys) == len(issued)
    assert {key_id for key_id, one in keys.items() if one.disabled} == revoked
    events = [row[0] for row in found["events"]]
    assert events == list(range(1, len(events) + 1))
    for state in states:
        state.close()
