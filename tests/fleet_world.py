"""A fleet for tests: a real PostgreSQL, and gateways with one secret that share its state."""

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

import postgres_server
from gateway_world import UPSTREAM_KEY, until
from served import COMMAND, Served
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.fleet.membership import join
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE


def url_of(server: str) -> str:
    return postgres_server.new_database(server).replace("+psycopg", "")


def folder(path: Path, like: Folder | None = None) -> Folder:
    """Create a gateway's folder, with the secret of another."""
    if like is not None:
        path.mkdir(mode=0o700)
        shutil.copy2(like.secret_file, path / "secret")
    return open_folder(path)


def member(found: Folder, url: str) -> ControlState:
    """Join a folder to the fleet; return its state."""
    state = ControlState(found.state, found.secret())
    join(state, url)
    return state


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, options="-c search_path=stillwatch_gateway") as db:
        done = db.execute(sql)
        return done.fetchall() if done.description else []


def cut(url: str) -> None:
    """End all other connections to a database, like a restart of the server."""
    query(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


class FleetServed(Served):
    """One `stillwatch serve` of a fleet."""

    def __init__(
        self,
        place: Path,
        upstream: str,
        url: str,
        name: str,
        like: Folder | None = None,
        shared: str | None = None,
    ) -> None:
        folder(place / "serve", like)
        self.key = ""
        super().__init__(place, upstream, 1, issue=False)
        self.words += ["--state", url, "--gateway", name, "--shared"]
        self.words.append(shared or str(place.parent / "shared"))
        self.name = name
        self.environment = {**os.environ, UPSTREAM_KEY_VARIABLE: UPSTREAM_KEY}  # of its host

    def start(self, **more: Any) -> None:
        super().start(**({"env": self.environment} | more))

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one command of the command line on this gateway's folder."""
        return subprocess.run(
            [*COMMAND, *words, "--folder", str(self.folder.path)],
            capture_output=True, text=True, timeout=180,
            env=self.environment,
        )  # fmt: skip

    def issue(self, account: str) -> str:
        out = self.run("key", "issue", account).stdout
        return next(word for word in out.split() if word.startswith("sk-sw-"))

    def status(self, key: str) -> int:
        self.key = key
        return self.ask()

    def is_ready(self) -> bool:
        """Return whether a load balancer may send clients here."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=30):
                return True
        except OSError:
            return False

    def comes_to(self, key: str, status: int) -> None:
        until(lambda: self.status(key) == status, what=f"{status} at {self.name}")


@contextmanager
def fleet(
    place: Path,
    upstream: str,
    url: str,
    *names: str,
    terms: str = "",
    delay_s: float = 0.0,
    environments: Mapping[str, Mapping[str, str]] | None = None,
    shared: str | None = None,
) -> Iterator[list[FleetServed]]:
    """Serve the gateways of one fleet. delay_s: how long they serve after they were told to stop.

    environments: additional environment variables of a host, by the name of its gateway. shared: an object
    store in place of a folder.
    """
    gateways: list[FleetServed] = []
    try:
        for name in names:
            (place / name).mkdir()
            like = gateways[0].folder if gateways else None
            gateways.append(FleetServed(place / name, upstream, url, name, like, shared))
            gateways[-1].words += ["--shutdown-delay-s", str(delay_s)]
            gateways[-1].environment |= (environments or {}).get(name, {})
            if terms:
                gateways[-1].folder.terms.write_text(terms, encoding="utf-8")
            gateways[-1].start()
        yield gateways
    finally:
        for one in gateways:
            if one.process is not None and one.process.poll() is None:
                one.process.terminate()
        for one in gateways:
            if one.process is not None:
                one.process.wait(60)
