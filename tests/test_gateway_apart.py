"""Accounts with one upstream key cannot reach each other's objects: by path, body, list, or restart."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_world import Running, gateway, request
from stillwatch.gateway.control.owners import EVERYBODY, Owners
from stillwatch.gateway.path.objects import Listing, place_of
from stillwatch.gateway.path.references import in_value, made_in, made_in_event
from upstream_store import Store, storing

# OpenAI calls assistants deprecated; they are still served, and contain people's texts
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # assistants are deprecated, but served
QUESTION = {
    "custom_id": "1",
    "method": "POST",
    "url": "/v1/responses",
    "body": {"model": "mira", "input": "hi"},
}


def line(**body: Any) -> bytes:
    return json.dumps(QUESTION | {"body": {**QUESTION["body"], **body}}).encode() + b"\n"  # type: ignore[dict-item]


class World:
    def __init__(self, store: Store, gate: Running) -> None:
        self.store, self.gate = store, gate
        self.keys = {"a": gate.key, "b": gate.issue("acct_b")}

    def client(self, who: str) -> openai.OpenAI:
        url = f"{self.gate.url}/v1"
        return openai.OpenAI(
            api_key=self.keys[who], base_url=url, default_headers={"x-who": who}, max_retries=0, timeout=20
        )

    def ask(
        self, who: str, method: str, target: str, body: object = None, **headers: str
    ) -> tuple[int, bytes]:
        head = {"authorization": f"Bearer {self.keys[who]}", "x-who": who, **headers}
        reply = request(self.gate.port, method, target, body, head)
        return reply.status, reply.body

    def restart(self, number: int = 15) -> None:
        self.gate.stop("worker-0", number)
        self.gate.start("worker-0")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with storing() as store, gateway(store.url, recorder=False) as gate:
        yield World(store, gate)


def made_by(client: openai.OpenAI) -> dict[str, str]:
    """Create one object of each kind with the official client."""
    file = client.files.create(file=("q.jsonl", line()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
    response = client.responses.create(model="mira", input="keep this")
    streamed = list(client.responses.create(model="mira", input="this too", stream=True))
    second = client.responses.create(model="mira", input="go on", previous_response_id=response.id)
    conversation = client.conversations.create()
    stored = client.chat.completions.create(
        model="mira", messages=[{"role": "user", "content": "keep"}], store=True
    )
    assistant = client.beta.assistants.create(
        model="mira",
        tool_resources={"file_search": {"vector_stores": [{"file_ids": [file.id]}]}},
    )
    inline = assistant.tool_resources.file_search.vector_store_ids[0]  # type: ignore[union-attr,index]
    thread = client.beta.threads.create()
    message = client.beta.threads.messages.create(thread.id, role="user", content="hello")
    run = client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
    both = client.beta.threads.create_and_run(assistant_id=assistant.id)
    vectors = client.vector_stores.create(name="mine")
    client.vector_stores.files.create(vectors.id, file_id=file.id)
    job = client.fine_tuning.jobs.create(model="mira", training_file=file.id)
    return {
        "files": file.id,
        "output": batch.output_file_id or "",
        "batches": batch.id,
        "responses": response.id,
        "streamed": streamed[0].response.id,
        "second": second.id,
        "conversations": conversation.id,  # type: ignore[union-attr]
        "completions": stored.id,
        "assistants": assistant.id,
        "inline": inline,
        "threads": thread.id,
        "messages": message.id,
        "runs": run.id,
        "both": both.thread_id,
        "vector_stores": vectors.id,
        "jobs": job.id,
        "item": second.output[0].id,
        "streamed_item": streamed[-1].response.output[0].id,  # type: ignore[union-attr]
    }


def paths_of(a: dict[str, str]) -> list[tuple[str, str]]:
    roots = {
        "files": "files",
        "output": "files",
        "batches": "batches",
        "responses": "responses",
        "streamed": "responses",
        "second": "responses",
        "conversations": "conversations",
        "completions": "chat/completions",
        "assistants": "assistants",
        "inline": "vector_stores",
        "threads": "threads",
        "both": "threads",
        "vector_stores": "vector_stores",
        "jobs": "fine_tuning/jobs",
    }
    found = []
    for name, root in roots.items():
        one = f"/v1/{root}/{a[name]}"
        found += [("GET", one), ("DELETE", one), ("POST", one), ("POST", f"{one}/cancel")]
        found += [
            ("GET", f"{one}/{sub}")
            for sub in ("content", "input_items", "items", "messages", "files", "runs")
        ]
        escaped = f"%{ord(a[name][0]):02X}{a[name][1:]}"
        for odd in (
            f"/v1/{root}/{escaped}",
            f"/V1/{root.upper()}/{a[name]}",
            f"//v1//{root}//{a[name]}/",
            f"/{root}/{a[name]}",
            f"/openai/v1/{root}/{a[name]}?api-version=1",
            f"/v1/{root};x=1/{a[name]}",
            f"/v1/{root}/{a[name]};x",
            f"/v1/{root}%2F{a[name]}",
            f"/v1/new_api/{a[name]}",
            f"/v1/{root}/{a[name]}?after={a[name]}",
            f"/v1/{root}\\{a[name]}",
        ):
            found.append(("GET", odd))
    thread, message, run = a["threads"], a["messages"], a["runs"]
    found += [
        ("GET", f"/v1/threads/{thread}/messages/{message}"),
        ("GET", f"/v1/threads/{thread}/runs/{run}"),
    ]
    return found


def bodies_of(a: dict[str, str]) -> list[tuple[str, Any]]:
    """Return bodies that refer to A's objects, each with its path."""
    file, response = a["files"], a["responses"]
    chat = [{"role": "user", "content": [{"type": "file", "file": {"file_id": file}}]}]
    part = [{"role": "user", "content": [{"type": "input_file", "file_id": file}]}]
    anthropic = [
        {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": file}}]}
    ]
    tool = {"type": "file_search", "vector_store_ids": [a["vector_stores"]]}
    code = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file]}}
    ask = {"model": "mira", "input": "repeat it"}
    return [
        ("/v1/responses", ask | {"previous_response_id": response}),
        ("/v1/responses", ask | {"previous_response_id": a["streamed"]}),
        ("/v1/responses", ask | {"Previous_Response_ID": response}),
        ("/v1/responses", ask | {"conversation": a["conversations"]}),
        ("/v1/responses", ask | {"conversation": {"id": a["conversations"]}}),
        ("/v1/responses", ask | {"tools": [tool]}),
        ("/v1/responses", ask | {"tools": [code]}),
        ("/v1/responses", {"model": "mira", "input": part}),
        ("/v1/responses", {"model": "mira", "input": [{"type": "item_reference", "id": a["item"]}]}),
        ("/v1/responses", {"model": "mira", "input": [{"id": a["item"]}]}),
        ("/v1/responses", {"model": "mira", "input": [{"id": a["streamed_item"], "type": None}]}),
        ("/v1/responses", {"model": "mira", "input": [{"type": "image_generation_call", "id": a["item"]}]}),
        ("/v1/responses/input_tokens", ask | {"previous_response_id": response}),
        ("/v1/responses/compact", ask | {"previous_response_id": response}),
        ("/v1/chat/completions", {"model": "mira", "messages": chat}),
        ("/v1/messages", {"model": "mira", "max_tokens": 9, "messages": anthropic}),
        ("/v1/messages", {"model": "mira", "max_tokens": 9, "messages": [], "container": a["files"]}),
        ("/v1/batches", {"input_file_id": file, "endpoint": "/v1/responses", "completion_window": "24h"}),
        ("/v1/batches", {"input_file_id": a["output"], "endpoint": "/v1/x", "completion_window": "24h"}),
        ("/v1/threads", {"messages": [{"role": "user", "content": "x", "attachments": [{"file_id": file}]}]}),
        ("/v1/threads/runs", {"assistant_id": a["assistants"]}),
        (
            "/v1/assistants",
            {"model": "m", "tool_resources": {"file_search": {"vector_store_ids": [a["inline"]]}}},
        ),
        ("/v1/vector_stores", {"file_ids": [file]}),
        ("/v1/vector_stores", {"metadata": {"x": file}}),
        ("/v1/fine_tuning/jobs", {"model": "mira", "training_file": file}),
        ("/v1/fine_tuning/jobs", {"model": "mira", "training_file": "x", "validation_file": file}),
        ("/v1/uploads/x/complete", {"part_ids": [file]}),
        ("/v1/messages/batches", {"requests": [{"custom_id": "1", "params": {"messages": anthropic}}]}),
        ("/v1/evals", {"data_source_config": {"type": "stored_completions", "metadata": {}}}),
        (
            "/v1/evals/x/runs",
            {"data_source": {"type": "completions", "source": {"type": "file_id", "id": file}}},
        ),
    ]


