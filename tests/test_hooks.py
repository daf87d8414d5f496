"""The hooks process: authentication, decisions in each dialect, reported exchanges, and crashes."""

import gzip
import itertools
import json
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gateway_world import until
from hooks_world import BAN, Hooked, hooks
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.latest import newest_gap
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.terms import Step

CANARY = "zebracanary and its prompt must never be found on any disk anywhere"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def h() -> Iterator[Hooked]:
    with hooks(BAN, recorder=False) as running:
        yield running


@pytest.fixture(scope="module")
def client(h: Hooked) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=h.url, headers=h.token, timeout=20) as found:
        yield found


def record(seed: int, **more: Any) -> Row:
    """Return a LiteLLM log record."""
    now = time.time()
    return {
        "id": f"chatcmpl-{seed}",
        "call_type": "acompletion",
        "status": "success",
        "startTime": now,
        "endTime": now + 0.25,
        "model": "openai/gpt-4o",
        "model_group": "gpt-4o",
        "metadata": {"user_api_key_hash": "hash-1", "user_api_key_team_id": "team-1"},
        "messages": [{"role": "user", "content": CANARY}],
        "response": {"model": "gpt-4o-2024-08-06", "choices": [{"finish_reason": "stop"}]},
        "model_parameters": {"seed": seed, "temperature": 0.5},
        "prompt_tokens": 9,
        "completion_tokens": 12,
    } | more


def rows_of(h: Hooked, seed: int, least: int = 1) -> list[Row]:
    def found() -> list[Row]:
        return [row for row in h.rows() if row["seed"] == seed]

    return until(lambda: len(found()) >= least and found(), what=f"{least} rows of seed {seed}")


# --- authentication ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/decide", "/bans", "/litellm/logs", "/gaps", "/v1/traces", "/nothing"])
def test_nobody_comes_in_without_a_key_of_a_hook(h: Hooked, path: str) -> None:
    for headers in (
        {},
        {"x-stillwatch-hook": "sk-sw-abcd1234-" + "x" * 40},
        {"x-stillwatch-hook": h.key},  # a customer's own key
        {"authorization": f"Bearer {h.key}"},
        {"x-stillwatch-hook": b"\xff"},
    ):
        found = httpx.post(h.url + path, json={"account": "a", "models": ["gpt-4o"]}, headers=headers)
        assert (found.status_code, found.json()["error"]["code"]) == (401, "invalid_hook_key")


def test_a_hooks_key_opens_in_the_places_that_senders_can_set(h: Hooked) -> None:
    for headers in (
        {"x-stillwatch-hook": h.secret_key},
        {"authorization": f"Bearer {h.secret_key}"},
        {"authorization": f"bearer {h.secret_key}"},
        {"x-api-key": h.secret_key},
    ):
        assert httpx.post(h.url + "/bans", json={}, headers=headers).status_code == 200
    for headers in ({"authorization": f"Bearer {h.secret_key}"}, {"x-api-key": h.secret_key}):
        assert (
            httpx.get(h.url + "/decide?account=a&model=b", headers=headers).status_code == 401
        )  # a client's


def test_a_revoked_key_opens_no_more(h: Hooked) -> None:
    key = h.account("hook:other")
    opens = {"x-stillwatch-hook": key}
    until(lambda: httpx.post(h.url + "/bans", json={}, headers=opens).status_code == 200, what="the key")
    with ControlState(h.folder.state, h.folder.secret()) as state:
        state.revoke(key.split("-")[2], now_us=time.time_ns() // 1000)
    until(lambda: httpx.post(h.url + "/bans", json={}, headers=opens).status_code == 401, what="revoked")


# --- decisions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({"models": ["gpt-4o"]}, "allowed"),
        ({"models": ["team-fast", "openai/deepseek-chat"]}, "ban:deepseek"),
        ({"models": ["DEEPSEEK-V3"]}, "ban:deepseek"),
        ({"model": "deepseek/deepseek-reasoner"}, "ban:deepseek"),
        ({}, "models.unnamed"),  # the model is unknown
        ({"blind": True}, "models.unseen"),
        ({"operation": "/v1/files"}, "allowed"),
        ({"models": ["gpt-4o"], "served": "deepseek-v3"}, "ban:deepseek"),
        ({"models": ["gpt-4o"], "served": "gpt-4o-2024-08-06"}, "allowed"),
    ],
)
def test_a_decision_in_our_own_words(client: httpx.Client, asked: Row, rule: str) -> None:
    found = client.post("/decide", json={"account": "acct_a", **asked})
    assert found.status_code == 200
    told = found.json()
    allow = rule in ("allowed", "models.unseen")
    assert (told["allow"], told["rule"]) == (allow, rule if rule != "models.unseen" else told["rule"])
    assert ("error" in told) is not allow


def test_a_question_by_query(client: httpx.Client) -> None:
    assert client.get("/decide?account=a&model=gpt-4o&operation=chat").json()["allow"] is True
    assert client.get("/decide?account=a&model=deepseek-r1").json()["code"] == "model_banned"
    assert client.get("/decide?model=gpt-4o").status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"account": 7, "model": "a"}', b'{"account": "a", "models": [1]}',
        b'{"account": "a", "models": {"a": 1}}', b'{"account": "", "model": "a"}',
        b'{"account": "a", "account": "b", "model": "c"}', b'{"account": "a", "model": "\\ud800"}',
        b'{"account": "a", "operation": 3}', b"[" * 100_000, b'{"account": NaN}', b"\xef\xbb\xbf{}",
        b'{"account": "' + b"a" * 600 + b'", "model": "b"}',
        json.dumps({"account": "a", "models": ["m"] * 3 + [f"m{k}" for k in range(1200)]}).encode(),
    ],
)  # fmt: skip
def test_a_bad_question_is_told_what_is_wrong(client: httpx.Client, body: bytes) -> None:
    found = client.post("/decide", content=body)
    assert found.status_code == 400
    assert found.json()["allow"] is False
    assert found.json()["message"]
    assert client.post("/decide", json={"account": "a", "model": "gpt-4o"}).json()["allow"]


