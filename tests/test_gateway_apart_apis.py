"""Accounts with one upstream key at Gemini, Vertex, Replicate, Mistral, xAI: one owner per object.

The upstream stores objects and resolves an id anywhere in a request. It alone trusts `x-who`.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest

from gateway_world import Running, gateway, request
from stillwatch.gateway.control.owners import EVERYBODY
from stillwatch.gateway.path.references import in_value


@dataclass
class Resources:
    """The objects at the upstream, by id, with the account that made each."""

    makers: dict[str, str] = field(default_factory=dict)
    crossings: list[tuple[str, str, str]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Resources

    def do_GET(self) -> None:
        store, who = self.store, self.headers.get("x-who", "?")
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode("latin-1")
        store.heads.append({name.lower(): value for name, value in self.headers.items()})
        for name, maker in store.makers.items():
            if maker != who and name in unquote(self.path) + body:
                store.crossings.append((who, f"{self.command} {self.path}", name))
        self.answer(who, self.path.partition("?")[0])

    do_POST = do_DELETE = do_PATCH = do_GET

    def answer(self, who: str, path: str) -> None:
        name = f"ob{len(self.store.makers)}-{who}"
        parent, _, collection = path.rpartition("/")
        parent = parent.lstrip("/").partition("/")[2]  # without the version
        said: dict[str, Any] = {"candidates": [], "usageMetadata": {"candidatesTokenCount": 1}}
        if self.command == "GET" and collection in ("cachedContents", "files", "fileSearchStores"):
            found = [{"name": f"{collection}/{one}"} for one in self.store.makers]
            said = {collection: found, "nextPageToken": "n"}
        elif self.command == "POST" and collection in (
            "cachedContents", "fileSearchStores", "files", "interactions", "predictions"
        ):  # fmt: skip
            whole = (
                f"{parent}/{collection}/{name}" if parent.startswith("projects/") else f"{collection}/{name}"
            )
            self.store.makers[name] = who
            uri = f"https://generativelanguage.googleapis.com/v1beta/files/{name}"
            said = {"name": whole}
            if collection == "files":
                said = {"file": {"name": whole, "uri": uri}}
            elif collection in ("interactions", "predictions"):
                said = {"id": name, "status": "completed", "usage": {"output_tokens": 1}}
        elif path.endswith(":predictLongRunning"):
            self.store.makers[name] = who
            said = {"name": f"models/veo/operations/{name}"}
        elif path.endswith("/chat/completions") and self.headers.get("x-deferred"):
            self.store.makers[name] = who
            said = {"request_id": name}
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


class World:
    def __init__(self, store: Resources, gate: Running) -> None:
        self.store, self.gate = store, gate
        self.keys = {"a": gate.key, "b": gate.issue("acct_b")}

    def ask(self, who: str, method: str, target: str, body: object = None, **more: str) -> tuple[int, Any]:
        head = {"authorization": f"Bearer {self.keys[who]}", "x-who": who, **more}
        reply = request(self.gate.port, method, target, body, head)
        return reply.status, reply.json()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    store = Resources()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"store": store})) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        store.url = f"http://127.0.0.1:{server.server_port}"
        with gateway(store.url, recorder=False) as gate:
            yield World(store, gate)
        server.shutdown()


SAY = {"contents": [{"parts": [{"text": "x"}]}]}
VERTEX = "/v1/projects/p/locations/l"


def made_by(world: World, who: str) -> dict[str, str]:
    """Create one object of each kind, by name."""
    ask = world.ask
    return {
        "cache": ask(who, "POST", "/v1beta/cachedContents", SAY | {"model": "models/g"})[1]["name"],
        "vertex": ask(who, "POST", f"{VERTEX}/cachedContents", SAY)[1]["name"],
        "file": ask(who, "POST", "/v1beta/files", {"file": {"displayName": "x"}})[1]["file"]["name"],
        "store": ask(who, "POST", "/v1beta/fileSearchStores", {"displayName": "x"})[1]["name"],
        "interaction": ask(who, "POST", "/v1beta/interactions", {"model": "g", "input": "x"})[1]["id"],
        "video": ask(who, "POST", "/v1beta/models/veo:predictLongRunning", {"instances": [{}]})[1]["name"],
        "prediction": ask(who, "POST", "/v1/predictions", {"version": "v", "input": {}})[1]["id"],
        "of_model": ask(who, "POST", "/v1/models/acme/m/predictions", {"input": {}})[1]["id"],
        "deferred": ask(
            who, "POST", "/v1/chat/completions", {"model": "g", "messages": []}, **{"x-deferred": "1"}
        )[1]["request_id"],
    }  # fmt: skip


def requests_for(a: dict[str, str]) -> list[tuple[str, str, Any]]:
    """Return every kind of request that uses another account's objects."""
    generate = "/v1beta/models/g:generateContent"
    uri = "https://generativelanguage.googleapis.com/v1beta/" + a["file"]
    part = lambda data: {"contents": [{"parts": [{"text": "repeat"}, data]}]}  # noqa: E731
    return [
        ("GET", f"/v1beta/{a['cache']}", None),
        ("PATCH", f"/v1beta/{a['cache']}", {"ttl": "9s"}),
        ("POST", generate, SAY | {"cachedContent": a["cache"]}),
        ("POST", generate, SAY | {"cached_content": a["cache"]}),
        ("POST", f"{VERTEX}/models/g:generateContent", SAY | {"cachedContent": a["vertex"]}),
        ("GET", f"/v1/{a['vertex']}", None),
        ("GET", f"/v1beta/{a['file']}", None),
        ("POST", generate, part({"fileData": {"fileUri": uri}})),
        ("POST", generate, part({"file_data": {"file_uri": uri + "?alt=media"}})),
        ("POST", generate, part({"fileData": {"fileUri": a["file"]}})),
        ("GET", f"/v1beta/{a['store']}", None),
        ("POST", generate, SAY | {"tools": [{"fileSearch": {"fileSearchStoreNames": [a["store"]]}}]}),
        ("GET", f"/v1beta/interactions/{a['interaction']}", None),
        ("POST", "/v1beta/interactions", {"model": "g", "input": "x",
                                          "previous_interaction_id": a["interaction"]}),
        ("GET", f"/v1beta/{a['video']}", None),
        ("POST", "/v1beta/models/veo:fetchPredictOperation", {"operationName": a["video"]}),
        ("GET", f"/v1/predictions/{a['prediction']}", None),
        ("POST", f"/v1/predictions/{a['of_model']}/cancel", {}),
        ("GET", f"/v1/chat/deferred-completion/{a['deferred']}", None),
    ]  # fmt: skip