def form(lines: bytes, **fields: str) -> tuple[bytes, str]:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
        for k, v in fields.items()
    ]
    parts += [
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.jsonl"\r\n\r\n',
        lines,
        b"\r\n--b--\r\n",
    ]
    return b"".join(parts), "multipart/form-data; boundary=b"


def try_everything(world: World, a: dict[str, str]) -> int:
    """Let B try; return how often. Nothing that names A's objects may reach the upstream."""
    store, tries = world.store, 0
    theirs, before = store.of("a"), len(store.crossings)
    for method, target in paths_of(a):
        status, body = world.ask("b", method, target, {} if method == "POST" else None)
        unknown = status == 403 and b'"path_not_allowed"' in body  # in no line of the table, for any account
        assert unknown or status in (400, 404), (method, target, status, body)
        tries += 1
    for target, asked in bodies_of(a):
        status, body = world.ask("b", "POST", target, asked)
        assert status in (400, 403, 404), (target, asked, status, body)
        tries += 1
    for lines in (
        line(previous_response_id=a["responses"]),
        line(input=[{"type": "item_reference", "id": a["item"]}]),
        line(tools=[{"type": "file_search", "vector_store_ids": [a["vector_stores"]]}]),
        json.dumps(QUESTION | {"url": f"/v1/files/{a['files']}"}).encode(),
        line(previous_response_id=a["responses"]).replace(
            b"previous_response_id", b"previous_respons\\u0065_id"
        ),
    ):
        data, kind = form(lines, purpose="batch")
        status, body = world.ask("b", "POST", "/v1/files", data, **{"content-type": kind})
        assert status in (400, 404), (lines, status, body)
        tries += 1
    data, kind = form(b"bytes", file_id=a["files"])
    assert world.ask("b", "POST", "/v1/containers/x/files", data, **{"content-type": kind})[0] == 404
    for path in (
        "files",
        "batches",
        "responses",
        "conversations",
        "assistants",
        "threads",
        "vector_stores",
        "chat/completions",
        "fine_tuning/jobs",
        "files?limit=1",
        "files?limit=3&order=asc",
    ):
        status, body = world.ask("b", "GET", f"/v1/{path}")
        assert status == 200, (path, body)
        assert not [name for name in theirs if name.encode() in body], path
        assert b"secret-of-a" not in body
        tries += 1
    assert store.crossings[before:] == []
    return tries


