"""Links in requests, through a gateway and the hooks: refused if the policy says so, and counted if not."""

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import anthropic
import openai
import pytest

from gateway_world import Running, gateway, until
from scripted_upstream import Asked, Scripted, ask, scripted
from test_links import AT, DOCUMENTS, NEITHER, PICTURES, gemini, user

GOOGLE = "https://generativelanguage.googleapis.com/v1beta/files/"
ANSWER = {"id": "x", "model": "mira", "choices": [{"message": {"content": "ok"}}], "usage": {}}
CHAT = "/v1/chat/completions"


def answer(asked: Asked) -> Any:
    if asked.method == "POST" and asked.path.startswith("/v1/files"):
        return {"id": f"file{len(asked.body)}-{asked.headers['x-who']}"}
    if asked.method == "POST" and asked.path.startswith("/v1beta/files"):
        return {"file": {"name": f"files/zz{asked.headers['x-who']}"}}
    return ANSWER


def lines(body: dict[str, Any]) -> bytes:
    question = {"custom_id": "1", "method": "POST", "url": CHAT, "body": {"model": "mira", **body}}
    return json.dumps(question).encode()


@pytest.mark.slow
def test_the_terms_refuse_what_a_model_would_read_at_an_address() -> None:
    terms = 'version = 1\n[capture]\nlinks = "refuse"\n'
    with scripted(answer) as up, gateway(up.url, terms, recorder=False) as gate:
        for body in [*DOCUMENTS, *PICTURES]:
            for target, data, kind in (
                (CHAT, {"model": "mira", **body}, {}),
                ("/v1/files", lines(body), {"content__type": "application/jsonl"}),
                ("/v1/messages/batches", {"requests": [{"custom_id": "1", "params": body}]}, {}),
            ):
                status, said = ask(gate, "POST", target, data, x__who="a", **kind)
                assert (status, said["error"]["code"]) == (403, "link_not_allowed"), (target, body)
        tools: dict[str, Any] = {"tools": [{"type": "web_search"}]}
        for target, data in (
            (CHAT, {"model": "mira", **tools}),
            ("/v1/messages/batches", {"requests": [{"custom_id": "1", "params": tools}]}),
            ("/v1beta/models/g:batchGenerateContent", {"batch": {"inputConfig": {"requests": {"requests": [
                {"request": {"contents": [], "tools": [{"urlContext": {}}]}}]}}}}),
        ):  # fmt: skip
            status, said = ask(gate, "POST", target, data, x__who="a")
            assert (status, said["error"]["code"]) == (403, "link_not_allowed"), target
        for kind, form in (
            ("application/x-www-form-urlencoded", f"model=mira&file_url={quote(AT)}".encode()),
            ("multipart/form-data; boundary=b",
             f'--b\r\ncontent-disposition: form-data; name="file_url"\r\n\r\n{AT}\r\n--b--\r\n'.encode()),
        ):  # fmt: skip
            status, said = ask(gate, "POST", "/v1/audio/transcriptions", form, x__who="a", content__type=kind)
            assert (status, said["error"]["code"]) == (403, "link_not_allowed"), kind
        packed = gzip.compress(json.dumps({"model": "mira", **DOCUMENTS[0]}).encode())
        more = {"content__type": "application/json", "content__encoding": "gzip"}
        assert ask(gate, "POST", "/v1/responses", packed, **more)[0] == 403
        assert up.seen == []
        for body in NEITHER:
            body = {"messages": [{"role": "user", "content": "x"}], **body, "model": "mira"}
            body = {key: value for key, value in body.items() if key != "extra_headers"}
            status, said = ask(gate, "POST", CHAT, body, x__who="a")
            code = said["error"]["code"] if status != 200 else ""
            assert status == 200 or code == "not_found", (body, said)  # a file without an owner