@pytest.mark.slow
def test_nobody_reaches_what_another_made_at_other_apis_and_everybody_his_own(world: World) -> None:
    a = made_by(world, "a")
    for method, target, body in requests_for(a):
        assert world.ask("b", method, target, body)[0] == 404, (method, target, body)
        assert world.ask("a", method, target, body)[0] == 200, (method, target, body)
    for collection in ("cachedContents", "files", "fileSearchStores"):
        kind = {"cachedContents": "cache", "files": "file", "fileSearchStores": "store"}[collection]
        listed = world.ask("a", "GET", f"/v1beta/{collection}?pageSize=50")[1][collection]
        assert a[kind] in [one["name"] for one in listed]
        assert not world.ask("b", "GET", f"/v1beta/{collection}?pageSize=50")[1].get(collection)
    assert world.ask("b", "DELETE", f"/v1beta/{a['cache']}")[0] == 404
    assert world.ask("a", "DELETE", f"/v1beta/{a['cache']}")[0] == 200
    assert world.store.crossings == []


@pytest.mark.parametrize(
    "body",
    [
        {"agent_id": "ag_1", "inputs": "x"},
        {"tools": [{"type": "document_library", "library_ids": ["u-1"]}]},
        {"semanticRetriever": {"source": "corpora/1"}},
        {"tools": [{"retrieval": {"vertexRagStore": {"ragResources": [
            {"ragCorpus": "projects/p/locations/l/ragCorpora/1"}]}}}]},
        {"prompt": {"id": "p", "variables": {"f": {"type": "input_file", "file_id": "file-1"}}}},
        {"model": "tunedModels/mine-1"},
        {"messages": [{"role": "system", "content": "fileid://file-fe-1,fileid://file-fe-2"}]},  # for Qwen
        {"messages": [{"role": "system", "content": "fileid://f-1 " + "x" * 600}]},
        {"from_checkpoint": "ft-1a:3"},  # Together: continues to train another account's weights
        {"input": [{"type": "document", "uri": "files/7"}]},
        {"tools": [{"type": "collections_search", "collection_ids": ["u-1"]}]},
        {"previousInteractionId": "v1_abc"},  # Google reads each name in both ways
        {"containerId": "c-1"},
        {"characters": [{"id": "char_1"}]},
        {"name": "mine", "consent": "cons_1"},
    ],
)  # fmt: skip
def test_what_nobody_made_here_is_nobodys_in_every_field_that_uses_it(body: dict[str, Any]) -> None:
    assert in_value(body)[0].owned


