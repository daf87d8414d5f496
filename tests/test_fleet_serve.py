"""Two real `stillwatch serve` processes with shared state, and the failures of each."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import postgres_server
from fleet_world import FleetServed, cut, fleet, query, url_of
from gateway_world import UPSTREAM_KEY, request, until
from served import COMMAND
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE
from upstream import Upstream

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(tmp_path: Path, url: str) -> Iterator[list[FleetServed]]:
    with Upstream() as up, fleet(tmp_path, up.url, url, "a", "b") as gateways:
        yield gateways


def test_a_change_that_was_answered_is_in_force_on_both(pair: list[FleetServed]) -> None:
    a, b = pair
    key = a.issue("acct_1")
    assert (a.status(key), b.status(key)) == (200, 200)  # at once: the command has waited for both
    for one, step in ((a, "block"), (b, "watch"), (b, "block")):
        began = time.monotonic()
        done = one.run("standing", "set", "acct_1", "--step", step, "--why", "test")
        assert done.returncode == 0, done.stderr
        print(f"{step} at {one.name}: {time.monotonic() - began:.2f} s with the command's own start")
        assert {a.status(key), b.status(key)} == ({403} if step == "block" else {200})
    other = b.issue("acct_2")
    found = [line for line in a.run("key", "list").stdout.splitlines() if "acct_2" in line]
    assert len(found) == 1
    key_id = found[0].split()[0]
    assert a.run("key", "revoke", key_id).returncode == 0
    assert (a.status(other), b.status(other)) == (401, 401)
    assert "is one of 2 gateways" in a.part("fleet")
    assert "is one of 2 gateways" in b.part("fleet")


def test_who_could_not_join_leaves_no_mark_in_the_shared_folder(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.mkdir()
    stranger = FleetServed(place, "http://127.0.0.1:9", "postgresql://nobody@127.0.0.1:1/none", "a")
    environment = os.environ | {UPSTREAM_KEY_VARIABLE: UPSTREAM_KEY}
    words = [*COMMAND, *stranger.words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 2
    assert "joins a fleet only while its database is there" in done.stderr
    assert not (tmp_path / "shared").exists()


def test_a_gateway_that_is_killed_or_stopped_is_told_of(pair: list[FleetServed], url: str) -> None:
    a, b = pair
    key = a.issue("acct_1")
    assert b.process is not None
    b.process.send_signal(signal.SIGSTOP)  # isolated: it may serve, but receives nothing
    time.sleep(0.5)
    done = a.run("standing", "set", "acct_1", "--step", "block", "--why", "test")
    assert done.returncode == 3
    assert "gateway b goes by revision" in done.stderr
    b.process.send_signal(signal.SIGCONT)
    b.comes_to(key, 403)
    b.process.kill()
    b.process.wait(30)
    done = a.run("standing", "set", "acct_1", "--step", "watch", "--why", "test")
    assert done.returncode == 3
    assert "gateway b goes by revision" in done.stderr
    until(lambda: "no sign of b" in a.part("fleet"), what="that b is missed")
    b.start()
    b.comes_to(key, 200)
    until(lambda: "no sign" not in a.part("fleet"), what="that b is back")
    assert a.run("standing", "set", "acct_1", "--step", "block", "--why", "test").returncode == 0
    assert b.stop() == 0
    assert query(url, "SELECT name FROM gateways") == [("a",)]
    assert a.run("standing", "set", "acct_1", "--step", "watch", "--why", "test").returncode == 0


def test_a_lost_connection_is_made_anew_and_nothing_is_missed(pair: list[FleetServed], url: str) -> None:
    a, b = pair
    key = a.issue("acct_1")
    for step, status in (("block", 403), ("watch", 200)) * 2:
        cut(url)
        done = a.run("standing", "set", "acct_1", "--step", step, "--why", "test")
        assert done.returncode in (0, 3), done.stderr
        a.comes_to(key, status)
        b.comes_to(key, status)


def test_without_the_database_bans_hold_and_the_rest_is_served(tmp_path: Path) -> None:
    with Upstream() as up:
        with postgres_server.running() as server:
            if server is None:
                pytest.skip(postgres_server.WHY_NOT)
            running = fleet(tmp_path, up.url, url_of(server), "a", "b")
            a, b = running.__enter__()
            honest, banned, ended = (a.issue(f"acct_{k}") for k in (1, 2, 3))
            assert b.run("standing", "set", "acct_2", "--step", "block", "--why", "test").returncode == 0
            listed = b.run("key", "list").stdout.splitlines()
            key_id = next(line.split()[0] for line in listed if "acct_3" in line)
            assert a.run("key", "revoke", key_id).returncode == 0
            token = re.findall(r"sw-admin-[\w-]+", a.log())[0]  # of all gateways
            assert _issue_by_admin_port(b, token) == 201
        try:
            until(lambda: "cannot be reached" in a.part("fleet"), what="that health says so")
            for restarts in (False, True):
                if restarts:
                    assert b.stop() == 0
                    b.start()
                assert [b.status(key) for key in (honest, banned, ended)] == [200, 403, 401]
                done = b.run("standing", "set", "acct_1", "--step", "block", "--why", "test")
                assert done.returncode == 2
                assert "cannot be reached" in done.stderr
                assert _issue_by_admin_port(b, token) == 503
                assert b.status(honest) == 200
                assert "warning" in b.run("key", "list").stderr
        finally:
            running.__exit__(None, None, None)


def test_a_gateway_that_makes_way_is_waited_for(pair: list[FleetServed], url: str) -> None:
    """While its workers serve for its successor, no change is reported as applied everywhere."""
    a, b = pair
    key = a.issue("acct_1")
    assert b.process is not None
    before = query(url, "SELECT life FROM gateways WHERE name = 'b'")
    b.process.send_signal(signal.SIGUSR2)
    changed = False
    for step in ("block", "watch") * 6:
        done = a.run("standing", "set", "acct_1", "--step", step, "--why", "test")
        assert done.returncode in (0, 3), done.stderr
        if done.returncode == 0:
            assert b.status(key) == (403 if step == "block" else 200)
        assert len(query(url, "SELECT name FROM gateways")) == 2
        changed = query(url, "SELECT life FROM gateways WHERE name = 'b'") != before
        if changed:
            break
    assert changed
    b.comes_to(key, 403 if step == "block" else 200)


def _issue_by_admin_port(one: FleetServed, token: str) -> int:
    """Request a key at the admin port; return the status of the answer."""
    head = {"authorization": f"Bearer {token}"}
    return request(one.admin_port, "POST", "/v1/keys", {"account": "acct_9"}, head).status