@pytest.mark.slow
def test_links_to_pictures_pass_alone() -> None:
    terms = 'version = 1\n[capture]\nlinks = "pictures"\n'
    with scripted(answer) as up, gateway(up.url, terms, recorder=False) as gate:
        picture = {"type": "image_url", "image_url": {"url": AT}}
        assert ask(gate, "POST", CHAT, user(picture))[0] == 200
        assert ask(gate, "POST", CHAT, user(picture, {"type": "file_url", "file_url": AT}))[0] == 403
        assert (
            ask(gate, "POST", CHAT, user(picture) | {"tools": [{"type": "mcp", "server_url": AT}]})[0] == 403
        )


@pytest.mark.slow
def test_a_link_that_passes_is_counted_and_shown() -> None:
    with scripted(answer) as up, gateway(up.url) as gate:
        assert ask(gate, "POST", CHAT, user({"type": "file_url", "file_url": {"url": AT}}))[0] == 200
        file = gate.folder.run / "recorder.json"
        until(lambda: file.exists() and json.loads(file.read_text()).get("unread_documents") == {"link": 1})


class World:
    """Two accounts of one gateway, and the names of the first one's stored objects."""

    def __init__(self, up: Scripted, gate: Running) -> None:
        self.up, self.gate = up, gate
        self.keys = {"a": gate.key, "b": gate.issue("acct_b")}

    def ask(self, who: str, target: str, body: Any = None, **more: str) -> tuple[int, Any]:
        return ask(self.gate, "POST", target, body, self.keys[who], x__who=who, **more)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with scripted(answer) as up, gateway(up.url, recorder=False) as gate:
        yield World(up, gate)


def places(address: str) -> list[dict[str, Any]]:
    """Return bodies that make the model read the content of an address."""
    return [
        user({"type": "file_url", "file_url": {"url": address}}),
        user({"type": "image_url", "image_url": {"url": address}}),
        user({"type": "image_url", "image_url": address}),
        user({"type": "image", "source": {"type": "url", "url": address}}),
        user({"type": "document", "source": {"type": "url", "url": address}}),
        user({"type": "file", "file": {"file_data": address}}),
        {"model": "mira", "input": [{"type": "input_file", "file_url": address}]},
        {"model": "mira", "document": {"type": "document_url", "document_url": address}},
        {"model": "mira", "input": {"prompt": "Answer.", "image": address, "images": [address]}},
        gemini(fileUri=address, mimeType="text/plain"),
        gemini(file_uri=address),
        {
            "model": "mira",
            "messages": [{"content": [{"document": {"source": {"s3Location": {"uri": address}}}}]}],
        },
    ]


def refused(world: World, who: str, body: dict[str, Any]) -> bool:
    """Return whether the upstream never receives it, alone or as a question of a batch."""
    body = {"model": "mira", **body}
    asked = [
        world.ask(who, CHAT if "messages" in body else "/v1/responses", body),
        world.ask(who, "/v1/messages/batches", {"requests": [{"custom_id": "1", "params": body}]}),
        world.ask(who, "/v1/files", lines(body), content__type="application/jsonl"),
    ]
    statuses = {status for status, _ in asked}
    assert len(statuses) == 1, (body, asked)
    return statuses == {404}


@pytest.mark.slow
def test_no_link_leads_to_what_another_account_stored(world: World) -> None:
    def stored(who: str) -> tuple[str, str]:
        openai = world.ask(who, "/v1/files", b"x" * (70 + ord(who)), content__type="text/plain")[1]["id"]
        return openai, world.ask(who, "/v1beta/files", {"file": {}})[1]["file"]["name"].rpartition("/")[2]

    (openai, google), (own, own_google) = stored("a"), stored("b")
    for address in (
        GOOGLE + google, GOOGLE.upper() + google, GOOGLE.replace("//", "//me@") + google,
        GOOGLE + f"%{ord(google[0]):02x}{google[1:]}", GOOGLE + google + ":download?alt=media",
        f" {GOOGLE}{google} ", GOOGLE + "unknown",
        f"{world.up.url}/v1/files/{openai}/content", f"{world.up.url}/v1/files/unknown",
        f"{world.gate.url}/v1/files/{openai}/content", f"https://api.openai.com/v1/files/{openai}/content",
        f"https://api.replicate.com/v1/files/{openai}", f"https://any.example.com/x/files/{openai}?a=b",
        f"https:\\\\any.example.com\\v1\\files\\{openai}",
    ):  # fmt: skip
        for body in places(address):
            assert refused(world, "b", body), (address, body)
    for address in (
        GOOGLE + own_google, f"{world.up.url}/v1/files/{own}/content", "https://example.com/files/report.pdf",
        f"https://api.replicate.com/v1/files/{own}", "https://example.com/a%20b/questions.pdf",
    ):  # fmt: skip
        for body in places(address):
            assert not refused(world, "b", body), (address, body)


