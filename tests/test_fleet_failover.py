"""A fleet's database that hangs, that returns with older data, or that another server replaces."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

import postgres_server
from fleet_world import folder, member, url_of
from gateway_world import until
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.owners import Owners
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.control.tables import load_tables
from stillwatch.gateway.fleet import database
from stillwatch.gateway.fleet.database import SCHEMA, DatabaseWentBack, FleetUnreachable
from stillwatch.gateway.fleet.membership import catch_up, join, leave_fleet
from stillwatch.gateway.fleet.objects import ObjectExchange
from stillwatch.gateway.folder import Folder
from test_fleet import NOW, block, everything
from test_fleet_budgets import ANSWER, connection, counters

Two = tuple[ControlState, ControlState]
NO_ANSWER_S = 20.0  # by then every change has been refused


@contextmanager
def lost_changes(url: str) -> Iterator[None]:
    """Let the database lose what is written meanwhile, as a replica that had not received it."""
    name, server = url.split("/", 3)[3].split("?host=")
    with psycopg.connect(f"host={server} user=stillwatch dbname=postgres", autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}_before TEMPLATE {name}")
        yield
        db.execute(f"DROP DATABASE {name} WITH (FORCE)")
        db.execute(f"ALTER DATABASE {name}_before RENAME TO {name}")


@pytest.fixture
def two(tmp_path: Path, url: str) -> Iterator[Two]:
    """Two gateways' states in one fleet, with one key that both know."""
    a = folder(tmp_path / "a")
    with member(a, url) as one, member(folder(tmp_path / "b", a), url) as other:
        one.issue("acct_1", now_us=NOW)
        catch_up(other)
        yield one, other


def revoke_the_key(state: ControlState) -> None:
    state.revoke(state.keys()[0].key_id, now_us=NOW)


def is_revoked(state: ControlState) -> bool:
    return all(key.disabled for key in load_tables(state.path).keys.values())


def blocked_accounts(state: ControlState) -> set[str]:
    return set(load_tables(state.path).standings)


def what_happened(state: ControlState) -> list[str]:
    return [event.what for event in state.events()]


@pytest.mark.slow
def test_two_histories_with_the_same_numbers_are_never_taken_for_one(two: Two, url: str) -> None:
    a, b = two
    with lost_changes(url):
        revoke_the_key(a)  # b does not learn of it
    block(b, "acct_2")  # gets the revocation's number
    block(b, "acct_3")
    before = everything(a)
    for what in (lambda: catch_up(a), lambda: block(a, "acct_4"), lambda: revoke_the_key(a)):
        with pytest.raises(DatabaseWentBack, match="takes nothing"):
            what()
    warning = join(a, url)
    assert warning is not None
    assert "takes nothing" in warning
    assert everything(a) == before
    assert is_revoked(a)


@pytest.mark.slow
def test_a_database_that_lost_its_last_changes_gets_them_again(two: Two, url: str) -> None:
    a, b = two
    with lost_changes(url):
        revoke_the_key(a)
        block(a, "acct_2", "acct_3")
        catch_up(b)
        block(a, "acct_4")
    catch_up(b)  # which does not know the last one
    catch_up(a)
    catch_up(b)
    block(b, "acct_5")
    catch_up(a)
    assert is_revoked(b)
    assert blocked_accounts(b) == {"acct_2", "acct_3", "acct_4", "acct_5"}
    assert everything(a) == everything(b)


