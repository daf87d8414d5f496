"""The models that a request names: no place, spelling or form can hide one from the gateway."""

import json
import tracemalloc
from typing import Any

import httpx2 as httpx
import pytest

from stillwatch.gateway.path import naming, request
from stillwatch.gateway.path.known_names import LONGEST, MOST
from stillwatch.gateway.path.request import BadRequest, Facts, operation_of

LIMIT = 32 << 20


def read(body: bytes, kind: str = "application/json", target: str = "/v1/chat/completions") -> Facts:
    return request.read("POST", target, kind, "", body, LIMIT)


def refused(body: bytes, kind: str, target: str) -> BadRequest:
    with pytest.raises(BadRequest) as why:
        read(body, kind, target)
    return why.value


AUDIO = "/v1/audio/transcriptions"


@pytest.mark.parametrize(
    ("head", "value"),
    [
        ('Content-Disposition: form-data; NAME="model"', "w-1"),
        ('Content-Disposition: form-data; name="Model"', "w-1"),
        ('Content-Disposition: form-data; name="models[]"', "w-1"),
        ('Content-Disposition: form-data; name="model"', "\r\nw-1"),
        ('Content-Disposition: form-data; name="model"', " w-1 "),
    ],
)
def test_a_model_in_a_form_is_seen_however_it_is_spelt(head: str, value: str) -> None:
    body = f"--B\r\n{head}\r\n\r\n{value}\r\n--B--\r\n".encode()
    assert read(body, "multipart/form-data; boundary=b", target=AUDIO).models == ("w-1",)
    assert read(b"x=1&mod%65l=w-1", "application/x-www-form-urlencoded", target=AUDIO).models == ("w-1",)


CODED = b"Content-Transfer-Encoding: base64"
PART = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nw-1\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PART.replace(b'name="model"', b"name*=utf-8''model"), "multipart/form-data; boundary=b"),
        (PART.replace(b'name="model"', b'name = "model"'), "multipart/form-data; boundary=b"),
        (PART.replace(b'name="model"', b'name="mode\\l"'), "multipart/form-data; boundary=b"),
        (PART.replace(b'name="model"', b'name="x"; name="model"'), "multipart/form-data; boundary=b"),
        (PART.replace(b"; name", b";\r\n name"), "multipart/form-data; boundary=b"),
        (PART.replace(b"\r\n", b"\n"), "multipart/form-data; boundary=b"),
        (PART.replace(b"\r\n\r\n", b"\r\n" + CODED + b"\r\n\r\n"), "multipart/form-data; boundary=b"),
        (b"preamble\r\n" + PART, "multipart/form-data; boundary=b"),
        (PART + PART, "multipart/form-data; boundary=b"),
        (PART, "multipart/form-data; boundary=b; boundary=c"),
        (PART, "multipart/form-data; boundary=c"),
        (PART, "multipart/form-data"),
    ],
)  # fmt: skip
def test_a_form_that_two_readers_could_read_differently_is_refused(body: bytes, kind: str) -> None:
    assert refused(body, kind, target=AUDIO).code == "bad_form"


def test_what_official_clients_send_as_a_form_is_read() -> None:
    files = [
        ("file", ("ä b.jsonl", b'{"a": 1}\n', "application/jsonl")),
        ("file", ('x"y', b"\0\r\n--", None)),
    ]
    sent = httpx.Request("POST", "http://x", data={"purpose": "batch", "model": "w-1"}, files=files)  # type: ignore[arg-type]
    found = read(sent.read(), sent.headers["content-type"].lower(), target="/v1/files")
    assert found.models == ("w-1",)
    for head in (
        "Content-Disposition: form-data; name=file; filename=x.wav; filename*=utf-8''x.wav",  # .NET
        'Content-Disposition: form-data; name="file"; filename="a\\"b.wav"',  # Go
        'Content-Disposition: form-data; name="file"; filename="a%22b.wav"\r\nContent-Length: 1',  # OkHttp
    ):
        body = f"--b\r\n{head}\r\n\r\nx\r\n".encode() + PART
        assert read(body, 'multipart/form-data; charset=utf-8; boundary="b"', AUDIO).models == ("w-1",)


CONFIG = {"model_list": [{"litellm_params": {"model": "w-1"}}]}


@pytest.mark.parametrize(
    "more",
    [
        {"extra_body": {"model": "w-1"}},
        {"Fallbacks": ["w-1"]},
        {"fallbacks": [{"ok": ["w-1"]}]},
        {"models": ["w-1"]},
        {"fallbacks": "w-1"},
        {"user_config": CONFIG},
        {"router_settings_override": {"fallbacks": [{"ok": ["w-1"]}]}},
        {"plugins": [{"id": "auto-router", "allowed_models": ["w-1"]}]},
        {"tools": [{"type": "advisor_20260301", "model": "w-1"}]},
        {"backupModels": ["w-1"]},
        {"model_fallbacks": ["w-1"]},
        {"fallback": {"model": "w-1"}},
        {"fallback": "w-1"},
        {"engine": "w-1"},
        {"model_slug": "w-1"},
        {"router_settings": {"model_group_alias": {"ok": "w-1"}}},
        {"extra_body": '{"model": "w-1"}'},
        {"litellm_params": ' {"model": "w-1"}'},
    ],
)
def test_a_model_is_seen_wherever_routers_take_one_from(more: dict[str, Any]) -> None:
    assert read(json.dumps({"model": "ok", "messages": []} | more).encode()).models == ("ok", "w-1")


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/messages/batches", {"requests": [{"params": {"model": "w-1", "messages": []}}]}),
        ("/v1/realtime/client_secrets", {"session": {"model": "w-1"}}),
        ("/v1/evals", {"testing_criteria": [{"type": "label_model", "model": "w-1"}]}),
        ("/v1/chat/completions?x=1&Mod%65l=w-1", {}),
        ("/v1/chat/completions?engine=w-1", {}),
        ("/serving-endpoints/w-1/invocations", {"model": "ok"}),
        ("/endpoints/w-1/invocations", {"inputs": "x"}),
    ],
)
def test_a_model_is_seen_in_every_api(target: str, body: dict[str, Any]) -> None:
    assert "w-1" in read(json.dumps(body).encode(), target=target).models


