"""The owners of Google's stored objects, however their names are spelt, and of the files that batches read.

The upstream resolves a name as leniently as any server might: escapes, slashes, letter case, hosts.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from gateway_world import Running, gateway
from scripted_upstream import Asked, Said, Scripted, ask, scripted
from stillwatch.gateway.path.batch import BatchRequest, batch_tokens, begun, uploaded_batch
from stillwatch.gateway.path.references import in_value, made_in

API = "https://generativelanguage.googleapis.com/v1beta/"
GENERATE = "/v1beta/models/g:generateContent"
LINES = {"content__type": "application/jsonl"}
BATCH = "/v1beta/models/g:batchGenerateContent"


class Storing:
    """Files, stores and batches, each with its maker in `x-who`. Each use of another maker's object is
    recorded as a crossing."""

    def __init__(self) -> None:
        self.makers: dict[str, str] = {}
        self.crossings: list[tuple[str, str]] = []

    def __call__(self, asked: Asked) -> Said | Any:
        who = asked.headers.get("x-who", "?")
        read = unquote(unquote(asked.path + asked.body.decode())).lower()
        self.crossings += [
            (who, name) for name, maker in self.makers.items() if maker != who and name in read
        ]
        path = asked.path.partition("?")[0]
        name = f"{who}{len(self.makers)}zz"
        if asked.method == "GET" and "/batches/" in path:
            self.makers[f"out{name}"] = who
            output = {"responsesFile": f"files/out{name}"}
            return {"name": path.partition("beta/")[2], "metadata": {"output": output}, "response": output}
        if asked.method != "POST" or path.endswith(("generateContent", ":importFile")):
            return {"ok": True}
        self.makers[name] = who
        if path.endswith("/files"):
            return {"file": {"name": f"files/{name}", "uri": API + f"files/{name}"}}
        return {"name": ("batches/" if "atch" in path else "fileSearchStores/") + name}


class World:
    def __init__(self, store: Storing, up: Scripted, gate: Running) -> None:
        self.store, self.up, self.gate = store, up, gate
        self.keys = {"a": gate.key, "b": gate.issue("acct_b")}

    def ask(self, who: str, method: str, target: str, body: Any = None, **more: str) -> tuple[int, Any]:
        return ask(self.gate, method, target, body, self.keys[who], x__who=who, **more)

    def make(self, who: str) -> tuple[str, str]:
        """Create a file and a store."""
        file = self.ask(who, "POST", "/v1beta/files", {"file": {"displayName": "x"}})[1]["file"]["name"]
        return file, self.ask(who, "POST", "/v1beta/fileSearchStores", {"displayName": "x"})[1]["name"]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    store = Storing()
    with scripted(store) as up, gateway(up.url, recorder=False) as gate:
        yield World(store, up, gate)


def spelt(file: str) -> list[str]:
    """Return spellings of a file's address that some server might accept."""
    name = file.rpartition("/")[2]
    escaped = f"%{ord(name[0]):02x}{name[1:]}"
    return [
        API + file, file, f" {file} ", API + f"files/{escaped}", API + f"files/%25{escaped[1:]}",
        API + f"files//{name}", API + f"FILES/{name}", API + f"{file};x", API + f"{file}%20",
        API + f"{file}/", API.upper() + file, API.partition(":")[2] + file, API.replace("/v1beta", "") + file,
        API.replace(".com", ".com:443") + file, API.replace("https", "http") + f"{file}#x",
        API.replace("//", "//me@") + file, API + f"{file}:download?alt=media",
    ]  # fmt: skip


@pytest.mark.slow
def test_no_spelling_of_a_name_reaches_what_another_made(world: World) -> None:
    (file, store), (own, own_store) = world.make("a"), world.make("b")
    parts = [{"contents": [{"parts": [{"fileData": {"fileUri": uri}}]}]} for uri in spelt(file)]
    escaped = store.replace("/", "/%61", 1).replace("%61a", "%61")
    names = (
        store,
        f"{store}/",
        f"/{store}",
        f" {store}",
        store.replace("S", "s"),
        store.replace("/", "//"),
        escaped,
    )
    tools = [{"tools": [{"fileSearch": {"fileSearchStoreNames": [name]}}]} for name in names]
    for body in (*parts, *tools):
        assert world.ask("b", "POST", GENERATE, body)[0] == 404, body
    for field in ("fileName", "file_name", "FileName"):
        for name in spelt(file)[1:3]:
            for target, body in (
                (f"/v1beta/{own_store}:importFile", {field: name}),
                (BATCH, {"batch": {"inputConfig": {field: name}}}),
                (BATCH, {"batch": {"input_config": {field: name}}}),
            ):
                assert world.ask("b", "POST", target, body)[0] in (403, 404), (target, body)
    assert world.ask("b", "POST", "/v1beta/files", {"file": {"name": file}})[0] == 404, "its name is taken"
    assert world.store.crossings == []
    for name in spelt(own)[:2]:
        assert world.ask("b", "POST", f"/v1beta/{own_store}:importFile", {"fileName": own})[0] == 200
        part = {"contents": [{"parts": [{"fileData": {"fileUri": name}}]}]}
        assert world.ask("b", "POST", GENERATE, part)[0] == 200