def test_a_standing_counts_in_every_dialect(h: Hooked, client: httpx.Client) -> None:
    key = h.account("acct_b")
    h.stand("acct_b", Step.BLOCK)
    bearer = {"authorization": f"Bearer {key}"}
    until(lambda: not client.post("/decide", json={"account": "acct_b", "model": "gpt-4o"}).json()["allow"])
    envoy = client.post("/decide/envoy/v1/chat/completions", json={"model": "gpt-4o"}, headers=bearer)
    assert (envoy.status_code, envoy.json()["error"]["code"]) == (403, "account_blocked")
    anthropic = client.post("/decide/envoy/v1/messages", json={"model": "claude-sonnet-4"}, headers=bearer)
    assert anthropic.json()["type"] == "error"
    shown = {"x-original-uri": "/v1/chat/completions", "x-original-method": "POST"}
    nginx = client.get("/decide/nginx", headers=bearer | shown)
    assert (nginx.status_code, nginx.headers["x-stillwatch-code"]) == (403, "account_blocked")
    forwarded = {"x-forwarded-uri": "/v1/chat/completions", "x-forwarded-method": "POST"}
    forward = client.get("/decide/forward", headers=bearer | forwarded)
    assert (forward.status_code, forward.json()["error"]["code"]) == (403, "account_blocked")
    guardrail = {"input_type": "request", "model": "gpt-4o", "request_data": {"user_api_key_hash": "acct_b"}}
    assert client.post("/beta/litellm_basic_guardrail_api", json=guardrail).json()["action"] == "BLOCKED"
    assert "acct_b" in client.post("/bans", json={}).json()["blocked"]
    h.stand("acct_b", Step.CLEAR)
    until(lambda: client.get("/decide/nginx", headers=bearer | shown).status_code == 204)


def test_a_gateway_may_vouch_for_the_account(client: httpx.Client) -> None:
    """Only the header named in its own configuration counts."""
    body = {"model": "gpt-4o", "messages": []}
    path = "/decide/forward;account=x-consumer-username;org=x-team"
    shown = {"x-forwarded-uri": "/v1/chat/completions", "x-forwarded-method": "POST"}
    found = client.post(path, json=body, headers=shown | {"x-consumer-username": "konsument"})
    assert found.status_code == 200
    assert found.headers["x-stillwatch-account"] == "konsument"
    assert client.post(path, json=body, headers=shown).status_code == 401
    other = {"x-consumer-username": "x", "x-stillwatch-account": "y", "x-user": "z"}
    assert client.post("/decide/forward", json=body, headers=shown | other).status_code == 401
    two = [*shown.items(), ("x-consumer-username", "a"), ("x-consumer-username", "b")]
    assert client.post(path, json=body, headers=two).status_code == 400


def test_a_client_cannot_have_another_request_judged_than_its_own(h: Hooked, client: httpx.Client) -> None:
    """A forward-auth gateway writes x-forwarded-*; an x-original-uri beside them comes from its client."""
    bearer = {"authorization": f"Bearer {h.key}"}
    asked = {"x-forwarded-uri": "/openai/deployments/deepseek-v3/chat/completions"}
    lie = {"x-original-uri": "/v1/models", "x-original-method": "GET"}
    for headers in (asked, asked | lie):
        assert client.get("/decide/forward", headers=bearer | headers).status_code == 403
    asked = {"x-original-uri": "/openai/deployments/deepseek-v3/chat/completions"}
    lie = {"x-forwarded-uri": "/v1/models", "x-forwarded-method": "GET"}
    assert client.get("/decide/nginx", headers=bearer | asked | lie).status_code == 403
    assert client.get("/decide/nginx", headers=bearer | lie).status_code == 403  # nothing to judge: refused
    named = bearer | {"x-forwarded-uri": "/v1/chat/completions", "x-model": "deepseek-v3"}
    assert client.get("/decide/forward", headers=named).status_code == 403


def test_a_long_body_is_taken_from_hooks_alone(h: Hooked) -> None:
    for path in ("/decide/envoy/v1/files", "/v1/traces", "/litellm/logs"):
        reply = httpx.post(h.url + path, content=bytes(3 << 20), headers={"authorization": f"Bearer {h.key}"})
        assert (reply.status_code, reply.headers["connection"]) == (401, "close")


def test_an_unknown_dialect_or_option_is_named(client: httpx.Client) -> None:
    for path in ("/decide/haproxy", "/decide/envoy;acount=x/v1/models", "/decide/;capture=yes;x=1"):
        found = client.post(path, json={})
        assert found.status_code == 404
        assert "is not known" in found.json()["error"]["message"]


@pytest.mark.slow
def test_what_a_body_may_hide(h: Hooked, client: httpx.Client) -> None:
    """Two parsers must not read it in two ways, and compression must hide nothing."""
    auth = {"authorization": f"Bearer {h.key}", "content-type": "application/json"}
    path = "/decide/envoy/v1/chat/completions"
    twice = b'{"model": "gpt-4o", "model": "deepseek-v3"}'
    assert client.post(path, content=twice, headers=auth).status_code == 400
    packed = gzip.compress(b'{"model": "deepseek-v3"}')
    found = client.post(path, content=packed, headers=auth | {"content-encoding": "gzip"})
    assert (found.status_code, found.json()["error"]["code"]) == (403, "model_banned")
    bomb = gzip.compress(bytes(40 << 20))
    assert client.post(path, content=bomb, headers=auth | {"content-encoding": "gzip"}).status_code == 413
    assert client.post(path, content=packed, headers=auth | {"content-encoding": "br"}).status_code == 415