def test_what_people_say_names_no_model() -> None:
    body = {
        "model": "ok",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "model": "w-1"}]}],
        "metadata": {"model": "w-1"},
        "tools": [{"type": "function", "function": {"parameters": {"default": {"model": "w-1"}}}}],
        "response_format": {"json_schema": {"schema": {"default": {"model": "w-1"}}}},
    }
    assert read(json.dumps(body).encode()).models == ("ok",)


@pytest.mark.parametrize("key", ["inputText", "texts", "document", "preamble", "template", "user", "prompt"])
def test_json_that_somebody_says_names_no_model(key: str) -> None:
    body = {"model": "ok", key: '{"model": "w-1"}'}
    assert read(json.dumps(body).encode()).models == ("ok",)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (b"azureml-model-deployment", ("w-1",)),
        (b"X-Model", ("w-1",)),
        (b"x-model-name", ("w-1",)),
        (b"x-fallback-models", ("w-1",)),
        (b"x-amzn-sagemaker-inference-component", ("w-1",)),
        (b"x-remodel", ()),
        (b"x-model-provider", ()),
    ],
)
def test_a_model_in_a_header_is_seen(header: bytes, names: tuple[str, ...]) -> None:
    assert naming.in_headers([(b"accept", b"*/*"), (header, b"w-1")]) == names
    config = b'{"targets":[{"override_params":{"model":"w-1"}}]}'
    assert naming.in_headers([(b"x-portkey-config", config)]) == ("w-1",)


@pytest.mark.parametrize("end", [";a=b", "%3Ba", "%20", "%00", "/%09"])
def test_what_some_servers_leave_out_of_a_path_hides_no_operation(end: str) -> None:
    assert operation_of("/v1/chat/completions" + end) == "chat"
    assert operation_of("/v1\\chat\\completions") == "chat"
    assert "deepseek-chat" in read(b"", target="/v1/models/deepseek-chat;x=y").models


def test_whose_model_a_path_names_is_part_of_its_name() -> None:
    target = "/v1/projects/p/locations/l/publishers/deepseek-ai/models/r1-0528-maas:rawPredict"
    assert read(b"{}", target=target).models == ("deepseek-ai/r1-0528-maas",)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_wide_letters_is_refused_whatever_it_calls_itself(coding: str) -> None:
    assert refused('{"model":"w-1"}'.encode(coding), "", target="/v1/other").code == "bad_json"


@pytest.mark.parametrize("key", ["model", "mo\\u0064el", "\\u006dode\\u006c", "\\u006Dodel", "Model"])
def test_models_of_lines_are_seen_however_the_key_is_spelt(key: str) -> None:
    lines = b'{"a":1}\n{"' + key.encode() + b'" :\n"w-1"}'
    assert read(lines, "application/jsonl", target="/v1/files").models == ("w-1",)


def test_a_form_that_begins_like_json_is_read_as_a_form() -> None:
    body = b"{x=1&model=w-1"
    assert read(body, "application/x-www-form-urlencoded", "/v1/audio/speech").models == ("w-1",)
    assert refused(b"a=" + b"%41" * (1 << 20), "application/x-www-form-urlencoded", "/x").code == "bad_form"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"models": [f"m-{k}" for k in range(201)]}, "too_many_models"),
        ({"x": [{"model": f"m-{k}"} for k in range(201)]}, "too_many_models"),
        ({"x": [[]] * 1_100_000}, "bad_json"),
        ({"models": ["m"] * 1_100_000}, "bad_json"),
    ],
)
def test_no_request_keeps_the_others_waiting_with_names(body: dict[str, Any], code: str) -> None:
    raw = json.dumps({"model": "ok", **body}).encode()
    assert refused(raw, "application/json", "/v1/chat/completions").code == code


@pytest.mark.slow
def test_long_targets_are_not_remembered() -> None:
    """A thousand of 60 kB each would take 60 MB of a worker, from any client that reaches the port."""
    for k in range(5):
        assert operation_of(f"/v1/{k}{'x' * 60_000}/chat/completions") == "other"
        read(b"", target=f"/v1/{k}{'x' * 60_000}/chat/completions")
    tracemalloc.start()
    for k in range(200):
        operation_of(f"/v1/{k}{'x' * 60_000}/chat/completions")
        read(b"", target=f"/v1/{k}{'x' * 60_000}/chat/completions")
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 1 << 20


ODD_KEYS = ("judge_model\n", "judge-model", "y" * 200 + "_model", "fallbac\u212a", "Model_Name")


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_means_the_same_when_no_more_of_them_are_remembered(key: str) -> None:
    body = json.dumps({"model": "m", "router": {key: "banned"}}).encode()
    assert read(body).models == ("m", "banned")
    read(json.dumps({"x": {f"key-{k}": 1 for k in range(MOST + 1)}}).encode())
    assert read(body.replace(b"judge", b"other")).models == ("m", "banned")
    assert len(naming.KEYS) <= MOST
    assert max(map(len, naming.KEYS)) <= LONGEST
    naming.KEYS.clear()
