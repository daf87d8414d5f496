"""An upstream whose replies a test defines as a function of the request. It records all requests.

with scripted(answer) as up:
    ... up.url, up.seen
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gateway_world import Running, request


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]  # by lower-case names
    body: bytes


@dataclass
class Said:
    """A reply: JSON, or bytes of the content type that its headers name."""

    what: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Scripted:
    url: str = ""
    seen: list[Asked] = field(default_factory=list)


@contextmanager
def scripted(answer: Callable[[Asked], Said | Any]) -> Iterator[Scripted]:
    """Run an upstream in a thread."""
    world = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            world.seen.append(asked)
            found = answer(asked)
            said = found if isinstance(found, Said) else Said(found)
            data = said.what if isinstance(said.what, bytes) else json.dumps(said.what).encode()
            self.send_response(said.status)
            own = {"content-type": "application/json", "content-length": str(len(data))} | said.headers
            for name, value in own.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        world.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield world
        server.shutdown()


def ask(
    gate: Running, method: str, target: str, body: Any = None, key: str | None = None, **headers: str
) -> tuple[int, Any]:
    """Send one request through a gateway; return status and body, parsed if it is JSON."""
    head = {"authorization": f"Bearer {key or gate.key}"}
    head |= {name.replace("__", "-"): value for name, value in headers.items()}
    reply = request(gate.port, method, target, body, head)
    try:
        return reply.status, json.loads(reply.body)
    except ValueError:
        return reply.status, reply.body