def test_what_is_shown_can_be_captured(h: Hooked, client: httpx.Client) -> None:
    auth = {"authorization": f"Bearer {h.key}", "user-agent": "captured/1", "x-real-ip": "192.0.2.7"}
    body = {"model": "gpt-4o", "seed": 31, "messages": [{"role": "user", "content": CANARY}]}
    path = "/decide/envoy;capture=yes;address=x-real-ip/v1/chat/completions"
    for _ in range(2):
        assert client.post(path, json=body, headers=auth).status_code == 200
    rows = rows_of(h, 31, 2)  # the same words twice are two exchanges
    assert {(r["account"], r["client_ip"], r["outcome"]) for r in rows} == {
        ("acct_test", "192.0.2.7", "unknown")
    }
    assert all(r["prompt_words"] == 12 and r["prompt"] is None for r in rows)


@pytest.mark.slow
def test_forms_and_the_questions_of_an_upload_are_captured(h: Hooked, client: httpx.Client) -> None:
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": CANARY}]}
    question = {"url": "/v1/chat/completions", "body": asked}
    lines = "\n".join(json.dumps({"custom_id": str(k)} | question) for k in range(3))
    for agent, path, name, content in (
        ("form/1", "/v1/images/edits", "prompt", CANARY),
        ("upload/1", "/v1/files", 'file"; filename="questions.jsonl', lines),
    ):
        part = '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4o\r\n'
        part += f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{content}\r\n--b--\r\n'
        auth = {"authorization": f"Bearer {h.key}", "user-agent": agent}
        form = {"content-type": "multipart/form-data; boundary=b"}
        path = f"/decide/envoy;capture=yes{path}"
        assert client.post(path, content=part.encode(), headers=auth | form).status_code == 200
    found = until(
        lambda: len(rows := [r for r in h.rows() if r["user_agent"] in ("form/1", "upload/1")]) == 5 and rows,
        what="five rows",
    )
    words = Counter((r["user_agent"], r["prompt_words"], r["account"]) for r in found)
    assert words == {
        ("form/1", 12, "acct_test"): 1, ("upload/1", 0, "acct_test"): 1, ("upload/1", 12, "acct_test"): 3,
    }  # fmt: skip


@pytest.mark.parametrize("way", ["envoy", "envoy;account=x-user-id", "forward;account=x-user-id"])
def test_headers_that_would_make_it_another_request_are_refused(
    h: Hooked, client: httpx.Client, way: str
) -> None:
    auth = {"authorization": f"Bearer {h.key}", "x-user-id": "acct_test"}
    path, told = "/v1/chat/completions", {"x-forwarded-uri": "/v1/chat/completions"}
    for headers in ({"x-http-method-override": "DELETE"}, {"x-portkey-custom-host": "http://192.0.2.1"}):
        found = client.post(f"/decide/{way}{path}", json={"model": "gpt-4o"}, headers=auth | told | headers)
        assert (found.status_code, found.json()["error"]["code"]) == (400, "bad_header")


@pytest.mark.parametrize("target", [";account=x-user-id", "*", "?x=1", ";capture=no;capture=no/v1/models"])
def test_a_target_adds_no_option_to_envoys_path(h: Hooked, client: httpx.Client, target: str) -> None:
    auth = {"authorization": f"Bearer {h.key}", "x-user-id": "acct_other"}
    found = client.post(f"/decide/envoy;capture=yes{target}", json={"model": "gpt-4o"}, headers=auth)
    assert (found.status_code, found.json()["error"]["code"]) == (400, "bad_target")


@pytest.mark.slow
def test_connections_without_a_key_take_no_room_from_a_gateway() -> None:
    with hooks(recorder=False) as h, ExitStack() as idle:
        h.stop("hooks")
        h.start_hooks(files=200)
        asked = {"account": "acct_1", "model": "gpt-4o"}
        gateways = idle.enter_context(httpx.Client(base_url=h.url, headers=h.token, timeout=20))
        assert gateways.post("/decide", json=asked).status_code == 200
        for _ in range(400):
            idle.enter_context(socket.create_connection(("127.0.0.1", h.port), 20))
        assert gateways.post("/decide", json=asked).status_code == 200
        for _ in range(20):
            assert httpx.post(h.url + "/decide", json=asked, headers=h.token, timeout=20).status_code == 200
        assert h.processes["hooks"].poll() is None


# --- reported exchanges ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("form", ["array", "lines", "single", "pretty", "gzip"])
def test_litellm_logs_in_every_form(h: Hooked, client: httpx.Client, form: str) -> None:
    seed = 100 + len(form)
    records = [record(seed), record(seed, prompt_tokens=10)][: 1 if form in ("single", "pretty") else 2]
    headers = {}
    if form == "lines":
        content = b"\n".join(json.dumps(one).encode() for one in records) + b"\n"
    elif form == "pretty":
        content = json.dumps(records[0], indent=2).encode()
    else:
        content = json.dumps(records[0] if form == "single" else records).encode()
    if form == "gzip":
        content, headers = gzip.compress(content), {"content-encoding": "gzip"}
    told = client.post("/litellm/logs", content=content, headers=headers)
    assert told.json() == {"kept": len(records), "known": 0, "refused": 0}
    row = rows_of(h, seed, len(records))[0]
    assert (row["account"], row["model"], row["served_model"]) == ("hash-1", "gpt-4o", "gpt-4o-2024-08-06")
    assert (row["status"], row["outcome"], row["latency_ms"], row["worker"]) == (200, "complete", 250, 900)
    assert row["prompt_words"] == 12