@pytest.mark.parametrize(
    "body",
    [
        {"agent": "agent_1"},
        {"agent": "agents/agent_1"},
        {"environment": "agent_1"},
        {"session_id": "agent_1"},
        {"content": [{"type": "document", "document_id": "agent_1"}]},
        {"characters": ["agent_1"]},
    ],
)  # fmt: skip
def test_what_may_be_public_is_looked_up_too(body: dict[str, Any]) -> None:
    found = in_value(body)[0]
    assert (found.named, found.owned) == (("agent_1",), ())


@pytest.mark.parametrize("name", [" file-1", "file-1\n", "files/file-1", "/file-1"])
@pytest.mark.parametrize("field", ["item", "reference", "file"])
def test_what_a_lenient_upstream_takes_for_an_id_is_looked_up(field: str, name: str) -> None:
    assert in_value({"input": "x", field: name})[0].named == ("file-1",)


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": {"id": "p", "variables": {"file_id": "mine", "q": {"type": "input_text", "text": "x"}}}},
        {"messages": [{"role": "user", "content": "corpora/1"}], "metadata": {"x": "cachedContents/1"}},
        {"image_url": {"url": "https://example.com/files/cat"}, "file": {"filename": "files/report"}},
        {"fileData": {"fileUri": "https://example.com/files/report.pdf"}},
        {"tools": [{"function": {"name": "f", "parameters": {"corpus": "corpora/1"}}}]},
    ],
)
def test_words_that_look_like_it_are_no_references(body: dict[str, Any]) -> None:
    assert not in_value(body)[0].owned


def test_a_stored_prompt_that_was_assigned_is_that_account_s(world: World) -> None:
    """No API creates one: it belongs to the organisation until an administrator assigns it."""
    body = {"model": "m", "prompt": {"id": "pmpt_7", "variables": {"q": "x"}}}
    assert world.ask("b", "POST", "/v1/responses", body)[0] == 200
    world.gate.own("pmpt_7")
    assert world.ask("b", "POST", "/v1/responses", body)[0] == 404
    assert world.ask("a", "POST", "/v1/responses", body)[0] == 200
    world.gate.own("pmpt_7", account=EVERYBODY)
    assert world.ask("b", "POST", "/v1/responses", body)[0] == 200


@pytest.mark.slow
def test_two_accounts_never_share_an_idempotency_key(world: World) -> None:
    """An upstream answers a repeated key with the reply to its first use."""
    keys = []
    for who in ("a", "a", "b"):
        world.ask(
            who, "POST", "/v1/chat/completions", {"model": "g", "messages": []}, **{"idempotency-key": "1"}
        )
        keys.append(world.store.heads[-1]["idempotency-key"])
    assert keys[0] == keys[1] != keys[2]
    assert "1" not in keys
