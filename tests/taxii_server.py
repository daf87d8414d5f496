"""A TAXII 2.1 server on loopback, as specified: one root, one collection, HTTP Basic or a token."""

import base64
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gateway_world import free_port, is_listening, until

MEDIA_TYPE = "application/taxii+json;version=2.1"
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
PASSWORD = "correct horse"


@dataclass
class TaxiiServer:
    """The server's objects, and how it answers."""

    url: str = ""
    stored: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # (date added, object)
    pending: int = 0  # polls of a status before it is complete
    failures: list[dict[str, str]] = field(default_factory=list)
    page: int = 1_000
    can_write: bool = True
    most: int = 10_000_000
    posts: int = 0
    answer: tuple[int, str, bytes] | None = None  # to every request for objects, instead of the right one
    asked: list[str] = field(default_factory=list)

    def collection(self) -> dict[str, Any]:
        return {"id": COLLECTION, "title": "A", "can_read": True, "can_write": self.can_write}

    def take(self, objects: list[dict[str, Any]]) -> dict[str, Any]:
        self.posts += 1
        for one in objects:
            if (one["id"], one.get("modified")) not in {(o["id"], o.get("modified")) for _, o in self.stored}:
                n = len(self.stored)
                self.stored.append((f"2026-05-01T00:{n // 60 % 60:02d}:{n % 60:02d}.000000Z", one))
        return self.status(len(objects))

    def status(self, many: int = 0) -> dict[str, Any]:
        waits, self.pending = self.pending > 0, max(self.pending - 1, 0)
        return {
            "id": str(uuid.UUID(int=7)), "status": "pending" if waits else "complete",
            "total_count": many, "success_count": many - len(self.failures), "failures": self.failures,
            "failure_count": len(self.failures), "pending_count": 0,
        }  # fmt: skip

    def give(self, query: dict[str, list[str]]) -> tuple[dict[str, Any], str | None]:
        found = self.stored
        if "added_after" in query:
            found = [pair for pair in found if pair[0] > query["added_after"][0]]
        if query.get("match[version]") != ["all"]:
            newest = {one["id"]: max(o.get("modified", "") for _, o in found if o["id"] == one["id"])
                      for _, one in found}  # fmt: skip
            found = [pair for pair in found if pair[1].get("modified", "") == newest[pair[1]["id"]]]
        if "match[id]" in query:
            found = [pair for pair in found if pair[1]["id"] in query["match[id]"][0].split(",")]
        begin = int(query.get("next", ["0"])[0])
        many = min(self.page, int(query.get("limit", ["1000"])[0]))
        part = found[begin : begin + many]
        out: dict[str, Any] = {"objects": [one for _, one in part]} if part else {}
        if begin + many < len(found):
            out |= {"more": True, "next": str(begin + many)}
        return out, part[-1][0] if part else None


@contextmanager
def taxii_server(token: str = "") -> Iterator[TaxiiServer]:
    """Serve on loopback until the block ends; without a token the user is `ann`."""
    state = TaxiiServer()
    right = f"Bearer {token}" if token else "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()

    class TaxiiHandler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.handle_request(b"")

        def do_POST(self) -> None:
            self.handle_request(self.rfile.read(int(self.headers["content-length"])))

        def handle_request(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            state.asked.append(self.path)
            if self.headers.get("authorization") != right:
                return self.say(401, {"title": "Unauthorized"})
            if self.headers.get("accept") != MEDIA_TYPE:
                return self.say(406, {"title": "Not acceptable"})
            if parts.path == "/api1/":
                return self.say(
                    200, {"title": "r", "versions": [MEDIA_TYPE], "max_content_length": state.most}
                )
            if parts.path == f"/api1/collections/{COLLECTION}/":
                return self.say(200, state.collection())
            if parts.path.startswith("/api1/status/"):
                return self.say(200, state.status())
            if parts.path != f"/api1/collections/{COLLECTION}/objects/":
                return self.say(404, {"title": "Not found"})
            if state.answer is not None:
                code, kind, raw = state.answer
                return self.say_bytes(code, raw, kind)
            if self.command == "GET":
                said, last = state.give(parse_qs(parts.query))
                return self.say(200, said, last)
            if self.headers.get("content-type") != MEDIA_TYPE:
                return self.say(415, {"title": "Unsupported"})
            if len(body) > state.most:
                return self.say(413, {"title": "Too large"})
            return self.say(202, state.take(json.loads(body)["objects"]))

        def say(self, code: int, document: dict[str, Any], last: str | None = None) -> None:
            self.say_bytes(code, json.dumps(document).encode(), MEDIA_TYPE, last)

        def say_bytes(self, code: int, raw: bytes, kind: str, last: str | None = None) -> None:
            self.send_response(code)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(raw)))
            if last is not None:
                self.send_header("X-TAXII-Date-Added-Last", last)
            self.end_headers()
            self.wfile.write(raw)

    server = ThreadingHTTPServer(("127.0.0.1", 0), TaxiiHandler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/api1/collections/{COLLECTION}/"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def medallion(python: str, work: Path) -> Iterator[str]:
    """Run OASIS' reference server (medallion 3.0.0) on loopback, with one empty collection; yield its URL."""
    info = {"title": "root", "versions": [MEDIA_TYPE], "max_content_length": 9_765_625}
    collection = {"id": COLLECTION, "title": "A", "can_read": True, "can_write": True,
                  "media_types": ["application/stix+json;version=2.1"]}  # fmt: skip
    root = {"information": info, "status": [],
            "collections": [{**collection, "manifest": [], "objects": []}]}  # fmt: skip
    roots = {"/discovery": {"title": "d", "default": "/api1/", "api_roots": ["/api1/"]}, "api1": root}
    (work / "data.json").write_text(json.dumps(roots))
    backend = {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend",
               "filename": str(work / "data.json")}  # fmt: skip
    setup = {"backend": backend, "users": {"ann": PASSWORD}, "taxii": {"max_page_size": 100}}
    (work / "medallion.json").write_text(json.dumps(setup))
    port = free_port()
    words = [python, "-m", "medallion.scripts.run", "--port", str(port), str(work / "medallion.json")]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: is_listening(port), what="medallion")
        yield f"http://127.0.0.1:{port}/api1/collections/{COLLECTION}/"
    finally:
        running.terminate()
        running.wait(60)
