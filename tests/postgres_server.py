"""A real PostgreSQL for tests and benchmarks: a server in its own folder, a new database for each asker."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
WHY_NOT = "no PostgreSQL server on this machine (Debian: apt-get install postgresql)"
_made = 0


def program(name: str) -> str | None:
    """Where a program of PostgreSQL's lies: on the path, or where Debian puts it."""
    found = shutil.which(name)
    if found is None:
        found = next((str(folder / name) for folder in BINARIES if (folder / name).exists()), None)
    return found and str(Path(found).resolve())


@contextmanager
def running() -> Iterator[str | None]:
    """Run a server that only a socket in its folder leads to; give the folder, None where there is none."""
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="stillwatch-pg-"))
    user = None
    if os.getuid() == 0:  # PostgreSQL will not run as root
        user = next((name for name in ("postgres", "nobody") if _known(name)), None)
        shutil.chown(folder, user)
    try:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "user": user, "cwd": folder}
        data = folder / "data"
        begin = [initdb, "-D", str(data), "-U", "stillwatch", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*begin, "--locale=C.UTF-8"], check=True, timeout=120, **quiet)
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=32MB"]
        server = subprocess.Popen(
            [postgres, "-D", str(data), "-k", str(folder), *options],
            **(quiet | {"stderr": subprocess.DEVNULL}),
        )
        try:
            _wait(folder, server)
            yield str(folder)
        finally:
            server.send_signal(signal.SIGINT)  # fast: it waits for nobody's connection
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(folder: str) -> str:
    """Make an empty database; give its URL."""
    global _made
    _made += 1
    name = f"t{os.getpid()}_{_made}"
    with psycopg.connect(host=folder, user="stillwatch", dbname="postgres", autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://stillwatch@/{name}?host={folder}"


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