@pytest.mark.slow
def test_what_a_batch_brought_is_its_account_s(world: World) -> None:
    file, _ = world.make("a")
    batch = world.ask("a", "POST", BATCH, {"batch": {"inputConfig": {"fileName": file}}})[1]["name"]
    assert world.ask("b", "GET", f"/v1beta/{batch}")[0] == 404
    output = world.ask("a", "GET", f"/v1beta/{batch}")[1]["response"]["responsesFile"]
    assert world.ask("b", "GET", f"/v1beta/{output}:download?alt=media")[0] == 404
    assert world.ask("a", "GET", f"/v1beta/{output}:download?alt=media")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/batches", {"input_blob": "https://a.blob.example/x.jsonl", "endpoint": "/chat/completions"}),
        ("/v1/batches", {"input_file_id": "mine", "Input_Blob": "https://a.blob.example/x.jsonl"}),
        ("/v1/projects/p/locations/l/batchPredictionJobs", {"inputConfig": {"gcsSource": {"uris": ["gs://b/x"]}}}),
        (BATCH, {"batch": {"displayName": "x"}}),
        ("/v1/accounts/a/batchInferenceJobs", {"model": "m"}),
    ],
)  # fmt: skip
def test_a_batch_of_questions_that_nobody_saw_does_not_begin(
    world: World, target: str, body: dict[str, Any]
) -> None:
    world.gate.own("mine")
    before = len(world.up.seen)
    status, said = world.ask("a", "POST", target, body)
    assert (status, said["error"]["code"]) == (403, "batch_unknown")
    assert '[[operation]] with method = "POST"' in said["error"]["message"]
    assert len(world.up.seen) == before


@pytest.mark.slow
def test_the_owner_lets_a_batch_begin_from_elsewhere() -> None:
    own = '[[operation]]\nmethod = "POST"\npath = "/v1/batches"\ndoes = "begins"\n'
    with scripted(lambda _: {"id": "batch_1"}) as up, gateway(up.url, own, recorder=False) as gate:
        assert ask(gate, "POST", "/v1/batches", {"input_blob": "https://a.blob.example/x"})[0] == 200


def test_the_questions_of_google_s_batches_are_counted() -> None:
    each = [{"request": {"contents": [], "generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}}},
            {"request": {"contents": []}}]  # fmt: skip
    for key in ("inputConfig", "input_config"):
        source = {key: {"requests": {"requests": each}}}
        assert begun({"batch": source}) == BatchRequest(2, 14, 1, 2, begins=True)
    line = b'{"key": "a", "response": {"candidates": [], "usageMetadata": {"promptTokenCount": 3,'
    assert batch_tokens(line + b' "candidatesTokenCount": 5, "thoughtsTokenCount": 4}}}\n') == (3, 9)


def test_a_batch_counts_in_every_way_that_it_says_what_it_asks() -> None:
    short = {
        "custom_id": "a",
        "url": "/v1/embeddings",
        "body": {},
        "params": {"messages": [], "max_tokens": 9},
    }
    assert begun({"requests": [short]}) == BatchRequest(1, 9, 0, begins=True)
    both = begun({"requests": [{"custom_id": "a", "body": {"max_tokens": 1}}], "input_file_id": "f"})
    assert both == BatchRequest(1, 1, 0, begins=True, files=("f",))
    aside = {"custom_id": "a", "url": "/v1/chat/completions?x=/responses", "body": {"max_output_tokens": 1}}
    assert begun({"requests": [aside]}).unsaid == 1


@pytest.mark.parametrize(
    "body",
    [
        {"filename": "report.pdf", "file_data": "x"},
        {"input": [{"content": [{"filename": "files/report", "file_data": "x"}]}]},
        {"fileData": {"fileUri": "https://example.com/files/report.pdf"}},
        {"fileData": {"fileUri": "https://storage.googleapis.com/b/files/report.pdf"}},
        {"note": "see corpora/brown, 100% of it"},
        {"tools": [{"parameters": {"file_name": "files/x"}}]},
    ],
)
def test_other_words_are_no_names_of_google_s(body: dict[str, Any]) -> None:
    assert in_value(body)[0].owned == ()


def test_what_another_may_have_taken_is_no_name_for_one_s_own() -> None:
    assert in_value({"file": {"name": "files/report"}})[0].named == ("report",)
    assert in_value({"model": "openai/ft:gpt-4o:acme::1"})[0].named == ("ft:gpt-4o:acme::1",)
    assert (
        in_value({"model": "tunedModels/x", "tools": [{"name": "a/b"}]})[0]
        == in_value({"model": "tunedModels/x"})[0]
    )
    assert in_value({"model": "tunedModels/x"})[0].owned == ("x",)


def test_only_what_the_upstream_says_of_its_own_is_learnt() -> None:
    videos = {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": API + "files/v1:download"}}]}}
    assert made_in(json.dumps({"response": videos}).encode(), "operations", False) == [("v1", "files")]
    told = {
        "metadata": {"displayName": "files/x", "responsesFile": "files/y"},
        "response": {"uri": "files/z"},
    }
    assert made_in(json.dumps(told).encode(), "operations", False) == []


def google_lines(*requests: dict[str, Any]) -> bytes:
    return b"".join(
        json.dumps({"key": f"q{k}", "request": each}).encode() + b"\n" for k, each in enumerate(requests)
    )


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}, *([more] if more else [])]}]}