@pytest.mark.slow
def test_what_an_earlier_version_writes_without_marks_is_taken_up(
    two: Two, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    with monkeypatch.context() as earlier:
        earlier.setattr(database, "put_mark", lambda *_: {})
        block(b, "acct_2")
        block(b, "acct_3")
    catch_up(a)
    block(a, "acct_4")
    catch_up(b)
    assert blocked_accounts(a) == blocked_accounts(b) == {"acct_2", "acct_3", "acct_4"}
    with lost_changes(url):
        revoke_the_key(a)
    with monkeypatch.context() as earlier:
        earlier.setattr(database, "put_mark", lambda *_: {})
        block(b, "acct_5")  # gets the revocation's number
    with pytest.raises(DatabaseWentBack, match="takes nothing"):
        catch_up(a)


@pytest.mark.slow
def test_who_left_the_fleet_and_went_on_alone_is_not_taken_back(two: Two, url: str) -> None:
    a, b = two
    leave_fleet(b)
    assert join(b, url) is None
    leave_fleet(b)
    block(b, "acct_2")
    block(a, "acct_3")
    with pytest.raises(StateError, match="was changed since"):
        join(b, url)
    assert blocked_accounts(a) == {"acct_3"}


@pytest.mark.slow
def test_a_budget_is_one_though_the_database_forgot_what_was_spent(tmp_path: Path, url: str) -> None:
    a, b = counters(tmp_path, url, 2, 100 * ANSWER)
    with connection(url) as db:
        for one in (a, b, a, b):
            one.exchange(db)
    with lost_changes(url), connection(url) as db:
        for _ in range(30):
            for one in (a, b):
                one.lets_through()
                one.exchange(db)
    for one in (a, b):
        one.part.miss()
    with connection(url) as db:
        for _ in range(100):
            for one in (a, b):
                one.lets_through()
                one.exchange(db)
    assert 100 <= a.answers + b.answers <= 102


@pytest.mark.slow
def test_a_replica_that_had_not_got_everything_goes_on_and_nothing_comes_back(tmp_path: Path) -> None:
    with postgres_server.startable() as primary:
        if primary is None:
            pytest.skip(postgres_server.WHY_NOT)
        alone = url_of(str(primary.folder))
        with primary.replica() as replica:
            url = f"{alone},{replica.folder}&target_session_attrs=read-write"
            first = folder(tmp_path / "a")
            second = folder(tmp_path / "b", first)
            with member(first, url) as a, member(second, url) as b:
                a.issue("acct_1", now_us=NOW)
                parts = [ObjectExchange(one, url, print) for one in (first, second)]
                exchange(parts, url)
                at = "SELECT pg_current_wal_lsn()::text"
                where = primary.query(at)[0][0]
                until(lambda: replica.query(f"SELECT pg_last_wal_replay_lsn() >= '{where}'")[0][0])
                replica.query("ALTER SYSTEM SET primary_conninfo = ''")
                replica.query("SELECT pg_reload_conf()")
                until(lambda: not primary.query("SELECT 1 FROM pg_stat_replication"))
                revoke_the_key(a)
                make_object(first, "file-1")
                exchange(parts[:1], url)
                primary.stop(signal.SIGKILL)
                with pytest.raises(FleetUnreachable, match="cannot be reached"):  # no server accepts writes
                    block(b, "acct_2")
                assert join(a, url)  # begins with what it knows
                replica.query("SELECT pg_promote()")
                make_object(second, "file-2")  # the new primary increments before the first gateway checks
                exchange(parts[1:], url)
                time.sleep(database.AGAIN_S + 0.1)
                catch_up(a)
                catch_up(b)
                assert is_revoked(b)
                exchange(parts + parts, url)
                for one in (first, second):
                    with Owners(one.objects) as owners:
                        assert set(owners.owners(["file-1", "file-2"])) == {"file-1", "file-2"}


def make_object(one: Folder, name: str) -> None:
    with Owners(one.objects) as owners:
        owners.add("acct_1", [(name, "files")], NOW, expected_new=True)


def exchange(parts: list[ObjectExchange], url: str) -> None:
    for part in parts:
        with psycopg.connect(url, autocommit=True, options=f"-c search_path={SCHEMA}") as db:
            part.step(db)


@pytest.mark.slow
def test_a_server_that_stands_still_is_given_up(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "ANSWER_S", 1.0)
    with postgres_server.startable() as server:
        assert server is not None
        a = folder(tmp_path / "a")
        with member(a, url_of(str(server.folder))) as state:
            state.issue("acct_1", now_us=NOW)
            before = everything(state)

            def write_and_stand_still() -> None:
                with state.writing() as (db, _):
                    db.execute("INSERT INTO accounts VALUES (7, 'x', NULL, 1)")
                    server.freeze()

            def last(do: Callable[[], object]) -> float:
                began = time.monotonic()
                with pytest.raises(FleetUnreachable):
                    do()
                return time.monotonic() - began

            try:
                assert last(write_and_stand_still) < NO_ANSWER_S
                assert last(lambda: block(state, "acct_1")) < NO_ANSWER_S
                assert last(lambda: catch_up(state)) < NO_ANSWER_S
            finally:
                server.freeze(signal.SIGCONT)
            assert everything(state) == before
            time.sleep(database.AGAIN_S + 0.1)
            block(state, "acct_1")
            assert len(everything(state)["accounts"]) == 1