@pytest.mark.slow
def test_nobody_reaches_what_another_made_and_everybody_his_own_through_restarts(world: World) -> None:
    a_client, b_client = world.client("a"), world.client("b")
    a = made_by(a_client)
    assert try_everything(world, a) > 300  # B has nothing of its own yet
    b = made_by(b_client)
    assert try_everything(world, a) > 300  # and now it has
    world.restart()
    assert try_everything(world, a) > 300
    world.restart(9)  # killed
    try_everything(world, a)
    for client, mine in ((a_client, a), (b_client, b)):
        assert client.files.retrieve(mine["files"]).id == mine["files"]
        assert client.files.content(mine["output"]).read().startswith(b"secret-of-")
        assert client.batches.retrieve(mine["batches"]).output_file_id == mine["output"]
        assert client.batches.cancel(mine["batches"]).id == mine["batches"]
        assert client.responses.retrieve(mine["streamed"]).id == mine["streamed"]
        assert client.beta.threads.retrieve(mine["both"]).id == mine["both"]
        assert client.beta.threads.messages.retrieve(mine["messages"], thread_id=mine["threads"]).id
        assert client.vector_stores.retrieve(mine["inline"]).id == mine["inline"]
        assert client.chat.completions.retrieve(mine["completions"]).id == mine["completions"]
        assert client.fine_tuning.jobs.retrieve(mine["jobs"]).id == mine["jobs"]
        own = client.responses.create(model="mira", input=[{"type": "item_reference", "id": mine["item"]}])
        assert own.id
        assert {one.id for one in client.files.list(limit=2)} == {mine["files"], mine["output"]}
        assert {one.id for one in client.batches.list()} == {mine["batches"]}
        assert client.files.delete(mine["files"]).deleted
    assert world.store.crossings == []