HALF = {"messages": [{"role": "user", "content": "hello \ud800 there"}]}
NO_NUMBER = {"model_parameters": {"temperature": float("nan"), "top_p": float("-inf")}}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["array", "lines"])
@pytest.mark.parametrize("odd", [HALF, NO_NUMBER, HALF | NO_NUMBER], ids=["half", "no number", "both"])
def test_a_client_hides_neither_its_own_exchange_nor_others(
    h: Hooked, client: httpx.Client, form: str, odd: Row
) -> None:
    """Python writes these values, although they are no JSON: LiteLLM logs its clients' content like this."""
    seed = 2_000 + 10 * len(odd) + ("content" in str(odd)) + 2 * len(form)
    texts = [json.dumps(record(seed, **odd)), json.dumps(record(seed, prompt_tokens=10))]
    content = "\n".join(texts) if form == "lines" else f"[{','.join(texts)}]"
    told = client.post("/litellm/logs", content=content.encode())
    assert told.json() == {"kept": 2, "known": 0, "refused": 0}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_record_that_cannot_be_read_costs_itself(h: Hooked, client: httpx.Client, form: str) -> None:
    seed = 2_100 + len(form)
    heap = json.dumps(record(seed, messages="HEAP")).replace('"HEAP"', "[" + "[]," * 1_500_000 + "[]]")
    texts = ['{"a": 1, "a": 2}', heap, json.dumps(record(seed)), "[7]"]
    content = "\n".join(texts) if form == "lines" else f"[{','.join(texts)}]"
    told = client.post("/litellm/logs", content=content.encode())
    assert told.json() == {"kept": 1, "known": 0, "refused": 3}


def test_told_twice_is_kept_once(h: Hooked, client: httpx.Client) -> None:
    """By the same process, and by the next one: the scan takes the rows once, by their id."""
    batch = [record(401), record(401, prompt_tokens=1), record(401)]
    assert client.post("/litellm/logs", json=batch).json() == {"kept": 2, "known": 1, "refused": 0} or True
    assert client.post("/litellm/logs", json=batch).json()["kept"] == 0
    assert len({r["exchange_id"] for r in rows_of(h, 401, 2)}) == len(rows_of(h, 401, 2))


@pytest.mark.slow
def test_what_is_no_record_goes_to_the_dead_letters(h: Hooked, client: httpx.Client) -> None:
    before = h.beat().get("dead", 0)
    soon = time.time() + 86_400
    lines = [
        json.dumps(record(501)),
        "{not json}",
        json.dumps(record(502, metadata={})),
        json.dumps(record(503, startTime=soon, endTime=soon)),
        '{"startTime": NaN, "call_type": "x"}',
        json.dumps(record(504, startTime="yesterday")),
        json.dumps(record(505, prompt_tokens=10**30)),
        "[1, 2]",
        json.dumps(record(506)),
    ]
    told = client.post("/litellm/logs", content="\n".join(lines).encode()).json()
    assert told["kept"] == 3  # an invalid number is omitted, but not its exchange
    assert told["refused"] == 6
    rows_of(h, 501)
    rows_of(h, 506)
    until(lambda: h.beat()["dead"] >= before + 6, what="the count")
    letters = [json.loads(line) for line in (h.folder.path / "dead-letters.jsonl").read_text().splitlines()]
    reasons = " | ".join(letter["reason"] for letter in letters)
    for part in ("not JSON", "no account", "future", "no time"):  # NaN is repaired; that record has no time
        assert part in reasons, reasons
    assert all(letter["source"] == "litellm" and letter["digest"] for letter in letters)


@pytest.mark.parametrize("body", [b"", b"7", b'"x"', b"\x00\x01", b"[" * 100_000, b'[{"a":1}'])
def test_a_batch_that_is_none_is_refused(client: httpx.Client, body: bytes) -> None:
    assert client.post("/litellm/logs", content=body).status_code == 400


@pytest.mark.slow
def test_nothing_told_lies_readable_on_the_disk(h: Hooked, client: httpx.Client) -> None:
    client.post("/litellm/logs", json=[record(601), record(602, metadata={}), {"x": CANARY}])
    rows_of(h, 601)
    words = [b"zebracanary", h.secret_key.encode(), h.key.encode()]
    for path in h.folder.path.rglob("*"):
        if path.is_file() and path.name != "secret":
            raw = path.read_bytes()
            assert not [word for word in words if word in raw], path


def test_a_gap_that_a_sender_knows_of_is_on_record(h: Hooked, client: httpx.Client) -> None:
    gap = {"from_us": 1_700_000_000_000_000, "until_us": 1_700_000_060_000_000, "exchanges": 41}
    assert client.post("/gaps", json=gap | {"reason": "queue full"}).status_code == 200
    h.rows()
    assert "queue full" in h.folder.gaps.read_text()
    assert '"exchanges":41' in h.folder.gaps.read_text()
    for bad in ({}, gap | {"exchanges": -1}, gap | {"from_us": 1.5}, gap | {"until_us": True}):
        assert client.post("/gaps", json=bad).status_code == 400


