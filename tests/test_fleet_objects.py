"""Owners of stored objects over several gateways, through a real PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet_world import FleetServed, cut, fleet, folder, member, query, url_of
from gateway_world import request, until
from stillwatch.gateway.control.owners import Owners
from stillwatch.gateway.fleet.objects import ObjectExchange
from upstream_store import storing

NOW = 1_800_000_000_000_000


class Host:
    """One gateway's owners, and the component that exchanges them."""

    def __init__(self, path: Path, url: str, like: "Host | None" = None) -> None:
        self.folder = folder(path, like and like.folder)
        member(self.folder, url).close()
        self.owners = Owners(self.folder.objects)
        self.url = url
        self.part = ObjectExchange(self.folder, url, print)

    def exchange(self) -> None:
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=stillwatch_gateway") as db:
            self.part.step(db)

    def owner(self, name: str) -> str | None:
        return self.owners.owners([name]).get(name)


@pytest.fixture
def hosts(tmp_path: Path, server: str) -> Iterator[Callable[[], Host]]:
    url = url_of(server)
    made: list[Host] = []

    def new() -> Host:
        made.append(Host(tmp_path / str(len(made)), url, made[0] if made else None))
        return made[-1]

    yield new
    for host in made:
        host.owners.close()


@pytest.mark.slow
def test_owners_come_to_the_others_and_go_again(hosts: Callable[[], Host]) -> None:
    a, b = hosts(), hosts()
    a.owners.add("acct_1", [("file-1", "files"), ("resp_1", "responses")], NOW, expected_new=True)
    assert b.owner("file-1") is None
    a.exchange()
    b.exchange()
    assert b.owners.object("resp_1") == a.owners.object("resp_1")
    assert b.owner("file-1") == "acct_1"
    assert b.owners.has("acct_1", "files")
    b.owners.forget("file-1")
    b.owners.assign("resp_1", "acct_2", NOW)
    b.exchange()
    a.exchange()
    assert a.owner("file-1") is None
    assert a.owner("resp_1") == "acct_2"
    a.exchange()
    with a.owners.reading() as db:
        assert db.execute("SELECT count(*) FROM noted").fetchone()[0] == 0  # no update returns to its origin
    c = hosts()  # one that comes later knows all
    c.exchange()
    assert c.owner("resp_1") == "acct_2"
    assert c.owner("file-1") is None


def test_the_first_owner_stays_and_an_administrator_wins(hosts: Callable[[], Host]) -> None:
    a, b = hosts(), hosts()
    a.owners.add("acct_1", [("file-1", "files")], NOW, expected_new=True)
    b.owners.add("acct_2", [("file-1", "files")], NOW + 1, expected_new=True)
    for host in (a, b, a):
        host.exchange()
    assert (a.owner("file-1"), b.owner("file-1")) == ("acct_1", "acct_1")
    b.owners.assign("file-1", "acct_3", NOW)
    a.owners.add("acct_2", [("file-1", "files")], NOW)
    for host in (b, a):
        host.exchange()
    assert (a.owner("file-1"), b.owner("file-1")) == ("acct_3", "acct_3")
    a.owners.forget("file-1")
    a.exchange()
    b.exchange()
    assert b.owner("file-1") is None
    b.owners.add("acct_4", [("file-1", "files")], NOW, expected_new=True)  # an id that is issued again
    b.exchange()
    a.exchange()
    assert a.owner("file-1") == "acct_4"


@pytest.mark.slow
def test_what_was_there_before_the_fleet_comes_along(tmp_path: Path, server: str) -> None:
    url = url_of(server)
    with Owners(folder(tmp_path / "a").objects) as before:
        before.add("acct_1", [(f"file-{k}", "files") for k in range(3)], NOW, expected_new=True)
        with before.writing() as db:
            db.executemany(
                "INSERT INTO objects VALUES (?, 'acct_1', 'files', 1, NULL)",
                [(f"old-{k}",) for k in range(12_000)],
            )
    a = Host(tmp_path / "a", url)
    b = Host(tmp_path / "b", url, a)
    a.exchange()
    b.exchange()
    assert len(b.owners.page(limit=20_000)) == 12_003


@pytest.mark.slow
def test_a_database_that_was_begun_anew_gets_all_again(hosts: Callable[[], Host]) -> None:
    a, b = hosts(), hosts()
    for k in range(3):
        a.owners.add("acct_1", [(f"file-{k}", "files")], NOW, expected_new=True)
        a.exchange()
    b.exchange()
    query(a.url, "DROP SCHEMA stillwatch_gateway CASCADE")
    member(b.folder, b.url).close()
    b.owners.add("acct_2", [("file-9", "files")], NOW, expected_new=True)
    for host in (b, a, b):
        host.exchange()
    assert [host.owner(n) for host in (a, b) for n in ("file-2", "file-9")] == ["acct_1", "acct_2"] * 2
    query(a.url, "UPDATE objects_clock SET value = 0")  # an older back-up
    a.owners.add("acct_3", [("file-10", "files")], NOW, expected_new=True)
    for host in (a, b):
        host.exchange()
    assert b.owner("file-10") == "acct_3"


def ask(gateway: FleetServed, key: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    reply = request(gateway.port, method, path, body, {"authorization": f"Bearer {key}", "x-who": key})
    return reply.status, reply.json()


def passes(one: FleetServed, other: FleetServed, key: str) -> bool:
    """Return whether an object made at one gateway is known at the other."""
    status, made = ask(one, key, "POST", "/v1/responses", {"model": "mira", "input": "hi"})
    return status == 200 and ask(other, key, "GET", f"/v1/responses/{made['id']}")[0] == 200


@pytest.mark.slow
def test_an_object_made_at_one_gateway_is_used_at_the_other_at_once(tmp_path: Path, server: str) -> None:
    url = url_of(server)
    with storing() as store, fleet(tmp_path, store.url, url, "a", "b") as (a, b):
        key, stranger = a.issue("acct_1"), a.issue("acct_2")
        for k in range(20):
            one, other = (a, b) if k % 2 else (b, a)
            status, made = ask(one, key, "POST", "/v1/responses", {"model": "mira", "input": "hi"})
            assert status == 200, made
            assert ask(other, key, "GET", f"/v1/responses/{made['id']}")[0] == 200
            assert ask(other, stranger, "GET", f"/v1/responses/{made['id']}")[0] == 404
            if k == 10:
                cut(url)
                until(lambda: passes(a, b, key) and passes(b, a, key), what="other connections")
        assert ask(a, key, "GET", "/v1/responses/resp_nobodys")[0] == 404