@pytest.mark.slow
def test_what_lies_in_a_bucket_is_nobody_s_until_it_is_assigned(world: World) -> None:
    """The upstream reads it with the organisation's own rights, whichever account names it."""
    for address in (
        "gs://bucket/a/q.pdf", " GS://bucket/a/q.pdf", "s3://bucket/a/q.pdf", "file:///etc/passwd",
        "abfss://c@account.dfs.core.windows.net/a/q.pdf", "gs://bucket",
    ):  # fmt: skip
        for body in places(address):
            assert refused(world, "b", body), (address, body)
    world.gate.own("gs://team", account="")
    world.gate.own("gs://shared/b", account="acct_b")
    world.gate.own("gs://shared/a", "gs://team/a", account="acct_test")
    for address, mine in (
        ("gs://team/x/q.pdf", True), ("gs://team/a/q.pdf", False), ("gs://shared/b/x/q.pdf", True),
        ("GS://shared/b", True), ("gs://shared/a/q.pdf", False), ("gs://shared/q.pdf", False),
        ("gs://shared/b2/q.pdf", False), ("gs://shared/b/../a/q.pdf", False),
        ("gs://shared/b/%2e%2e/a/q.pdf", False), ("gs://team/%61/q.pdf", False),
        ("gs://team//a/q.pdf", False),
    ):  # fmt: skip
        for body in places(address):
            assert refused(world, "b", body) is not mine, (address, body)
    said = {
        "messages": [{"role": "user", "content": "gs://other/q.pdf"}],
        "metadata": {"from": "gs://other/q.pdf"},
    }
    assert not refused(world, "b", said)
    veo = {"instances": [{"prompt": "x"}], "parameters": {"storageUri": "gs://other/out"}}
    assert world.ask("b", "/v1beta/models/veo:predictLongRunning", veo)[0] == 404


@pytest.mark.slow
def test_official_clients_are_told_so_and_else_served() -> None:
    terms = 'version = 1\n[capture]\nlinks = "refuse"\n'
    with (
        scripted(answer) as up,
        gateway(up.url, terms, recorder=False) as gate,
        openai.OpenAI(api_key=gate.key, base_url=f"{gate.url}/v1", max_retries=0) as one,
        anthropic.Anthropic(api_key=gate.key, base_url=gate.url, max_retries=0) as two,
    ):
        said: Any = [{"role": "user", "content": "Why?"}]
        assert one.chat.completions.create(model="mira", messages=said).choices
        assert two.messages.create(model="mira", max_tokens=9, messages=said).id == "x"
        file: Any = [{"role": "user", "content": [{"type": "input_file", "file_url": AT}]}]
        with pytest.raises(openai.PermissionDeniedError, match="by a link"):
            one.responses.create(model="mira", input=file)
        picture: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": AT}}]}]
        with pytest.raises(openai.PermissionDeniedError, match="by a link"):
            one.chat.completions.create(model="mira", messages=picture)
        with pytest.raises(openai.PermissionDeniedError, match="web_search"):
            one.responses.create(model="mira", input="Why?", tools=[{"type": "web_search"}])
        document: Any = [
            {"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": AT}}]}
        ]
        with pytest.raises(anthropic.PermissionDeniedError, match="by a link"):
            two.messages.create(model="mira", max_tokens=9, messages=document)
