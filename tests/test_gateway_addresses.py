"""Addresses in bodies are rewritten: clients stay at the gateway, and no answer bypasses it."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from gateway_world import UPSTREAM_KEY, Running, gateway
from scripted_upstream import Asked, Said, Scripted, ask, scripted
from stillwatch.exchanges.operations import OPERATIONS
from stillwatch.gateway.path.body_addresses import FIELDS, turn_body
from stillwatch.gateway.path.server import Request
from stillwatch.gateway.path.upstream import Target

STREAM = "https://stream.replicate.com/v1/files/s7"
VIDEO = "https://generativelanguage.googleapis.com/v1beta/files/v7:download?alt=media&key=AIza"
RESULT = {"type": "message", "role": "assistant", "model": "mira", "content": [], "stop_reason": "end_turn",
          "id": "msg_1", "usage": {"input_tokens": 1, "output_tokens": 2}}  # fmt: skip


class Addresses:
    """Anthropic's batches and Replicate's predictions, each with the upstream's own addresses."""

    url = ""

    def batch(self, name: str) -> dict[str, Any]:
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        at = f"{self.url}/v1/messages/batches/{name}/results"
        return {"id": name, "type": "message_batch", "processing_status": "ended", "request_counts": counts,
                "results_url": at, "created_at": "2026-11-30T00:00:00Z",
                "expires_at": "2026-12-01T00:00:00Z"}  # fmt: skip

    def prediction(self, name: str) -> dict[str, Any]:
        at = f"{self.url}/v1/predictions/{name}"
        web = "https://replicate.com/p/1"
        return {"id": name, "status": "succeeded", "output": ["Rayleigh"], "input": {"prompt": at},
                "metrics": {"output_token_count": 2},
                "urls": {"get": at, "cancel": f"{at}/cancel", "stream": STREAM, "web": web}}  # fmt: skip

    def __call__(self, asked: Asked) -> Said | Any:
        path, query = asked.path.partition("?")[0], asked.path.partition("?")[2]
        if path.endswith("/results"):
            line = {"custom_id": "a", "result": {"type": "succeeded", "message": RESULT}}
            return Said(json.dumps(line).encode() + b"\n", headers={"content-type": "application/x-jsonl"})
        if path == "/v1/messages/batches" and asked.method == "GET":
            return {"data": [self.batch("msgbatch_1")], "has_more": False, "first_id": None, "last_id": None}
        if path.startswith("/v1/messages/batches"):
            return self.batch("msgbatch_1")
        if path == "/v1/predictions" and asked.method == "GET":
            more = None if query else f"{self.url}/v1/predictions?cursor=c2"
            return {"previous": None, "next": more, "results": [self.prediction("p1")]}
        return self.prediction("p1")


@pytest.fixture(scope="module")
def up() -> Iterator[Scripted]:
    upstream = Addresses()
    with scripted(upstream) as running:
        upstream.url = running.url
        yield running


@pytest.fixture(scope="module")
def gate(up: Scripted) -> Iterator[Running]:
    with gateway(up.url, recorder=False) as running:
        yield running


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_anthropic_s_client_fetches_a_batch_s_results_through_the_gateway(
    up: Scripted, gate: Running
) -> None:
    """The client sends its key to the address in the reply. At the upstream itself the key was refused."""
    with anthropic.Anthropic(api_key=gate.key, base_url=gate.url, max_retries=0) as client:
        asks: Any = {"model": "mira", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}
        batch = client.messages.batches.create(requests=[{"custom_id": "a", "params": asks}])
        assert batch.results_url == f"{gate.url}/v1/messages/batches/msgbatch_1/results"
        assert [line.custom_id for line in client.messages.batches.results(batch.id)] == ["a"]
        assert [one.results_url for one in client.messages.batches.list()] == [batch.results_url]
    keys = {asked.headers.get("x-api-key") or asked.headers["authorization"] for asked in up.seen}
    assert keys <= {UPSTREAM_KEY, f"Bearer {UPSTREAM_KEY}"}


@pytest.mark.slow
def test_a_prediction_leads_back_and_its_stream_is_left_out(gate: Running) -> None:
    for method, target in (("POST", "/v1/models/acme/x/predictions"), ("GET", "/v1/predictions/p1")):
        status, said = ask(gate, method, target, {"input": {}} if method == "POST" else None)
        at = f"{gate.url}/v1/predictions/p1"
        assert status == 200
        assert said["urls"] == {"get": at, "cancel": f"{at}/cancel", "web": "https://replicate.com/p/1"}
        assert said["input"]["prompt"] != at, "what the client said stays as it was"
    page = ask(gate, "GET", "/v1/predictions")[1]
    assert page["next"] == f"{gate.url}/v1/predictions?cursor=c2"
    assert "stream" not in page["results"][0]["urls"]


