"""The table of operations, and the gateway's use of it: a path in no line is not forwarded."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_world import Running, gateway
from stillwatch.exchanges.operations import (
    DOES,
    OPERATIONS,
    REFUSED,
    Operation,
    Operations,
    plain,
    read,
    wrong_path,
)
from stillwatch.gateway.path.forwarding import why_not_forwarded
from stillwatch.terms import Terms, TermsError
from stillwatch.terms.load import loads

# Servers that may be behind the gateway: operations that show or change what belongs to all their users
SERVERS_OWN = (
    # LiteLLM
    "/key/list", "/key/info?key=x", "/key/generate", "/user/list", "/user/daily/activity", "/team/info",
    "/spend/logs", "/global/spend/report", "/customer/list", "/budget/list", "/model/info",
    "/v1/model/info", "/v2/model/info",
    "/model_group/info", "/model/metrics", "/model/new", "/get/config/callbacks", "/config/yaml",
    "/credentials",
    "/cache/redis/info", "/cache/flushall", "/guardrails/list", "/health/services", "/health/history",
    "/audit", "/settings", "/callbacks/list", "/tag/list", "/sso/key/generate", "/debug/asyncio-tasks",
    "/v1/mcp/server", "/organization/list", "/provider/budgets", "/router/settings",
    # llama.cpp, vLLM, SGLang, Text Generation Inference, Triton
    "/slots", "/slots/0?action=save", "/lora-adapters", "/metrics", "/server_info", "/get_server_info",
    "/flush_cache", "/start_profile", "/stop_profile", "/reset_prefix_cache", "/sleep", "/wake_up",
    "/collective_rpc", "/update_weights_from_disk", "/health_generate", "/v1/loads",
    "/models/load", "/models/unload", "/cors-proxy?url=http%3A%2F%2F10.0.0.1%2F", "/get_weights_by_name",
    "/dump_expert_distribution_record", "/hicache/storage-backend",
    # LocalAI, LM Studio, Open WebUI, KoboldCpp, Portkey, Bifrost
    "/models/apply", "/models/delete/m", "/models/edit/m", "/models/import-uri", "/api/models/install/m",
    "/api/traces", "/api/traces/7", "/api/backend-logs/m", "/api/p2p/token", "/api/agent/jobs",
    "/api/cors-proxy?url=x", "/api/v1/models/load", "/api/v1/models/download", "/api/v1/models/create",
    "/api/v1/models/model/delete", "/api/v1/chats/all", "/api/extra/generate/check", "/log/stream",
    "/api/logs",
    # OpenRouter
    "/api/v1/generation/content?id=gen-1", "/api/v1/activity",
)  # fmt: skip
SAY = {"messages": [{"role": "user", "content": "Why?"}]}


def does(method: str, target: str) -> str | None:
    found = OPERATIONS.find(method, target)
    return found.does if found else None


@pytest.mark.parametrize(
    "target",
    [
        "/v1beta/models/gemini-2.5-pro:generateContent",
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4:rawPredict",
        "/v1/projects/p/locations/l/endpoints/7:streamGenerateContent?alt=sse",
        "/models/meta-llama/Llama-3",
        "/v1/models/meta/llama-3/predictions",
        "/v1/deployments/acme/mine/predictions",
        "/model/us.deepseek.r1-v1%3A0/converse-stream",
        "/v1/threads/t/runs",
        "/v1/threads/runs",
        "/v1/threads/t/runs/r/submit_tool_outputs",
        "/api/chat",
        "/api/generate",
        "/v2/chat",
        "/v1/audio/transcriptions",
        "/serving-endpoints/mine/invocations",
        "/openai/deployments/d/chat/completions?api-version=1",
        "/any/where/chat/completions",
        # the same, disguised as something else
        "/v1beta/models/x%3AgenerateContent",
        "/v1beta//models//x:GenerateContent/",
        "/v1beta/models/x:generateContent;a=b",
        "/v1beta\\models\\x:generateContent",
        # a model's name may end like a harmless path
        "/models/acme/files",
        "/models/acme/embeddings",
        "/models/messages/count_tokens",
        "/models/acme/models",
        "/v1/models/acme/rerank",
        "/models/threads/messages",
    ],
)
def test_what_generates_is_known_however_it_is_written(target: str) -> None:
    assert does("POST", target) == "generates"


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/v1/threads/t/messages?limit=2", "lists"),
        ("GET", "/v1/chat/completions", "lists"),
        ("GET", "/v1/models/meta-llama/Llama-3", "reads"),
        ("HEAD", "/v1/files", "lists"),
        ("POST", "/v1/threads/t/messages", "changes"),
        ("POST", "/v1/uploads/u/complete", "changes"),
        ("POST", "/v1/messages/count_tokens", "counts"),
        ("POST", "/v1beta/models/x:countTokens", "counts"),
        ("POST", "/openai/deployments/d/embeddings", "embeds"),
        ("POST", "/v1/messages/batches", "begins"),
        ("GET", "/v1/messages/batches", "lists"),
        ("GET", "/v1/messages/batches/b/results", "fetches"),
        ("GET", "/v1/responses/r", "fetches"),
        ("POST", "/v1/realtime/calls", "opens"),
        ("POST", "/v1/realtime/calls/c/accept", "opens"),
        ("GET", "/v1/realtime?model=gpt-realtime", "opens"),
        ("POST", "/v1/evals/e/runs", "opens"),
        ("POST", "/v1/realtime/Sessions/", "mints"),
        ("POST", "/v1/chatkit/%73essions", "mints"),
        ("POST", "/v1alpha/auth_tokens", "mints"),
        ("GET", "/v1/organization/admin_api_keys", "administers"),
        ("DELETE", "/v1/organizations/api_keys/k", "administers"),
        ("POST", "/api/copy", "administers"),
        ("DELETE", "/api/delete", "administers"),
        ("GET", "/api/v1/key", "administers"),
        ("GET", "/v1/balance", "administers"),  # of the payer, for all accounts together
        ("GET", "/v1/invoices/7", "administers"),
        ("GET", "/v1/rate_limits", "administers"),
        ("GET", "/v1/organization./users", "administers"),
        ("GET", "/v1/organization%20/users", "administers"),
        ("GET", "/v1/projects/p/roles", "administers"),
        ("GET", "/v1/accounts/a/users/u/apiKeys", "administers"),
        ("POST", "/v1/tunnels/t/reveal_token", "administers"),
        ("GET", "/v1/live/sessions/s/content", "opens"),
        ("POST", "/v1/decisions", "embeds"),
        ("POST", "/v1/skills/s", "changes"),
        ("GET", "/v1/models/gpt-4.1", "reads"),
        ("POST", "/v1/chat/completions/batch", "generates"),
        ("POST", "/v1/chat/completions/render", "counts"),
        ("POST", "/v1/conversations/c/restart", "generates"),
        ("POST", "/v1beta1/projects/p/locations/l/cachedContents", "creates"),
        ("POST", "/v1/nothing/known", None),
        ("PUT", "/v1/chat/completions", None),
        ("GET", "/", None),
        ("POST", "/x/v1/files", None),
    ],
)  # fmt: skip
def test_what_a_request_does(method: str, target: str, expected: str | None) -> None:
    assert does(method, target) == expected


@pytest.mark.parametrize(
    ("target", "passes"),
    [
        ("/v1/chat/completions/chatcmpl-7", True),
        ("/v1/chat/completions/run", False),  # no id: its effect is unknown
        ("/v1/threads/search", False),
        ("/v1/conversations/items", False),
        ("/v1/responses/batch/cancel", False),
        ("/v1/threads/thread_1/messages/msg_1", True),
        ("/v1/fileSearchStores/s1:importFile", True),
        ("/v1/chat/completions", True),
    ],
)
def test_a_word_where_an_id_would_stand_is_an_operation_that_nobody_knows(target: str, passes: bool) -> None:
    match = OPERATIONS.find("POST", target)
    assert (why_not_forwarded(Terms(1), match, "POST", target) is None) == passes


def test_every_line_s_objects_are_those_that_a_path_is_read_for() -> None:
    for line in OPERATIONS.lines:
        path = line.path.removeprefix("**")
        target = "/v1" + re.sub(r"\{([a-z_]+)(?:\.\.\.)?\}", r"\g<1>7", path)
        match = OPERATIONS.find(line.method, target)
        if match is not None and match.line is line and line.does not in REFUSED and line.method != "GET":
            assert why_not_forwarded(Terms(1), match, line.method, target) is None, line


def test_ids_stand_in_the_order_of_the_path() -> None:
    found = OPERATIONS.find("GET", "/openai/v1/threads/T%201/runs/R?x=/y")
    assert found is not None
    assert found.ids == (("thread", "T 1"), ("run", "R"))
    assert found.object == ("run", "R")
    model = OPERATIONS.find("POST", "/model/arn%3Aaws%3Abedrock%3A%3A1%3Ax%2Fus.deepseek.r1/converse")
    assert model is not None
    assert model.object == ("model", "arn:aws:bedrock::1:x/us.deepseek.r1")


@pytest.mark.slow
@given(
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.lists(st.text("aZ/%2:;.\\v1{}*\n\0é", max_size=8), max_size=80).map("/".join),
)
def test_any_target_is_looked_up_or_is_unknown(method: str, target: str) -> None:
    found = OPERATIONS.find(method, target)
    assert found is None or found.does in DOES
    assert plain(plain(target)) or True


def test_a_line_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        read("a POST /x generates\nb POST /y dances\n")
    with pytest.raises(ValueError, match=r"line 1: /x\?y"):
        read("a POST /x?y generates\n")
    for path in ("x", "/", "/a//b", "/a%20", "/a/", "/{a", "/{A}", "/a*", "**"):
        assert wrong_path(path), path
    for path in ("/a", "/a/{b}", "/{b...}:c", "**/a"):
        assert wrong_path(path) is None, path


def test_the_owners_line_comes_before_the_tables() -> None:
    own = Operation("owner", "POST", "/v1/realtime/calls", "opens", by_owner=True)
    table = Operations((own, *OPERATIONS.lines), OPERATIONS.prefixes)
    found = table.find("POST", "/v1/realtime/calls")
    assert found is not None
    assert found.line.by_owner
    again = table.find("POST", "/openai/v1/realtime/calls")
    assert again is not None
    assert not again.line.by_owner  # the owner's path is whole


def test_terms_say_what_is_wrong_with_a_line() -> None:
    good = 'version = 1\n[[operation]]\npath = "/v1/x/{a}"\ndoes = "generates"\n'
    (line,) = loads(good).operations
    assert (line.method, line.path, line.does, line.by_owner) == ("POST", "/v1/x/{a}", "generates", True)
    for bad in ('path = "v1"\ndoes = "reads"', 'path = "/v1"', 'path = "/v1"\ndoes = "dances"'):
        with pytest.raises(TermsError, match=r"terms.toml:[2-4]: operation"):
            loads("version = 1\n[[operation]]\n" + bad + "\n")


# --- at the gateway --------------------------------------------------------------------------------------


class Upstream(ThreadingHTTPServer):
    """Answers everything, and records the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[str] = []
        self.answer: tuple[str, bytes] = ("application/json", b"{}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append(f"{self.command} {self.path}")
        kind, body = self.server.answer
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_PUT = do_GET

    def log_message(self, *given: object) -> None:
        pass


@contextmanager
def watched(terms: str) -> Iterator[tuple[Upstream, Running]]:
    up = Upstream()
    threading.Thread(target=up.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with gateway(f"http://127.0.0.1:{up.server_port}", "version = 1\n" + terms, recorder=False) as g:
            yield up, g
    finally:
        up.shutdown()
        up.server_close()


def ask(g: Running, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = httpx.request(method, g.url + path, json=body, headers=g.auth | named)
    return reply.status_code, reply.json()


@pytest.mark.slow
def test_what_is_in_no_line_is_refused_and_the_owner_can_allow_it() -> None:
    own = '[[operation]]\nmethod = "POST"\npath = "/v1/own/{thing}"\ndoes = "generates"\n'
    own += '[[operation]]\nmethod = "GET"\npath = "/v1/realtime"\ndoes = "opens"\n'
    with watched(own) as (up, g):
        status, said = ask(g, "POST", "/v1/swarm/tasks", SAY)
        assert (status, said["error"]["code"]) == (403, "path_not_allowed")
        assert '[[operation]] with method = "POST", path = "/v1/swarm/tasks"' in said["error"]["message"]
        for method, path in (
            ("POST", "/v1/realtime/calls"), ("POST", "/v1/realtime/client_secrets"),
            ("DELETE", "/v1/organization/users/u"), ("POST", "/api/copy"), ("PUT", "/v1/chat/completions"),
        ):  # fmt: skip
            assert ask(g, method, path, None if method == "GET" else SAY)[0] == 403, path
        assert up.seen == []
        assert ask(g, "POST", "/v1/own/x", SAY)[0] == 200
        assert ask(g, "GET", "/v1/realtime")[0] == 200
        for name in ("x_http_method_override", "x_original_url", "x_rewrite_url"):
            assert ask(g, "GET", "/v1/models", None, **{name: "POST"})[0] == 400
        assert len(up.seen) == 2


@pytest.mark.slow
def test_a_spent_budget_and_a_ban_hold_up_no_listing() -> None:
    terms = '[limits]\noutput_tokens_per_hour = 100\n[[ban]]\nfamily = "deepseek"\n'
    with watched(terms) as (up, g):
        usage = {"usage": {"prompt_tokens": 1, "completion_tokens": 500}}
        up.answer = ("application/json", json.dumps({"model": "gpt-4o"} | usage).encode())
        assert ask(g, "POST", "/v1/chat/completions", SAY | {"model": "gpt-4o"})[0] == 200
        assert ask(g, "POST", "/v1/chat/completions", SAY | {"model": "gpt-4o"})[0] == 429
        up.answer = ("application/json", b"{}")
        g.own("t", "b", "f", "a")
        for method, path in (
            ("GET", "/v1/threads/t/messages"), ("GET", "/v1/threads/t/runs"), ("GET", "/v1/threads/t"),
            ("GET", "/v1/models"), ("GET", "/v1/files"), ("GET", "/v1/chat/completions"),
            ("GET", "/v1/batches/b"), ("DELETE", "/v1/files/f"), ("POST", "/v1/threads/t/messages"),
            ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/vector_stores"), ("POST", "/v1/threads"),
        ):  # fmt: skip
            assert ask(g, method, path, None if method in ("GET", "DELETE") else SAY)[0] == 200, path
        status, said = ask(g, "POST", "/v1/threads/t/runs", {"assistant_id": "a"})
        assert (status, said["error"]["code"]) == (403, "model_not_allowed")  # the model is unknown


ANSWERS = {
    "Gemini": (
        "/v1beta/models/gemini-2.5-pro:generateContent",
        {"usageMetadata": {"candidatesTokenCount": 60, "thoughtsTokenCount": 40}},
        {"modelVersion": "deepseek-r1"},
    ),
    "Vertex": (
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4:rawPredict",
        {"usage": {"input_tokens": 3, "output_tokens": 100}},
        {"model": "deepseek-r1"},
    ),
    "Bedrock": (
        "/model/anthropic.claude-sonnet-4/converse", {"usage": {"inputTokens": 3, "outputTokens": 100}}, {}
    ),
    "Cohere": ("/v2/chat", {"usage": {"tokens": {"input_tokens": 3, "output_tokens": 100}}}, {}),
    "Ollama": ("/api/chat", {"eval_count": 100}, {"model": "deepseek-r1"}),
    "Text Generation Inference": ("/generate", {"details": {"generated_tokens": 100}}, {}),
    "llama.cpp": ("/completion", {"tokens_predicted": 100}, {"model": "deepseek-r1"}),
    "Replicate": ("/v1/models/meta/llama-3/predictions", {"metrics": {"output_token_count": 100}}, {}),
    "Hugging Face, which says no tokens": ("/models/meta-llama/Llama-3", {"generated_text": "x" * 400}, {}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("api", ANSWERS)
def test_every_api_is_counted_and_its_reply_looked_into(api: str) -> None:
    path, usage, banned = ANSWERS[api]
    body = SAY | {"model": "gpt-4o", "prompt": "Why?", "contents": [], "inputs": "Why?"}
    with watched('[limits]\noutput_tokens_per_hour = 100\n[[ban]]\nfamily = "deepseek"\n') as (up, g):
        if banned:
            up.answer = ("application/json", json.dumps(banned).encode())
            assert ask(g, "POST", path, body)[0] == 403
        up.answer = ("application/json", json.dumps(usage).encode())
        codes = [ask(g, "POST", path, body)[0] for _ in range(3)]
        assert codes == [200, 429, 429]


@pytest.mark.slow
def test_lines_of_json_are_counted_cut_and_looked_into() -> None:
    lines = [{"model": "llama3", "response": "word "}] * 40
    last = {"model": "llama3", "done": True, "prompt_eval_count": 3, "eval_count": 90}
    body = {"model": "llama3", "prompt": "Why?"}
    with watched('[limits]\noutput_tokens_per_hour = 100\n[[ban]]\nfamily = "deepseek"\n') as (up, g):

        def answer(*said: Any) -> None:
            up.answer = ("application/x-ndjson", b"".join(json.dumps(one).encode() + b"\n" for one in said))

        answer(*lines[:2], {"model": "deepseek-r1", "response": "x"})
        assert httpx.post(g.url + "/api/generate", json=body, headers=g.auth).status_code == 403
        answer(*lines, last)
        whole = httpx.post(g.url + "/api/generate", json=body, headers=g.auth)
        assert whole.content == up.answer[1], whole.content
        with pytest.raises(httpx.HTTPError):  # ten tokens are left: the rest is cut
            httpx.post(g.url + "/api/generate", json=body, headers=g.auth)
        assert httpx.post(g.url + "/api/generate", json=body, headers=g.auth).status_code == 429


@pytest.mark.parametrize("target", SERVERS_OWN)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_belongs_to_all_users_of_a_server_is_not_reached(method: str, target: str) -> None:
    assert does(method, target) == "administers"
    assert does(method, "/" + target.swapcase()) == "administers"


def test_what_only_looks_like_a_server_s_own_is_reached() -> None:
    """A model, a file or a tool may have the name of another server's administration path."""
    for method, target, found in (
        ("POST", "/model/cache/converse", "generates"),
        ("POST", "/model/info/invoke", "generates"),
        ("GET", "/v1/models/slots", "reads"),
        ("GET", "/v1/files/settings", "reads"),
        ("POST", "/models/acme/metrics", "generates"),
        ("POST", "/models/acme/load", "generates"),
        ("POST", "/agent/v1/chat/completions", "generates"),
        ("GET", "/v1/files/logs", "reads"),
        ("GET", "/health", "reads"),
        ("GET", "/health/liveliness", None),  # unknown, and forwarded
    ):
        assert does(method, target) == found, target
