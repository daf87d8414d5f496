"""A real HTTP server that answers chat completions as a test prescribes, and counts the requests."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One HTTP answer. `body` as it is, or a chat completion around `content` and `message`."""

    content: str = "8"
    message: dict[str, Any] = field(default_factory=dict)
    finish: str = "stop"
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    )
    extra: dict[str, Any] = field(default_factory=dict)  # added to the choice
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_s: float = 0.0
    cut: bool = False  # close the connection instead of answering
    drip_s: float = 0.0  # pause after each single byte, without end

    def raw(self, model: str) -> bytes:
        if self.body is not None:
            return self.body
        message = {"role": "assistant", "content": self.content} | self.message
        choice = {"index": 0, "message": message, "finish_reason": self.finish} | self.extra
        reply = {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
        return json.dumps(reply | ({"usage": self.usage} if self.usage is not None else {})).encode()


@dataclass
class Seen:
    """The requests that the server received. `answered` counts complete 200 answers by the samples' keys."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    most_at_once: int = 0
    at_once: int = 0


Behave = Callable[[int, dict[str, Any]], Reply]


@contextmanager
def teaching(behave: Behave = lambda number, body: Reply()) -> Iterator[tuple[str, Seen]]:
    """Serve while the block runs: `behave(n, body)` returns the answer to the n-th request."""
    seen, lock = Seen(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = self.headers.get("idempotency-key", "")
            with lock:
                number = len(seen.bodies)
                seen.bodies.append(body)
                seen.keys.append(key)
                seen.times.append(time.monotonic())
                seen.at_once += 1
                seen.most_at_once = max(seen.most_at_once, seen.at_once)
            try:
                reply = behave(number, body)
                time.sleep(reply.delay_s)
                raw = reply.raw(body["model"])
                if reply.status == 200 and not reply.cut:
                    with lock:
                        seen.answered[key] += 1
                        used = reply.usage or {}
                        told = (used.get("prompt_tokens"), used.get("completion_tokens"))
                        seen.tokens += sum(one for one in told if isinstance(one, int))
                if reply.cut:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                while reply.drip_s:
                    self.wfile.write(b" ")
                    time.sleep(reply.drip_s)
                self.wfile.write(raw)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client has left: it counts as answered
            finally:
                with lock:
                    seen.at_once -= 1

        def log_message(self, *words: Any) -> None:
            """Print nothing: the test reads `seen`."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, *where: Any) -> None:
            """Ignore a killed client, which is no error of the server."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