@pytest.mark.slow
def test_a_list_goes_on_over_the_pages_of_others(world: World) -> None:
    a, b = world.client("a"), world.client("b")
    first = b.vector_stores.create(name="1").id
    for _ in range(230):
        world.store.make("vector_stores", "nobody")
    last = b.vector_stores.create(name="2").id
    mine = [one.id for one in b.vector_stores.list(limit=1) if one.id in (first, last)]
    assert mine == [first, last]
    status, body = world.ask("b", "GET", "/v1/vector_stores?limit=1")
    page = json.loads(body)
    assert status == 200
    assert (len(page["data"]), page["last_id"]) == (1, page["data"][0]["id"])
    assert page["has_more"]
    assert first not in [one.id for one in a.vector_stores.list()]


def test_what_has_no_owner_is_404_until_an_administrator_assigns_it(world: World) -> None:
    name = world.store.make("files", "b", filename="old", purpose="batch", bytes=1)["id"]
    shared = world.store.make("vector_stores", "b", name="handbook")["id"]
    assert world.ask("b", "GET", f"/v1/files/{name}")[0] == 404
    with Owners(world.gate.folder.objects) as owners:
        owners.assign(name, "acct_b", 1)
        owners.assign(shared, EVERYBODY, 1)
    assert world.ask("b", "GET", f"/v1/files/{name}")[0] == 200
    assert world.ask("a", "GET", f"/v1/files/{name}")[0] == 404
    world.store.makers[shared] = "a"
    assert world.ask("a", "GET", f"/v1/vector_stores/{shared}")[0] == 200
    assert world.ask("a", "POST", f"/v1/vector_stores/{shared}/search", {"query": "x"})[0] == 200
    assert world.ask("a", "DELETE", f"/v1/vector_stores/{shared}")[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/v1/organization/usage/completions",
        "/v1/organization",
        "/organization/admin_api_keys",
        "/openai/v1/organization/projects",
        "/v1/organizations/x/members",
        "/v1/Organization/users",
        "/v1/%6Frganization/users",
        "//v1//organization/users",
        "/v1/dashboard/billing",
        "/dashboard/x",
        "/v1/usage",
    ],
)
def test_administration_never_goes_upstream(world: World, path: str) -> None:
    before = len(world.store.seen)
    for method in ("GET", "POST", "DELETE"):
        assert world.ask("a", method, path, {} if method == "POST" else None)[0] == 403
    assert len(world.store.seen) == before


def test_questions_that_were_uploaded_in_parts_begin_no_batch(world: World) -> None:
    a = world.client("a")
    upload = a.uploads.create(bytes=1, filename="f", mime_type="x/y", purpose="batch")
    part = a.uploads.parts.create(upload.id, data=b"x")
    done = a.uploads.complete(upload.id, part_ids=[part.id])
    assert done.file is not None
    assert a.files.retrieve(done.file.id).id == done.file.id
    with pytest.raises(openai.BadRequestError, match="uploaded in parts"):
        a.batches.create(input_file_id=done.file.id, endpoint="/v1/responses", completion_window="24h")