@pytest.mark.slow
@pytest.mark.parametrize("field", ["webhook", "Webhook", "webhook_completed", "callback-url"])
def test_no_answer_is_sent_elsewhere_unless_the_owner_says_so(
    up: Scripted, gate: Running, field: str
) -> None:
    before = len(up.seen)
    body = {"version": "v", "input": {"prompt": "Why?"}, field: "https://evil.test/hook"}
    status, said = ask(gate, "POST", "/v1/predictions", body)
    assert (status, said["error"]["code"]) == (403, "answer_elsewhere")
    assert '[[operation]] with method = "POST", path = "/v1/predictions"' in said["error"]["message"]
    assert ask(gate, "POST", "/v1/predictions?fal_webhook=https://evil.test", {"input": {}})[0] == 403
    assert len(up.seen) == before
    for harmless in (
        {"webhook": ""},
        {"input": {"webhook": "https://a.test"}},
        {"webhook_events_filter": []},
    ):
        assert ask(gate, "POST", "/v1/predictions", {"input": {}} | harmless)[0] == 200


@pytest.mark.slow
def test_the_owner_s_own_line_passes_addresses_as_they_are() -> None:
    own = '[[operation]]\nmethod = "POST"\npath = "/v1/predictions"\ndoes = "generates"\n'
    upstream = Addresses()
    with scripted(upstream) as up, gateway(up.url, own, recorder=False) as gate:
        upstream.url = up.url
        said = ask(gate, "POST", "/v1/predictions", {"input": {}, "webhook": "https://own.test/"})
        assert said[0] == 200
        assert said[1]["urls"] == upstream.prediction("p1")["urls"]


def of_video(video: dict[str, str]) -> dict[str, Any]:
    return {"response": {"generateVideoResponse": {"generatedSamples": [{"video": video}]}}}


HERE = Request("GET", "/x", [(b"Host", b"gw:8080"), (b"x-forwarded-proto", b"https")], [], b"", True, True)
API = Target("https://api.example.com/v1")


@pytest.mark.parametrize(
    ("kind", "reply", "expected"),
    [
        ("batches", {"results_url": "https://api.example.com/v1/messages/batches/b/results"},
         {"results_url": "https://gw:8080/v1/messages/batches/b/results"}),
        ("batches", {"results_url": "https://api.anthropic.com/v1/messages/batches/b/results"},
         {"results_url": "https://gw:8080/v1/messages/batches/b/results"}),  # an upstream's upstream
        ("batches", {"id": "b", "output_file_url": "https://spaces.test/b?X-Amz-Signature=1"}, {"id": "b"}),
        ("batches", {"results_url": None, "data": [{"results_url": 7}, 3]}, None),
        ("batches", {"results_url": "/v1/messages/batches/b/results"}, None),
        ("predictions", {"urls": {"stream": " HTTPS://stream.replicate.com/v1/files/s"}}, {"urls": {}}),
        ("predictions", {"urls": {"stream": "//stream.replicate.com/s"}}, {"urls": {}}),
        ("predictions", {"urls": []}, None),
        ("operations", of_video({"uri": VIDEO}), of_video({})),
    ],
)  # fmt: skip
def test_addresses_in_a_body(kind: str, reply: Any, expected: Any) -> None:
    body = json.dumps(reply).encode()
    turned = turn_body(body, kind, HERE, API)
    assert turned == body if expected is None else json.loads(turned) == expected


def test_a_video_leads_to_its_file_without_the_upstream_s_key() -> None:
    google = Target("https://generativelanguage.googleapis.com")
    turned = turn_body(json.dumps(of_video({"uri": VIDEO})).encode(), "operations", HERE, google)
    uri = "https://gw:8080/v1beta/files/v7:download?alt=media"
    assert json.loads(turned) == of_video({"uri": uri})


@pytest.mark.parametrize("body", [b"", b"x", b"[1]", b'{"results_url": "https://\xff"}', b"[" * 5000])
def test_what_is_no_json_object_passes(body: bytes) -> None:
    assert [turn_body(body, kind, HERE, API) for kind in FIELDS] == [body] * len(FIELDS)


@pytest.mark.parametrize(
    "target",
    ["/v1/files/f/url", "/v1/libraries/l/documents/d/signed-url", "/v1/files/f/url?expiry=1",
     "/v1/libraries/l/documents/d/extracted-text-signed-url",
     "/v1/accounts/a/datasets/d:getDownloadEndpoint"],
)  # fmt: skip
def test_signed_addresses_are_keys(target: str) -> None:
    found = OPERATIONS.find("GET", target)
    assert found is not None
    assert found.does == "mints"