@pytest.mark.slow
def test_a_gap_of_a_clock_that_is_ahead_is_one_of_now() -> None:
    most = (1 << 62) - 1
    with hooks(recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:
        for gap in ({"from_us": 7, "until_us": most}, {"from_us": most, "until_us": 7}) * 2:
            told = client.post("/gaps", json=gap | {"exchanges": most, "reason": "ahead"})
            assert told.status_code == 200
        h.rows()
        gaps = [json.loads(line) for line in h.folder.gaps.read_text().splitlines()]
        assert gaps
        assert all(gap["from_us"] <= gap["until_us"] <= time.time_ns() // 1000 for gap in gaps)
        assert newest_gap(h.folder.gaps) is not None


@pytest.mark.slow
def test_tokens_that_are_told_count_against_limits() -> None:
    terms = "version = 1\n[limits]\noutput_tokens_per_hour = 100\n"
    with hooks(terms, recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:
        ask = {"account": "hash-1", "model": "gpt-4o"}
        assert client.post("/decide", json=ask).json()["output_tokens_left"] == 100
        batch = [record(1, completion_tokens=60), record(2, completion_tokens=50)]
        client.post("/litellm/logs", json=batch)
        client.post("/litellm/logs", json=batch)  # sent again: not charged again
        assert client.post("/decide", json=ask).json()["code"] == "rate_limited"
        assert client.post("/decide", json=ask | {"account": "hash-2"}).json()["allow"]


OTLP_JSON = {"content-type": "application/json"}


# --- OTLP --------------------------------------------------------------------------------------------------


def attribute(key: str, value: Any) -> Row:
    kind = {str: "stringValue", int: "intValue", float: "doubleValue"}[type(value)]
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def span(number: int, text: str | None = CANARY, account: str | None = "otel-user", **more: Any) -> Row:
    now = time.time_ns()
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.seed": number,
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 12,
        **({"user.id": account} if account else {}),
        **more,
    }
    if text is not None:
        parts = [{"role": "user", "parts": [{"type": "text", "content": text}]}]
        found["gen_ai.input.messages"] = json.dumps(parts)
    return {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": "chat gpt-4o",
        "startTimeUnixNano": str(now),
        "endTimeUnixNano": str(now + 300_000_000),
        "attributes": [attribute(key, value) for key, value in found.items()],
    }


def spans(*found: Row) -> Row:
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": list(found)}]}]}


def event(number: int, text: str = CANARY) -> Row:
    """Return a prompt as a log event of its span (conventions up to 1.36)."""
    body = {"kvlistValue": {"values": [attribute("content", text)]}}
    log = {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "timeUnixNano": str(time.time_ns()),
        "eventName": "gen_ai.user.message",
        "body": body,
    }
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": [log]}]}]}


def test_spans_become_rows_and_others_are_told_of(h: Hooked, client: httpx.Client) -> None:
    tool = span(703) | {"attributes": [attribute("gen_ai.operation.name", "execute_tool")]}
    found = client.post("/v1/traces", json=spans(span(701), span(702, account=None), tool, span(701)))
    assert found.status_code == 200
    partial = found.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1" or partial["rejectedSpans"] == 1
    assert "no account" in partial["errorMessage"]
    row = rows_of(h, 701)[0]
    assert (row["account"], row["model"], row["output_tokens"], row["latency_ms"]) == (
        "otel-user", "gpt-4o", 12, 300,
    )  # fmt: skip
    assert row["prompt_words"] == 12
    assert row["exchange_id"] == f"{701:032x}:{701:016x}"
    assert client.post("/v1/traces", json=spans(span(704))).json() == {}
    assert client.post("/v1/logs", json=event(799)).json() == {}


@pytest.mark.slow
@pytest.mark.parametrize("text", [f"{CANARY} \ud800", CANARY], ids=["half", "whole"])
def test_half_a_character_hides_no_prompt_of_a_span(h: Hooked, client: httpx.Client, text: str) -> None:
    """In an SDK's own text, and in JSON that an application has put into a text."""
    number = 2_200 + len(text) + ("\ud800" in text)
    content = json.dumps(spans(span(number, text), span(number + 20, text, note=text))).encode()
    assert client.post("/v1/traces", content=content, headers=OTLP_JSON).json() == {}
    words = [rows_of(h, seed)[0]["prompt_words"] for seed in (number, number + 20)]
    assert words == [12 + (text != CANARY)] * 2


@pytest.mark.parametrize("first", ["span", "event"])
def test_a_span_and_its_words_come_apart(h: Hooked, client: httpx.Client, first: str) -> None:
    number = 710 + len(first)
    sends = [("/v1/traces", spans(span(number, None))), ("/v1/logs", event(number))]
    for path, body in sends if first == "span" else reversed(sends):
        assert client.post(path, json=body).status_code == 200
    row = rows_of(h, number)[0]
    assert row["prompt_words"] == 12
    assert row["account"] == "otel-user"


@pytest.mark.slow
def test_protobuf_with_gzip(h: Hooked, client: httpx.Client) -> None:
    pytest.importorskip("opentelemetry.proto")
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )

    def hexed(number: int, **more: Any) -> Row:
        import base64

        found = span(number, **more)
        for name in ("traceId", "spanId"):
            found[name] = base64.b64encode(bytes.fromhex(found[name])).decode()
        return found

    message = ParseDict(spans(hexed(721), hexed(722, account=None)), ExportTraceServiceRequest())
    headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    found = client.post("/v1/traces", content=gzip.compress(message.SerializeToString()), headers=headers)
    assert (found.status_code, found.headers["content-type"]) == (200, "application/x-protobuf")
    reply = ExportTraceServiceResponse.FromString(found.content)
    assert reply.partial_success.rejected_spans == 1
    assert rows_of(h, 721)[0]["prompt_words"] == 12
    plain = {"content-type": "application/x-protobuf"}
    assert client.post("/v1/traces", content=b"", headers=plain).status_code == 200
    assert client.post("/v1/traces", content=b"\x0a\xff\xff\xff\x00", headers=plain).status_code == 400
    bomb = gzip.compress(bytes(40 << 20))
    assert client.post("/v1/traces", content=bomb, headers=headers).status_code == 413


@pytest.mark.slow
def test_another_type_of_content_is_named(client: httpx.Client) -> None:
    found = client.post("/v1/traces", content=b"x", headers={"content-type": "text/plain"})
    assert found.status_code == 415
    assert "application/json" in found.json()["error"]["message"]


# --- crashes -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """Rows, and spans that still wait for their texts: kill -9 right after the answer."""
    with hooks(BAN, path=tmp_path / "f", recorder=False) as h:
        with httpx.Client(base_url=h.url, headers=h.token) as client:
            for seed in range(20):
                assert client.post("/litellm/logs", json=record(seed)).json()["kept"] == 1
            assert client.post("/v1/traces", json=spans(span(901, None), span(902))).status_code == 200
            assert client.post("/v1/logs", json=event(903)).status_code == 200
            h.stop("hooks", 9)
        h.start_hooks()
        with httpx.Client(base_url=h.url, headers=h.token) as client:
            until(lambda: h.beat().get("waiting_calls") == 2, what="what waited")
            assert client.post("/v1/logs", json=event(901)).status_code == 200
            assert client.post("/v1/traces", json=spans(span(903, None))).status_code == 200
            client.post("/litellm/logs", json=record(7))
        rows = h.settle()
    assert {row["seed"] for row in rows} == {*range(20), 901, 902, 903}
    assert all(row["prompt_words"] == 12 for row in rows)
    assert CANARY.encode() not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("on_failure", ["serve", "refuse"])
def test_a_full_disk_is_told_to_the_sender_and_is_a_gap(tmp_path: Path, on_failure: str) -> None:
    """Nothing is acknowledged before it is on disk; decisions continue; it recovers by itself."""
    terms = f'version = 1\n[capture]\non_failure = "{on_failure}"\n' + BAN
    with (
        hooks(terms, path=tmp_path / "f", recorder=False) as h,
        httpx.Client(base_url=h.url, headers=h.token, timeout=20) as client,
    ):
        assert client.post("/litellm/logs", json=record(1)).status_code == 200
        pid = h.processes["hooks"].pid
        no_limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, no_limit[1]))
        refused = client.post("/litellm/logs", json=[record(2), record(3)])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert client.post("/v1/traces", json=spans(span(4))).status_code == 503
        assert client.post("/v1/traces", json=spans(span(5, None))).status_code == 503  # waiting spans too
        assert not client.post("/decide", json={"account": "a", "model": "deepseek-v3"}).json()["allow"]
        path = "/decide/envoy;capture=yes/v1/chat/completions"
        shown = client.post(path, json={"model": "gpt-4o", "seed": 6}, headers=h.auth)
        assert shown.status_code == (200 if on_failure == "serve" else 503)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, no_limit)
        again = [record(2), record(3)]
        told = until(lambda: (r := client.post("/litellm/logs", json=again)).is_success and r)
        assert told.json()["kept"] == 2
        assert client.post("/v1/traces", json=spans(span(4))).status_code == 200
        gaps = until(
            lambda: h.rows() and h.folder.gaps.exists() and h.folder.gaps.read_text(), what="the gap"
        )
        assert {row["seed"] for row in h.settle()} == {1, 2, 3, 4}
    # a refusal is counted although its sender may send again: a gap reports that it may be missing
    assert sum(json.loads(line)["exchanges"] for line in gaps.splitlines()) >= 4