def test_ids_that_are_the_users_own_words_are_no_references(world: World) -> None:
    """Tool arguments, metadata, schemas, texts: no honest request is refused because of them."""
    tool_use = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"file_id": "x"}}],
    }
    schema = {
        "type": "object",
        "properties": {"file_id": {"type": "string"}, "thread_id": {"type": "string"}},
    }
    for path, body in (
        ("/v1/messages", {"model": "mira", "max_tokens": 1, "messages": [tool_use]}),
        (
            "/v1/chat/completions",
            {
                "model": "mira",
                "messages": [{"role": "user", "content": "file-nobodys"}],
                "metadata": {"thread_id": "t1", "file_id": "f"},
                "session_id": "s",
            },
        ),
        (
            "/v1/responses",
            {
                "model": "mira",
                "input": "x",
                "tools": [{"type": "function", "name": "f", "parameters": schema}],
            },
        ),
        (
            "/v1/responses",
            {
                "model": "mira",
                "input": [
                    {"type": "reasoning", "id": "rs_zdr", "summary": []},
                    {
                        "type": "function_call",
                        "id": "fc_1",
                        "call_id": "call_1",
                        "name": "f",
                        "arguments": "{}",
                    },
                ],
            },
        ),
    ):
        assert world.ask("b", "POST", path, body)[0] == 200, body


# --- parts -------------------------------------------------------------------------------------------------


def test_a_reply_makes_nobody_the_owner_of_what_its_client_wrote() -> None:
    body = {
        "id": "resp_1",
        "metadata": {"file_id": "file-A", "id": "file-A"},
        "tools": [{"vector_store_ids": ["vs_A"]}],
        "output": [
            {"id": "msg_1", "content": [{"text": "file-A", "id": "file-A"}], "arguments": {"id": "file-A"}}
        ],
    }
    assert made_in(json.dumps(body).encode(), "responses", True) == [
        ("resp_1", "responses"),
        ("msg_1", "items"),
    ]
    event = {"type": "response.created", "response": body}
    assert made_in_event(json.dumps(event).encode(), "responses", True) == [("resp_1", "responses")]


def test_the_first_who_made_it_keeps_it_and_a_full_disk_loses_nothing(tmp_path: Any) -> None:
    with Owners(tmp_path / "objects.db") as one, Owners(tmp_path / "objects.db") as other:
        one.add("a", [("file-1", "files")], 1)
        other.add("b", [("file-1", "files"), ("file-2", "files")], 2)
        assert one.owners(["file-1", "file-2", "file-3"]) == {"file-1": "a", "file-2": "b"}
        one._db.execute("PRAGMA query_only = 1")  # type: ignore[union-attr]
        one.add("a", [("file-4", "files")], 3)
        assert one.owners(["file-4"]) == {"file-4": "a"}
        assert other.object("file-4") is None
        one._db.execute("PRAGMA query_only = 0")  # type: ignore[union-attr]
        one.add("a", [], 4)
        assert other.owners(["file-4"]) == {"file-4": "a"}


def test_what_passes_is_forgotten_and_what_lasts_is_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.gateway.control.owners.TIDY", 10)
    monkeypatch.setattr("stillwatch.gateway.control.owners.MOST_OF_ACCOUNT", 50)
    day = 86_400_000_000
    with Owners(tmp_path / "objects.db") as owners:
        owners.add("a", [("file-1", "files"), ("resp_0", "responses")], 0)
        for k in range(1, 200):
            owners.add("a", [(f"resp_{k}", "responses")], 41 * day + k)
        assert owners.object("resp_0") is None
        assert owners.object("file-1") is not None
        assert len(owners.page("a")) <= 60
        assert owners.object("resp_199") is not None


@pytest.mark.slow
@given(st.text(max_size=200))
def test_any_target_is_read(text: str) -> None:
    place_of("/" + text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "type", "input", "file_id", "metadata", "container", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(json_values)
def test_any_body_is_read(value: object) -> None:
    in_value(value)
    for kind in ("files", "operations"):
        made_in(json.dumps(value).encode(), kind, True)
    made_in_event(json.dumps(value).encode(), "files", True)
    page = json.dumps({"data": value}).encode()
    whole, target = Listing("/v1/files", lambda names: set(), True).take(page)
    assert whole is not None
    assert target is None


@pytest.mark.slow
def test_an_upstream_that_goes_by_no_cursor_is_not_asked_for_the_same_page_again_and_again() -> None:
    page = json.dumps({"object": "list", "data": [{"id": "a"}, {"id": "b"}], "has_more": True}).encode()
    listing = Listing("/v1/files?limit=5", lambda names: {"b"}, True)
    assert listing.take(page) == (None, "/v1/files?after=b&limit=100")
    whole, target = listing.take(page)
    assert target is None
    assert json.loads(whole or b"")["data"] == [{"id": "b"}]
