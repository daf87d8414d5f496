"""A real small model server for the tests: OpenAI's and Anthropic's APIs over HTTP/1.1, with faults.

    with Upstream() as up:  # in a thread
        ... up.url, up.seen, up.wait_seen(1)
    python tests/upstream.py --port 0  # prints its URL

Answers depend on the request alone (`upstream_replies`). `x-tokens: N` sets how long the answer is,
`x-fault: NAME[=VALUE],…` what goes wrong (`upstream_faults`). Every request is kept, with what was sent for
it: in `Upstream.seen`, and as JSON at `/__seen?since=N`. It does not know of any gateway.
"""

import argparse
import asyncio
import base64
import json
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httptools
import uvloop

from upstream_faults import Reply, damaged
from upstream_replies import STREAMED, WHOLE, Piece, dumps, models

KEEP = 200_000  # records; older ones are forgotten


@dataclass
class Seen:
    """One request, and what was sent for it. `sent`: all bytes that the socket accepted, with framing."""

    number: int
    connection: int
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    status: int = 0
    head: bytes = b""
    sent: bytearray = field(default_factory=bytearray)  # body bytes, without chunk framing
    sent_bytes: int = 0
    output_tokens: int = 0  # in the pieces that were written
    fault: str = ""
    stream: bool = False
    model: str = ""
    done: bool = False  # all bytes were sent, including faults
    gone: bool = False  # the other side closed first

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known.lower() == name), None)

    def as_json(self) -> dict[str, Any]:
        told = {name: value for name, value in vars(self).items() if name not in ("body", "sent", "head")}
        told["body"] = base64.b64encode(self.body).decode()
        told["sent"] = base64.b64encode(self.sent).decode()
        return told