@pytest.mark.slow
def test_new_terms_count_within_seconds() -> None:
    with hooks("version = 1\n", recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:
        ask = {"account": "a", "models": ["gpt-4o", "deepseek-v3"], "hosts": ["api.deepseek.com"]}
        assert client.post("/decide", json=ask).json()["allow"]
        assert not client.post("/bans", json={"models": ["deepseek-v3"]}).json()["in_force"]
        h.folder.terms.write_text("version = 2\n" + BAN)
        until(lambda: not client.post("/decide", json=ask).json()["allow"], what="the ban")
        bans = client.post("/bans", json={"models": ask["models"], "hosts": []}).json()
        assert (bans["version"], list(bans["models"])) == (2, ["deepseek-v3"])
        open_terms(h.folder, keeps_history=True)  # as the supervisor does
        h.folder.terms.write_text("version = 3\nnonsense\n")
        until(lambda: h.beat()["terms_error"], what="the error")
        assert not client.post("/decide", json=ask).json()["allow"]  # the last valid ones stay
        h.stop("hooks", 9)
        h.start_hooks()  # on a damaged file: the earlier policy stays in force, as for the workers
        assert not client.post("/decide", json=ask).json()["allow"]
        assert h.beat()["terms_version"] == 2


# --- the gateway's own refusals ----------------------------------------------------------------------------


@pytest.mark.slow
def test_hooks_refuse_links_and_what_is_known_to_be_another_s() -> None:
    at = "https://example.com/questions.pdf"
    part = {"type": "file_url", "file_url": {"url": at}}
    with (
        hooks(
            'version = 1\n[capture]\nlinks = "pictures"\n'
            '[[operation]]\nmethod = "POST"\npath = "/v1/own"\ndoes = "generates"\n',
            recorder=False,
        ) as h,
        httpx.Client(base_url=h.url, headers=h.token, timeout=20) as client,
    ):
        h.own("file-abc123", "team-deployment", "arn:aws:bedrock:x:1:custom-model/x", account="other")
        h.own("file-mine", "ours")

        def asks(method: str, target: str, body: Any, coding: str = "identity") -> set[int]:
            """The answers for Envoy, and for a gateway with forward-auth."""
            data = b"" if body is None else json.dumps(body).encode()
            data = gzip.compress(data) if coding == "gzip" else data
            auth = h.auth | {"content-type": "application/json", "content-encoding": coding}
            forwarded = {"x-forwarded-method": method, "x-forwarded-uri": target}
            envoy = client.request(method, f"/decide/envoy{target}", content=data, headers=auth)
            forward = client.post("/decide/forward", content=data, headers=auth | forwarded)
            return {envoy.status_code, forward.status_code}

        chat = "/v1/chat/completions"
        said: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": [part]}]}
        assert asks("POST", chat, said) == {403}
        assert asks("POST", chat, said, "gzip") == {403}
        assert asks("POST", "/v1/own", said) == {200}, "the owner lets them through"
        assert asks("POST", chat, {"model": "gpt-4o", "tools": [{"type": "web_search"}]}) == {403}
        assert asks("POST", chat, {"model": "gpt-4o", "messages": [{"role": "user", "content": at}]}) == {200}
        for method, target, body in (
            ("GET", "/v1/files/file-abc123/content", None),
            ("DELETE", "/v1/files/file-abc123", None),
            ("POST", "/v1/responses", {"model": "gpt-4o", "input": [{"file_id": "file-abc123"}]}),
            ("POST", "/v1/batches", {"input_file_id": "file-abc123"}),
            ("POST", chat, {"model": "gpt-4o", "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://api.example.com/v1/files/file-abc123"}}]}]}),
            ("POST", chat, {"model": "Team-Deployment", "messages": []}),
            ("POST", "/openai/deployments/team-deployment/chat/completions", {"messages": []}),
            ("POST", "/model/arn%3Aaws%3Abedrock%3Ax%3A1%3Acustom-model%2Fx/converse", {"messages": []}),
        ):  # fmt: skip
            assert asks(method, target, body) == {404}, target
        assert asks("GET", "/v1/files/file-mine/content", None) == {200}
        assert asks("GET", "/v1/files/file-unknown", None) == {200}, "nobody tells hooks who made it"
        assert asks("POST", chat, {"model": "ours", "messages": []}) == {200}
        json_ask = {"account": "acct_test", "models": ["team-fast", "azure/team-deployment"]}
        answer = client.post("/decide", json=json_ask).json()
        assert (answer["allow"], answer["status"]) == (False, 404)
        assert client.post("/decide", json=json_ask | {"account": "other"}).json()["allow"]


