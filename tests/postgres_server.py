"""A real PostgreSQL for tests and benchmarks: a server in its own folder, a new database for each caller."""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
WHY_NOT = "no PostgreSQL server on this machine (Debian: apt-get install postgresql)"
_made = 0
_of_tests: list[str] = []  # the names of databases that may go


def program(name: str) -> str | None:
    """Return the path of a PostgreSQL program: on the search path, or in Debian's folder."""
    found = shutil.which(name)
    if found is None:
        found = next((str(folder / name) for folder in BINARIES if (folder / name).exists()), None)
    return found and str(Path(found).resolve())


class PostgresServer:
    """A server that can be reached only by a socket in its folder. It can be stopped and started again."""

    def __init__(self, folder: Path, user: str | None, primary: "PostgresServer | None" = None) -> None:
        """primary: the server of which this one is a streaming replica."""
        self.folder = folder
        self._quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "user": user, "cwd": folder}
        self._process: subprocess.Popen[bytes] | None = None
        if primary is None:
            begin = [str(program("initdb")), "-D", str(folder / "data"), "-U", "stillwatch", "-A", "trust"]
            begin += ["-E", "UTF8", "--no-sync", "--locale=C.UTF-8"]
        else:
            backup = Path(str(program("initdb"))).with_name("pg_basebackup")  # not Debian's wrapper
            begin = [str(backup), "-D", str(folder / "data"), "-h", str(primary.folder)]
            begin += ["-U", "stillwatch", "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        subprocess.run(begin, check=True, timeout=120, stderr=subprocess.PIPE, **self._quiet)

    def start(self) -> None:
        """Start it; after a kill as soon as the last of the previous processes has ended."""
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=32MB"]
        words = [str(program("postgres")), "-D", str(self.folder / "data"), "-k", str(self.folder), *options]
        for _ in range(20):
            self._process = subprocess.Popen(words, stderr=subprocess.DEVNULL, **self._quiet)
            try:
                _wait(self.folder, self._process)
                return
            except psycopg.OperationalError:
                time.sleep(0.5)
        raise TimeoutError("PostgreSQL did not start")

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it: SIGINT does not wait for connections, SIGKILL is a crash."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(60)

    def freeze(self, number: int = signal.SIGSTOP) -> None:
        """Pause all its processes, or continue them with SIGCONT. The kernel still accepts connections."""
        assert self._process is not None
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == self._process.pid:
                os.kill(int(path.parent.name), number)
        self._process.send_signal(number)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._where, autocommit=True) as db:
            done = db.execute(sql)
            return done.fetchall() if done.description else []

    @property
    def _where(self) -> str:
        return f"host={self.folder} user=stillwatch dbname=postgres"

    @contextmanager
    def replica(self) -> Iterator["PostgresServer"]:
        """Run a streaming replica of it that has everything written so far."""
        with _own_folder() as (folder, user):
            found = PostgresServer(folder, user, self)
            found.start()
            try:
                yield found
            finally:
                found.stop()


@contextmanager
def running() -> Iterator[str | None]:
    """Run a server; yield its folder, or None if there is no PostgreSQL."""
    with startable() as server:
        yield server and str(server.folder)


@cache
def of_this_process() -> str | None:
    """Start one server for all tests of a process; return its folder, or None if there is no PostgreSQL."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running())


@contextmanager
def startable() -> Iterator[PostgresServer | None]:
    """Run a server that the caller may stop and start; None if there is no PostgreSQL."""
    if program("initdb") is None or program("postgres") is None:
        yield None
        return
    with _own_folder() as (folder, user):
        server = PostgresServer(folder, user)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _own_folder() -> Iterator[tuple[Path, str | None]]:
    """Return a folder for a server's data and its socket, and the user who runs it."""
    folder = Path(tempfile.mkdtemp(prefix="stillwatch-pg-"))
    user = None
    if os.getuid() == 0:  # PostgreSQL will not run as root
        user = next((name for name in ("postgres", "nobody") if _known(name)), None)
        shutil.chown(folder, user)
    try:
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(folder: str, like: str | None = None, lasting: bool = False) -> str:
    """Create an empty database, or a copy of the one at a URL without connections; return its URL."""
    global _made
    _made += 1
    name = f"t{os.getpid()}_{_made}"
    _of_tests.extend([] if lasting else [name])
    with psycopg.connect(host=folder, user="stillwatch", dbname="postgres", autocommit=True) as db:
        copied = f" TEMPLATE {make_url(like).database}" if like else ""
        db.execute(f"CREATE DATABASE {name}{copied}")
    return f"postgresql+psycopg://stillwatch@/{name}?host={folder}"


def drop_databases(folder: str) -> None:
    """End all connections to a server's databases, and delete those that need not last."""
    with psycopg.connect(host=folder, user="stillwatch", dbname="postgres", autocommit=True) as db:
        while _of_tests:
            db.execute(f"DROP DATABASE IF EXISTS {_of_tests.pop()} WITH (FORCE)")


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _wait(folder: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            psycopg.connect(host=str(folder), user="stillwatch", dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None:
                raise
            try:
                server.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        else:
            return
    raise TimeoutError("PostgreSQL did not start within 30 s")
