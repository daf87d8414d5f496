"""No header, query or field sends a request elsewhere, or hides facts of its reply."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway_world import Running, gateway
from scripted_upstream import Said, scripted
from scripted_upstream import ask as ask_any
from stillwatch.gateway.path.request import BadRequest, read
from upstream import Upstream

CHAT = {"model": "mira", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def gate(up: Upstream) -> Iterator[Running]:
    with gateway(up.url, recorder=False) as running:
        yield running


def ask(gate: Running, **headers: str) -> tuple[int, dict[str, Any]]:
    return ask_any(gate, "POST", "/v1/chat/completions", CHAT, **headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"x__portkey__custom__host": "http://evil.test"},  # it would get the upstream's key
        {"X_Portkey_Custom_Host": "http://evil.test"},
        {"helicone__target__url": "http://evil.test"},
        {"helicone__openai__api__base": "http://evil.test"},
        {"x__portkey__config": '{"provider": "openai", "Custom_Host": "http://evil.test"}'},
        {"x__portkey__config": '{"targets": [{"base_url": "http://evil.test"}]}'},
        {"x_http_method_override": "DELETE"},  # for a CGI server the same as with hyphens
        {"X_Original_URL": "/v1/organization"},
    ],
)
def test_a_header_that_leads_elsewhere_is_refused(
    gate: Running, up: Upstream, headers: dict[str, str]
) -> None:
    before = len(up.seen)
    status, body = ask(gate, **headers)
    assert (status, body["error"]["code"]) == (400, "bad_header")
    assert len(up.seen) == before


def test_what_would_cut_the_reply_short_is_not_passed_on(gate: Running, up: Upstream) -> None:
    """Parts of a batch's answers could begin in the middle of an unchecked line. Google's field mask omits
    the model and its token count."""
    status, _ = ask(
        gate, range="bytes=1-", if__range="x", x__goog__fieldmask="candidates", x__portkey__config="pc-1",
        x__original__uri="/v1/organization", X_Forwarded_Uri="/v1/organization", connection="content-type",
    )  # fmt: skip
    assert status == 200
    seen = up.wait_seen(1)[-1]
    assert (seen.header("x-original-uri"), seen.header("x_forwarded_uri")) == (None, None)
    assert seen.header("content-type") == "application/json", "by which the body was read"
    assert [seen.header(name) for name in ("range", "if-range", "x-goog-fieldmask")] == [None, None, None]
    assert seen.header("x-portkey-config") == "pc-1"


@pytest.mark.parametrize(
    "more",
    [
        {"api_base": "http://evil.test"},
        {"Base_URL": "http://evil.test"},
        {"litellm_params": {"api_base": "http://evil.test"}},
        {"fallbacks": [{"model": "mira", "api-base": "http://evil.test"}]},
        {"user_config": {"model_list": [{"litellm_params": {"api_base": "http://evil.test"}}]}},
        {"extra_body": {"custom_host": "http://evil.test"}},
        {"aws_bedrock_runtime_endpoint": "http://evil.test"},
        {"bootstrap_host": "evil.test", "bootstrap_room": 7},
        {"kv_transfer_params": {"do_remote_prefill": True, "remote_host": "evil.test", "remote_port": 7}},
    ],
)
def test_a_field_that_leads_elsewhere_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="elsewhere"):
        read(
            "POST", "/v1/chat/completions", "application/json", "", json.dumps(CHAT | more).encode(), 1 << 20
        )


def test_what_people_say_of_addresses_is_no_field(gate: Running) -> None:
    told = {
        "messages": [{"role": "user", "content": "api_base", "api_base": "x"}],
        "metadata": {"base_url": "x"},
    }
    body = json.dumps(CHAT | told).encode()
    assert read("POST", "/v1/chat/completions", "application/json", "", body, 1 << 20).models == ("mira",)


@pytest.mark.parametrize(
    "query", ["fields=candidates", "%24fields=candidates", "Fields=x", "$alt=proto", "alt=proto"]
)
def test_a_query_that_hides_who_answered_is_refused(query: str) -> None:
    for target in ("/v1beta/models/g:generateContent", "/v1/chat/completions"):
        with pytest.raises(BadRequest, match="whole"):
            read("POST", f"{target}?{query}", "application/json", "", b'{"contents": []}', 1 << 20)
    assert read("GET", f"/v1beta/files?{query}", "", "", b"", 1 << 20).does == "lists"
    assert read("POST", "/v1beta/models/g:streamGenerateContent?alt=sse", "", "", b"{}", 1 << 20).models == (
        "g",
    )


def test_a_header_that_only_cgi_takes_for_another_is_not_passed_on(gate: Running, up: Upstream) -> None:
    """With `Accept_Encoding` the reply came compressed, and was not counted."""
    names = ("accept_encoding", "x_api_key", "Api_Key", "content_type", "content_length", "transfer_encoding",
             "if_range", "X_Goog_FieldMask", "x_goog_api_key", "idempotency_key", "x_stillwatch_mark",
             "content_encoding", "proxy_connection", "x_forwarded_for")  # fmt: skip
    status, _ = ask(gate, **dict.fromkeys(names, "7"), x_own_header="kept")
    seen = up.wait_seen(1)[-1]
    assert status == 200
    assert [name for name in names if seen.header(name.lower()) is not None] == []
    assert seen.header("x_own_header") == "kept"


@pytest.mark.parametrize(
    "name", ["_method", "$httpMethod", "%24httpHeaders", "_METHOD", "X-HTTP-Method-Override"]
)
def test_no_field_makes_it_another_request(name: str) -> None:
    for target in ("/v1/chat/completions", "/v1/files"):
        with pytest.raises(BadRequest, match="another request"):
            read("POST", f"{target}?{name}=DELETE", "application/json", "", b"{}", 1 << 20)
    body = json.dumps({**CHAT, name.replace("%24", "$"): "DELETE"}).encode()
    with pytest.raises(BadRequest, match="another request"):
        read("POST", "/v1/chat/completions", "application/json", "", body, 1 << 20)
    form = f"purpose=x&{name}=DELETE".encode()
    with pytest.raises(BadRequest, match="another request"):
        read("POST", "/v1/files", "application/x-www-form-urlencoded", "", form, 1 << 20)


@pytest.mark.slow
def test_a_reply_that_is_compressed_unasked_passes_no_budget() -> None:
    squeezed = gzip.compress(json.dumps({"model": "mira", "usage": {"completion_tokens": 900}}).encode())
    limited = "version = 1\n[limits]\noutput_tokens_per_hour = 1000\n"
    with scripted(lambda _: Said(squeezed, headers={"content-encoding": "gzip"})) as up:
        with gateway(up.url, limited, recorder=False) as limits:
            status, said = ask_any(limits, "POST", "/v1/chat/completions", CHAT)
            assert (status, said["error"]["code"]) == (502, "upstream_encoding")
        with gateway(up.url, recorder=False) as free:
            assert ask_any(free, "POST", "/v1/chat/completions", CHAT) == (200, squeezed)