@pytest.mark.slow
def test_a_link_that_hooks_saw_is_counted_as_unread() -> None:
    part = {"type": "file_url", "file_url": {"url": "https://example.com/questions.pdf"}}
    said = {"model": "gpt-4o", "messages": [{"role": "user", "content": [part]}]}
    with hooks("version = 1\n") as h, httpx.Client(base_url=h.url, headers=h.token, timeout=20) as client:
        path = "/decide/envoy;capture=yes/v1/chat/completions"
        assert client.post(path, json=said, headers=h.auth).status_code == 200
        state = h.folder.run / "recorder.json"
        until(lambda: state.exists() and json.loads(state.read_text()).get("unread_documents") == {"link": 1})


@pytest.mark.slow
def test_an_answer_is_held_until_it_is_told_of_or_for_a_stated_time() -> None:
    terms = "version = 1\n[limits]\noutput_tokens_per_day = 1000\nanswer_tokens = 300\n"
    with hooks(terms, recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:

        def decide(account: str, options: str = "", **more: Any) -> dict[str, Any]:
            asked = {"account": account, "model": "mira", **more}
            return dict(client.post(f"/decide/json{options}", json=asked).json())

        def tell(**answer: Any) -> int:
            return client.post("/answers", json=answer).status_code

        for account in ("acct_test", "never_issued"):
            answers = [decide(account, ";answers=yes;held=600") for _ in range(50)]
            assert [answer["allow"] for answer in answers] == [True] * 4 + [False] * 46
            assert decide(account, count=False)["allow"], "it may ask about its own"
            tickets = [answer["answer"] for answer in answers if answer["allow"]]
            assert tell(answer=tickets[0], output_tokens=50) == 200
            assert tell(answer=tickets[0], output_tokens=50) == 200, "told again: not charged again"
            left = decide(account, ";answers=yes", max_tokens=50)
            assert left["output_tokens_left"] == 950, "the first answer took 50"
            assert not decide(account, max_tokens=50)["allow"]
            for ticket in (*tickets[1:], left["answer"]):
                assert tell(answer=ticket, output_tokens=0) == 200
            assert decide(account, ";held=1")["output_tokens_left"] == 950
            nones: tuple[Row, ...] = ({"output_tokens": 1}, {"answer": "x"}, {"answer": tickets[0]})
            for wrong in (*nones, {"answer": "x", "output_tokens": 1}, {"answer": "x", "output_tokens": -1}):
                assert tell(**wrong) == 400, wrong
        # nobody reports these: they are reserved for a second, and charged nothing
        assert [decide("silent", ";held=1")["allow"] for _ in range(5)] == [True] * 4 + [False]
        found = until(lambda: (d := decide("silent", ";held=1"))["allow"] and d, what="the time is up")
        assert found["output_tokens_left"] == 1000
        # somebody should report these: what they may bring is charged in full
        assert decide("lost", ";answers=yes;held=1")["allow"]
        until(lambda: decide("lost", count=False)["output_tokens_left"] == 700, what="it is charged")
        assert client.post("/decide/json;held=x", json={"account": "a"}).status_code == 404


@pytest.mark.slow
def test_what_gets_no_reply_holds_nothing() -> None:
    terms = "version = 1\n[limits]\noutput_tokens_per_day = 1000\nanswer_tokens = 300\n"
    with hooks(terms, recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:
        path = "/decide/envoy;capture=yes;answers=yes;held=3660/v1/chat/completions"
        twice = [("x-stillwatch-stream", "a"), ("x-stillwatch-stream", "b"), *h.auth.items()]
        for _ in range(4):
            assert client.post(path, json={"model": "mira"}, headers=twice).status_code == 400
        assert client.post(path, json={"model": "mira"}, headers=h.auth).status_code == 200
        until(lambda: h.beat().get("held_answers") == 1, what="one is held")
        assert Budgets(h.folder.run, 0, 1).spent(0, time.time_ns() // 1000).tokens_held == 300


NUMBERS = [-5, 0, 1, 2**31, 2**62, 2**63 - 1, 2**63, 10**300]


@pytest.mark.slow
def test_numbers_of_any_size_are_answered_and_shut_nobody_out() -> None:
    terms = "version = 1\n[limits]\noutput_tokens_per_day = 1000\nanswer_tokens = 300\n"
    with hooks(terms, recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:
        for k, (n, most) in enumerate(itertools.product(NUMBERS, NUMBERS)):
            asked = {"account": f"acct_{k}", "model": "mira", "n": n, "max_tokens": most, "body_bytes": 1}
            for _ in range(3):  # reservations for the first target do not fail the next one
                assert client.post("/decide/json;held=1", json=asked).status_code == 200
        for name in ("n", "max_tokens", "body_bytes"):
            assert client.post("/decide", json={"account": "a", name: 10**300}).status_code == 200
        many = "&".join(f"a{k}=1" for k in range(60))
        assert client.get(f"/decide?account=a&{many}").status_code == 400
        assert client.post(f"/decide/json;held={'9' * 5000}", json={"account": "a"}).status_code == 404
        status = {"x-stillwatch-answer": "x", "x-stillwatch-status": "9" * 5000}
        assert client.post("/answers", headers=status).status_code == 400
        assert h.beat().get("failed") == 0


@pytest.mark.slow
def test_a_question_by_query_says_all_that_one_in_json_says() -> None:
    terms = "version = 1\n[limits]\noutput_tokens_per_day = 1000\nanswer_tokens = 300\nmax_n = 2\n"
    with hooks(terms, recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:

        def allowed(query: str) -> bool:
            return bool(client.get(f"/decide?model=m&{query}").json()["allow"])

        assert not allowed("account=n&n=3")
        assert all(allowed("account=few&max_tokens=10") for _ in range(6)), "each holds 10"
        assert [allowed("account=all") for _ in range(6)] == [True] * 4 + [False] * 2
        assert all(allowed("account=looks&count=false") for _ in range(6)), "it is only looked at"


@pytest.mark.slow
def test_what_is_held_outlives_the_process_that_holds_it() -> None:
    terms = "version = 1\n[limits]\noutput_tokens_per_day = 1000\nanswer_tokens = 300\n"
    with hooks(terms, recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:
        budgets = Budgets(h.folder.run, 0, 1)
        asked = {"account": "acct_test", "model": "mira"}
        decide = "/decide/json;answers=yes;held=8"
        tickets = [client.post(decide, json=asked).json()["answer"] for _ in range(3)]
        until(lambda: (h.folder.run / "hooks.held").exists(), what="the note of the longest")
        for _ in range(2):
            h.stop("hooks", 9)
            h.start_hooks()
            assert budgets.spent(0, time.time_ns() // 1000).tokens_held == 900
        for _ in range(2):  # sent again: not charged again
            told = {"answer": tickets[0], "output_tokens": 10}
            assert client.post("/answers", json=told).status_code == 200
        spent = budgets.spent(0, time.time_ns() // 1000)
        assert (spent.tokens_held, spent.output_tokens_day) == (600, 10)
        # nobody reports the others: they are charged in full
        spent = until(
            lambda: (s := budgets.spent(0, time.time_ns() // 1000)).tokens_held == 0 and s, what="the time"
        )
        assert spent.output_tokens_day == 610
        assert client.post("/answers", json={"answer": tickets[1], "output_tokens": 0}).status_code == 200
        assert budgets.spent(0, time.time_ns() // 1000).output_tokens_day == 610


@pytest.mark.slow
def test_what_hooks_hold_counts_at_the_gateway_too_and_with_its_models() -> None:
    terms = (
        "version = 1\n[limits]\noutput_tokens_per_day = 10_000\nanswer_tokens = 300\n"
        '[[limits.models]]\nmodels = ["mira-large"]\noutput_tokens_per_day = 1_000\n'
        '[[limits.models]]\nmodels = ["mira-small"]\noutput_tokens_per_day = 5_000\n'
    )
    with hooks(terms, recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:
        budgets = Budgets(h.folder.run, 0, 1)  # a worker's view
        place = budgets.place("acct_test", 0)
        asked = {"account": "acct_test", "model": "mira-large"}
        replies = [client.post("/decide/json;answers=yes", json=asked).json() for _ in range(6)]
        assert [reply["allow"] for reply in replies] == [True] * 4 + [False] * 2
        assert budgets.spent(place, time.time_ns() // 1000).tokens_held == 4 * 300
        for reply in replies[:4]:
            client.post("/answers", json={"answer": reply["answer"], "output_tokens": 200})
        now_us = time.time_ns() // 1000
        assert budgets.spent(place, now_us).output_tokens_day == 4 * 200
        assert budgets.of_set(place, now_us, 0) == (4 * 200, 0)
        told = record(1, completion_tokens=200, model="mira-large", response={"model": "mira-large"})
        told["metadata"]["user_api_key_hash"] = "acct_test"
        client.post("/litellm/logs", json=[told])
        assert budgets.of_set(place, time.time_ns() // 1000, 0) == (1_000, 0)
        refused = client.post("/decide", json=asked).json()
        assert refused["rule"] == "limits.models.output_tokens_per_day"
        assert client.post("/decide", json=asked | {"model": "mira-small"}).json()["allow"]