def json_of(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def refusal(status: int, message: str) -> Reply:
    inner = {"message": message, "type": "invalid_request_error", "code": None, "param": None}
    body = dumps({"type": "error", "error": inner})
    return Reply(status=status, headers=[("content-type", "application/json")], pieces=[Piece(body)])


class Connection(asyncio.Protocol):
    """One connection: requests are answered in order."""

    def __init__(self, world: "Upstream", number: int) -> None:
        self.world = world
        self.number = number
        self.waiting: deque[Seen] = deque()  # complete requests that are not answered yet
        self.current: Seen | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.paused = False
        self.resume: Any = None
        self.doomed = False

    # --- from the socket

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self.transport = transport
        self.world.connections.add(self)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        if self.doomed:
            self.transport.abort()
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.world.bad_requests += 1
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.world.connections.discard(self)
        if self.timer:
            self.timer.cancel()
        if self.current and not self.current.done:
            self.current.gone = True
            self.current = None

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        step, self.resume = self.resume, None
        if step:
            step()

    # --- from the parser

    def on_message_begin(self) -> None:
        self.url, self.headers, self.body = b"", [], bytearray()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if any(name.lower() == "expect" for name, _ in self.headers):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method, path = self.parser.get_method().decode(), self.url.decode("latin-1")
        if path.startswith("/__"):
            seen = Seen(0, self.number, method, path, self.headers, bytes(self.body))
        else:
            seen = self.world.note(self.number, method, path, self.headers, bytes(self.body))
        self.keep_alive = self.parser.should_keep_alive()
        self.waiting.append(seen)
        self.next()

    # --- to the socket

    def next(self) -> None:
        if self.current is None and self.waiting and not self.transport.is_closing():
            if self.timer:
                self.timer.cancel()
            seen = self.current = self.waiting.popleft()
            reply = self.world.reply(seen)
            if reply.wait_s:
                self.later(reply.wait_s, lambda: self.begin(seen, reply))
            else:
                self.begin(seen, reply)

    def later(self, delay_s: float, step: Any) -> None:
        self.timer = asyncio.get_running_loop().call_later(delay_s, step)

    def head(self, reply: Reply) -> bytes:
        phrase = HTTPStatus(reply.status).phrase if reply.status in list(HTTPStatus) else "Unknown"
        lines = [f"HTTP/{reply.version} {reply.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        if reply.framing == "length":
            lines.append(f"content-length: {len(reply.body) if reply.length is None else reply.length}")
        elif reply.framing == "chunked":
            lines.append("transfer-encoding: chunked")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def begin(self, seen: Seen, reply: Reply) -> None:
        seen.status = reply.status
        seen.head = reply.before + self.head(reply)[: reply.head_bytes]
        if reply.head_bytes is not None:
            self.transport.write(seen.head)
            self.end(seen, reply, whole=False)
        else:
            pieces = [] if seen.method == "HEAD" else reply.pieces
            self.write(seen, reply, pieces[: reply.stop_after], 0, seen.head)

    def write(self, seen: Seen, reply: Reply, pieces: list[Piece], at: int, head: bytes = b"") -> None:
        """Write each piece separately, as a model would; the head is sent with the first."""
        if self.transport.is_closing():
            return
        if at == len(pieces):
            self.transport.write(head)
            self.end(seen, reply, whole=reply.stop_after is None)
            return
        data = pieces[at].data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if reply.framing == "chunked" and data else data
        self.transport.write(head + framed)
        self.world.count(seen, pieces[at])
        go_on = partial(self.write, seen, reply, pieces, at + 1)
        if self.paused:
            self.resume = go_on
        elif at + 1 == len(pieces):
            go_on()
        else:
            self.later(reply.gap_s, go_on)

    def end(self, seen: Seen, reply: Reply, whole: bool) -> None:
        if reply.end == "stall":
            return
        if whole and reply.framing == "chunked" and reply.end != "torn":
            told = "".join(f"{name}: {value}\r\n" for name, value in reply.trailers)
            self.transport.write(b"0\r\n" + told.encode() + b"\r\n")
        if reply.end == "garble":
            self.transport.write(b"zz not a chunk\r\n")
        seen.done, self.current = True, None
        self.doomed = reply.once
        if reply.end == "reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif reply.end != "keep" or not self.keep_alive:
            self.transport.close()
        elif reply.linger_s is not None:
            self.later(reply.linger_s, self.transport.close)
        self.next()


class Upstream:
    """The server and its memory. `key`: requests must carry it; `keep_bytes=False`: bodies are not kept."""

    def __init__(self, *, port: int = 0, key: str | None = None, keep_bytes: bool = True) -> None:
        self.seen: deque[Seen] = deque(maxlen=KEEP)
        self.total = 0
        self.opened = 0
        self.bad_requests = 0
        self.connections: set[Connection] = set()
        self.key = key
        self.keep_bytes = keep_bytes
        self.faults: deque[str] = deque()  # each is used for one request, before the request's own faults
        self._port = port

    # --- the test's view

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def wait_seen(self, count: int, limit_s: float = 60.0) -> list[Seen]:
        """Return all recorded requests, once `count` are there and have ended. Raises: TimeoutError."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if self.total >= count and all(one.done or one.gone for one in list(self.seen)):
                return list(self.seen)
            time.sleep(0.005)
        raise TimeoutError(f"{self.total} of {count} requests: {[vars(one) for one in list(self.seen)[-3:]]}")

    # --- what a connection asks for

    def note(self, connection: int, method: str, path: str, headers: Any, body: bytes) -> Seen:
        self.total += 1
        seen = Seen(self.total, connection, method, path, headers, body)
        self.seen.append(seen)
        return seen

    def count(self, seen: Seen, piece: Piece) -> None:
        seen.output_tokens += piece.tokens
        seen.sent_bytes += len(piece.data)
        if self.keep_bytes:
            seen.sent += piece.data

    def told(self, query: dict[str, list[str]]) -> Reply:
        since = int(query.get("since", ["0"])[0])
        found = [one.as_json() for one in self.seen if one.number > since]
        body = dumps({"total": self.total, "opened": self.opened, "seen": found})
        return Reply(headers=[("content-type", "application/json")], pieces=[Piece(body)])

    def reply(self, seen: Seen) -> Reply:
        url = urlsplit(seen.path)
        if url.path == "/__seen":
            return self.told(parse_qs(url.query))
        if self.key and self.key not in (seen.header("x-api-key"), (seen.header("authorization") or "")[7:]):
            return refusal(401, "wrong key")
        body = json_of(seen.body)
        seen.model, seen.stream = str(body.get("model") or ""), body.get("stream") is True
        seen.fault = seen.header("x-fault") or ""
        if seen.model.startswith("fault:"):
            seen.fault = seen.model[6:]
        if self.faults:
            seen.fault = self.faults.popleft() or seen.fault
        if not self.keep_bytes:
            seen.body = b""
        reply = self.good(seen, url.path, body)
        try:
            return damaged(reply, seen.fault)
        except KeyError as unknown:
            return refusal(400, f"no such fault: {unknown}")

    def good(self, seen: Seen, path: str, body: dict[str, Any]) -> Reply:
        request_id = ("x-request-id", f"up-{seen.number}")
        json_type = [("content-type", "application/json"), request_id]
        path = path.removeprefix("/v1")
        if path == "/models" and seen.method == "GET":
            return Reply(headers=json_type, pieces=models())
        if seen.method != "POST" or path not in WHOLE:
            echo = {"method": seen.method, "path": seen.path, "length": len(seen.body)}
            return Reply(headers=json_type, pieces=[Piece(dumps(echo))])
        if not body:
            return refusal(400, "the body is not a JSON object")
        asked = seen.header("x-tokens")
        tokens = int(asked) if asked else None
        if seen.stream and path in STREAMED:
            kind = [("content-type", "text/event-stream"), ("cache-control", "no-cache"), request_id]
            return Reply(headers=kind, pieces=STREAMED[path](body, tokens), framing="chunked")
        return Reply(headers=json_type, pieces=WHOLE[path](body, tokens))

    # --- running

    async def serve(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            self.opened += 1
            return Connection(self, self.opened)

        server = await loop.create_server(connection, "127.0.0.1", self._port, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        return server

    def __enter__(self) -> "Upstream":
        ready = threading.Event()

        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            server = await self.serve()
            ready.set()
            await self._stop.wait()
            server.close()
            for connection in list(self.connections):
                connection.transport.abort()
            await asyncio.sleep(0)

        self._thread = threading.Thread(target=uvloop.run, args=(main(),), daemon=True)
        self._thread.start()
        assert ready.wait(60), "the upstream did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--key")
    options.add_argument("--light", action="store_true", help="bodies are not kept")
    given = options.parse_args()

    async def run() -> None:
        upstream = Upstream(port=given.port, key=given.key, keep_bytes=not given.light)
        server = await upstream.serve()
        print(upstream.url, flush=True)
        await server.serve_forever()

    uvloop.run(run())


if __name__ == "__main__":
    main()