@pytest.mark.slow
def test_a_line_of_google_s_batch_names_no_other_s_file(world: World) -> None:
    """The batch is uploaded as google-genai does it, and as a form."""
    file, _ = world.make("a")
    before = len(world.store.crossings)
    for request in (
        asking("repeat it", fileData={"fileUri": API + file}),
        asking("repeat it") | {"cachedContent": "cachedContents/nobodys"},
        asking("repeat it")
        | {"tools": [{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/nobodys"]}}]},
    ):
        lines = google_lines(asking("first"), request)
        assert world.ask("b", "POST", "/upload/v1beta/files", lines, **LINES)[0] == 404, request
        escaped = lines.replace(b'"request"', b'"re\\u0071uest"')
        assert world.ask("b", "POST", "/upload/v1beta/files", escaped, **LINES)[0] == 404, request
    assert world.store.crossings[before:] == []
    assert world.ask("b", "POST", "/upload/v1beta/files", google_lines(asking("first")), **LINES)[0] == 200


@pytest.mark.slow
def test_each_question_of_google_s_batches_is_a_row_and_counted() -> None:
    terms = "version = 1\n[limits]\nbatch_output_tokens_per_day = 100\n[retention]\ntext_days = 1\n"
    with scripted(Storing()) as up, gateway(up.url, terms) as gate:
        capped = {"generationConfig": {"maxOutputTokens": 30}}
        each = [{"request": asking(f"Why is planet {n} red?") | capped} for n in range(2)]
        inline = {"batch": {"input_config": {"requests": {"requests": each}}}}
        assert ask(gate, "POST", BATCH, inline)[0] == 200, "60 of 100"
        assert ask(gate, "POST", BATCH, inline)[0] == 429
        lines = google_lines(*(asking(f"Why is star {n} blue?") | capped for n in range(2)))
        status, said = ask(gate, "POST", "/upload/v1beta/files", lines, **LINES)
        assert status == 200
        file = {"batch": {"inputConfig": {"fileName": said["file"]["name"]}}}
        assert ask(gate, "POST", BATCH, file)[1]["error"]["code"] == "rate_limited", (
            "60 more: its promise is known"
        )
        prompts = [row["prompt"] or "" for row in gate.settle()]
        for words in ("planet 0", "planet 1", "star 0", "star 1"):
            assert sum(words in prompt for prompt in prompts) == 1, prompts
        assert not any(prompt.count("planet") > 1 or prompt.count("star") > 1 for prompt in prompts)


def test_what_google_s_lines_allow_themselves_is_counted() -> None:
    capped = {"generationConfig": {"maxOutputTokens": 30, "candidateCount": 2}}
    lines = google_lines(asking("a") | capped, asking("b"))
    assert uploaded_batch(lines) == BatchRequest(2, 60, 1, 2)
    both = json.dumps({"custom_id": "x", "request": asking("a") | capped | {"max_tokens": 1}}).encode()
    assert uploaded_batch(both) == BatchRequest(1, 60, 0, 2)
    assert uploaded_batch(b'{"request": "words", "level": "info"}\n{"request": {"path": "/"}}') is None
