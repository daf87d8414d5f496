"""Checks from outside: is a port free, does the gateway answer, is the upstream reachable."""

import errno
import os
import selectors
import socket
import time
from urllib.parse import urlsplit

from stillwatch.gateway.folder import FolderError
from stillwatch.gateway.heartbeat import SHORTAGES
from stillwatch.gateway.settings import SettingsError

BACKLOG = 4096
DOOR_VARIABLE = "STILLWATCH_DOOR"  # number of the descriptor of a listening socket

_REQUEST = b"GET / HTTP/1.1\r\nhost: stillwatch\r\nuser-agent: stillwatch-probe\r\nconnection: close\r\n\r\n"
_CONNECTING = (0, errno.EINPROGRESS)


def bind(host: str, port: int, what: str) -> socket.socket:
    """Bind a port for this process alone. Raises: SettingsError that suggests a remedy."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as why:
        raise SettingsError(f"{what} {host!r}: no such address: {why}") from why
    taken = socket.socket(family, kind, protocol)
    try:
        # connections of an earlier run may linger
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as why:
        taken.close()
        if why.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"{host}:{port} ({what}): another process listens there; `ss -ltnp sport = :{port}` names it"
            ) from why
        raise SettingsError(f"{host}:{port} ({what}): cannot listen there: {why.strerror}") from why
    return taken


def listening(host: str, port: int) -> socket.socket:
    """Return a worker's own socket; the kernel distributes connections among the workers.

    Raises: FolderError naming the address if it is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind((host, port))
        door.listen(BACKLOG)
    except OSError as why:
        door.close()
        raise FolderError(f"{host}:{port}: cannot listen: {why.strerror}; give another --port") from why
    door.setblocking(False)
    return door


def given_door(host: str, port: int) -> socket.socket:
    """Return the socket that the supervisor holds for this process, or a new one if it passed none."""
    descriptor = os.environ.pop(DOOR_VARIABLE, None)
    if descriptor is None:
        return listening(host, port)
    door = socket.socket(fileno=int(descriptor))
    door.setblocking(False)
    return door


def port_answers(host: str, port: int, tries: int, patience_s: float = 5.0) -> bool:
    """Return whether every one of `tries` new connections gets some HTTP answer.

    The kernel distributes new connections among the workers, including one that hangs: a hanging worker fails
    only some of the tries. Also True if this process itself lacks descriptors or memory for the check.
    """
    try:
        with selectors.DefaultSelector() as waiting:
            try:
                for _ in range(tries):
                    waiting.register(_connecting(host, port), selectors.EVENT_WRITE)
                return _all_answer(waiting, patience_s)
            finally:
                for key in list(waiting.get_map().values()):
                    key.fileobj.close()  # type: ignore[union-attr]  # sockets only
    except OSError as why:
        return why.errno in SHORTAGES


def _connecting(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(_reachable(host), port, type=socket.SOCK_STREAM)[
        0
    ]
    connection = socket.socket(family, kind, protocol)
    connection.setblocking(False)
    connection.connect_ex(address)
    return connection


def _all_answer(waiting: selectors.BaseSelector, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while waiting.get_map():
        left = until - time.monotonic()
        ready = waiting.select(max(left, 0)) if left > 0 else []
        if not ready:
            return False
        for key, events in ready:
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if events & selectors.EVENT_WRITE:
                if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) not in _CONNECTING:
                    return False
                connection.send(_REQUEST)
                waiting.modify(connection, selectors.EVENT_READ)
            else:
                waiting.unregister(connection)
                answer = connection.recv(16)
                connection.close()
                if not answer.startswith(b"HTTP/"):
                    return False
    return True


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def upstream_trouble(upstream: str) -> str | None:
    """Return what prevents a connection to the upstream now; None if it can be made."""
    parts = urlsplit(upstream)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), 3.0).close()
    except OSError as why:
        return f"{parts.hostname}:{port} cannot be reached now: {why.strerror or why}"
    return None
