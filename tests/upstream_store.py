"""An upstream that really stores: files, batches, responses, threads, assistants, vector stores and more.

One key and one store, like a model API behind a gateway. The client names itself in `x-who`, which only the
test trusts. If a request names another client's object, in its path or anywhere in its body, that is a
`Store.crossing`. It resolves ids as leniently as it can.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ROOTS = (
    "files",
    "batches",
    "responses",
    "conversations",
    "threads",
    "assistants",
    "vector_stores",
    "completions",
    "uploads",
    "jobs",
    "containers",
)
PREFIX = {
    "files": "file-",
    "batches": "batch_",
    "responses": "resp_",
    "conversations": "conv_",
    "runs": "run_",
    "threads": "thread_",
    "assistants": "asst_",
    "vector_stores": "vs_",
    "completions": "chatcmpl-",
    "messages": "msg_",
    "uploads": "upload_",
    "parts": "part_",
    "jobs": "ftjob-",
    "items": "msg_",
    "containers": "cntr_",
    "file_batches": "vsfb_",
}


@dataclass
class Store:
    url: str = ""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    makers: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    crossings: list[tuple[str, str, str, str]] = field(default_factory=list)  # who, method, target, object
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self, kind: str, who: str, **fields: Any) -> dict[str, Any]:
        name = f"{PREFIX.get(kind, kind + '_')}{who}{len(self.objects):04d}"
        self.makers[name] = who
        self.objects[name] = {"id": name, "object": kind, "created_at": 1, **fields}
        return self.objects[name]

    def of(self, who: str) -> list[str]:
        return [name for name, maker in self.makers.items() if maker == who]

    def touch(self, who: str, method: str, target: str, value: object) -> None:
        """Use whatever equals an id, anywhere in the request."""
        if isinstance(value, dict):
            for inner in value.values():
                self.touch(who, method, target, inner)
        elif isinstance(value, list):
            for inner in value:
                self.touch(who, method, target, inner)
        elif isinstance(value, str) and self.makers.get(value, who) != who:
            self.crossings.append((who, method, target, value))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def do_GET(self) -> None:
        self.work()

    do_POST = do_DELETE = do_GET

    def work(self) -> None:
        store, who = self.store, self.headers.get("x-who", "?")
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        split = urlsplit(self.path)
        parts = [p for p in unquote(split.path).lower().split("/") if p]
        names = [p for p in unquote(split.path).split("/") if p]
        with store.lock:
            store.seen.append((who, self.command, self.path))
            for value in (*names, *(v for vs in parse_qs(split.query).values() for v in vs)):
                store.touch(who, self.command, self.path, value)
            try:
                body = json.loads(raw or b"{}")
            except ValueError:
                body = {}
                for line in re.findall(rb"(?m)^(\{.*\})\s*$", raw):
                    store.touch(who, self.command, self.path, json.loads(line))
            store.touch(who, self.command, self.path, body)
            self.answer(who, parts, names, body if isinstance(body, dict) else {}, raw, parse_qs(split.query))

    def answer(
        self,
        who: str,
        parts: list[str],
        names: list[str],
        body: dict[str, Any],
        raw: bytes,
        query: dict[str, list[str]],
    ) -> None:
        store = self.store
        root = next((k for k, part in enumerate(parts) if part in ROOTS), len(parts))
        kind = parts[root] if root < len(parts) else ""
        rest = names[root + 1 :]
        made: dict[str, Any] = {}
        if kind == "threads" and rest[:1] == ["runs"] and self.command == "POST":
            thread = store.make("threads", who)
            made = store.make("runs", who, thread_id=thread["id"], status="completed", assistant_id="x")
            return self.say(made)
        if not kind:
            return self.say({"object": "list", "data": []})
        if not rest:
            if self.command == "GET":
                return self.listing(kind, query)
            return self.create(kind, who, body, raw)
        found = store.objects.get(rest[0])
        if found is None:
            return self.say({"error": {"message": f"no {rest[0]}"}}, 404)
        if self.command == "DELETE" and len(rest) == 1:
            del store.objects[rest[0]]
            return self.say({"id": rest[0], "object": kind, "deleted": True})
        if rest[1:] == ["content"]:
            return self.say(store.texts.get(rest[0], b"no text"))
        if rest[1:2] and self.command == "POST" and rest[1] not in ("cancel", "search", "complete"):
            its = rest[1] if len(rest) == 2 else "steps"
            if kind == "vector_stores" and its == "files":
                return self.say(
                    {"id": body.get("file_id"), "object": "vector_store.file", "status": "completed"}
                )
            if its == "runs":
                body = {"assistant_id": body.get("assistant_id"), "thread_id": rest[0], "status": "completed"}
            if its == "items":
                items = [
                    store.make("items", who, **(item if isinstance(item, dict) else {}))
                    for item in body["items"]
                ]
                return self.say({"object": "list", "data": items, "has_more": False})
            return self.say(
                store.make(its, who, parent=rest[0], **{k: v for k, v in body.items() if k != "id"})
            )
        if rest[1:] == ["complete"]:
            file = store.make("files", who, filename="built", purpose="batch", bytes=1)
            return self.say({**found, "status": "completed", "file": file})
        if len(rest) >= 2 and self.command == "GET":
            inner = [o for o in store.objects.values() if o.get("parent") == rest[0] and len(rest) == 2]
            if len(rest) == 3 and rest[2] in store.objects:
                return self.say(store.objects[rest[2]])
            return self.say({"object": "list", "data": inner, "has_more": False})
        return self.say(found)

    def create(self, kind: str, who: str, body: dict[str, Any], raw: bytes) -> None:
        store = self.store
        if kind == "files":
            made = store.make(kind, who, filename=f"secret-of-{who}", purpose="batch", bytes=len(raw))
            store.texts[made["id"]] = raw
        elif kind == "batches":
            output = store.make("files", who, filename=f"secret-of-{who}", purpose="batch_output", bytes=1)
            store.texts[output["id"]] = f"secret-of-{who}".encode()
            made = store.make(
                kind,
                who,
                status="completed",
                output_file_id=output["id"],
                endpoint="/v1/x",
                input_file_id=body.get("input_file_id"),
                completion_window="24h",
            )
        elif kind == "responses":
            item = store.make(
                "items",
                who,
                type="message",
                role="assistant",
                status="completed",
                content=[{"type": "output_text", "text": f"secret-of-{who}", "annotations": []}],
            )
            item["type"], item["object"] = "message", "item"
            made = store.make(
                kind,
                who,
                model="mira",
                status="completed",
                output=[item],
                metadata=body.get("metadata"),
                tools=[],
                tool_choice="auto",
                parallel_tool_calls=True,
                usage={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            )
            made["object"] = "response"
            if body.get("stream"):
                created = {
                    "type": "response.created",
                    "sequence_number": 0,
                    "response": {**made, "output": []},
                }
                done = {
                    "type": "response.output_item.done",
                    "sequence_number": 1,
                    "output_index": 0,
                    "item": item,
                }
                last = {"type": "response.completed", "sequence_number": 2, "response": made}
                return self.stream(created, done, last)
        elif kind == "completions":
            made = store.make(
                kind,
                who,
                model="mira",
                created=1,
                metadata=body.get("metadata"),
                choices=[
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": f"secret-of-{who}"},
                    }
                ],
                usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            )
            made["object"] = "chat.completion"
        elif kind == "assistants":
            stores = (
                ((body.get("tool_resources") or {}).get("file_search") or {}).get("vector_stores")
            ) or []
            inline = [store.make("vector_stores", who, name=f"secret-of-{who}")["id"] for _ in stores]
            made = store.make(
                kind,
                who,
                model="mira",
                name=f"secret-of-{who}",
                tools=[],
                metadata={},
                tool_resources={"file_search": {"vector_store_ids": inline}},
            )
        else:
            made = store.make(
                kind, who, name=f"secret-of-{who}", status="completed", metadata=body.get("metadata")
            )
        return self.say(made)

    def listing(self, kind: str, query: dict[str, list[str]]) -> None:
        named = PREFIX[kind]
        every = [
            o for name, o in self.store.objects.items() if name.startswith(named) and o["object"] != "item"
        ]
        after = query.get("after", [None])[0]
        if after is not None:
            names = [o["id"] for o in every]
            every = every[names.index(after) + 1 :] if after in names else []
        limit = int(query.get("limit", ["20"])[0])
        page = every[:limit]
        self.say(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": len(every) > limit,
            }
        )

    def stream(self, *events: dict[str, Any]) -> None:
        body = b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)
        self.say(body, kind="text/event-stream")

    def say(self, what: object, status: int = 200, kind: str = "application/json") -> None:
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        if isinstance(what, bytes) and kind == "application/json":
            kind = "application/octet-stream"
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def storing() -> Iterator[Store]:
    """Run a store."""
    store = Store()
    handler = type("Bound", (Handler,), {"store": store})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        store.url = f"http://127.0.0.1:{server.server_port}"
        yield store
        server.shutdown()
