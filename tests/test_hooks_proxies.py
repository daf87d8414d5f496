"""Real nginx and real Envoy ask the real hooks process, with the configurations in the package."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gateway_world import until
from hooks_world import BAN, Hooked, hooks, in_front
from stillwatch.terms import Step
from upstream import Upstream

pytestmark = pytest.mark.slow
LIMITS = "version = 1\n[limits]\nrequests_per_minute = 3\n" + BAN


def ask(client: httpx.Client, model: str = "gpt-4o", **headers: str) -> httpx.Response:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Which lighthouse stands furthest north?"}],
    }
    return client.post("/v1/chat/completions", json=body, headers=headers)


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def world(request: Any, tmp_path_factory: Any) -> Iterator[tuple[str, Hooked, Upstream, httpx.Client]]:
    with hooks(BAN) as h, Upstream() as up:
        at = tmp_path_factory.mktemp(request.param)
        with in_front(request.param, h, up.url, at) as client:
            yield request.param, h, up, client


def test_an_account_passes_and_the_upstream_learns_who_it_is(world: Any) -> None:
    _, h, up, client = world
    before = len(up.seen)
    assert ask(client, **h.auth).status_code == 200
    seen = up.seen[before]
    assert seen.header("x-stillwatch-account") == "acct_test"
    assert seen.header("x-stillwatch-hook") is None


def test_a_wrong_key_is_refused(world: Any) -> None:
    _, _, up, client = world
    before = len(up.seen)
    for headers in ({}, {"authorization": "Bearer sk-sw-abcd1234-" + "x" * 40}):
        found = ask(client, **headers)
        assert found.status_code == 401
        assert found.json()["error"]["code"] == "invalid_api_key"
    assert len(up.seen) == before


def test_a_client_cannot_name_its_own_account(world: Any) -> None:
    """A client's copy of our headers does not count, and cannot authenticate either."""
    _, h, up, client = world
    before = len(up.seen)
    assert ask(client, **{"x-stillwatch-account": "acct_other"}).status_code == 401
    made_up = {"x-stillwatch-account": "acct_other", "x-stillwatch-mark": "made-up"}
    assert ask(client, **h.auth, **made_up).status_code == 200
    assert up.seen[before].header("x-stillwatch-account") == "acct_test"
    assert not up.seen[before].header("x-stillwatch-mark")
    assert ask(client, **h.auth, **{"x-stillwatch-hook": "sk-sw-wrong"}).status_code == 200


def test_a_banned_model_is_refused_where_it_can_be_seen(world: Any) -> None:
    kind, h, up, client = world
    before = len(up.seen)
    found = ask(client, "azure/deepseek-v3", **h.auth)
    if kind == "envoy":
        assert found.status_code == 403
        assert found.json()["error"]["code"] == "model_banned"
        assert found.headers["x-stillwatch-code"] == "model_banned"
        assert len(up.seen) == before
    else:  # it asks before the body arrives: see docs/hooks.md
        assert found.status_code == 200
    path = client.post("/v1/engines/deepseek-r1/completions", json={"prompt": "x"}, headers=h.auth)
    assert path.status_code == 403  # both see it in the path


@pytest.mark.parametrize(
    "headers",
    [
        {"x-model": "deepseek-v3"},
        {"azureml-model-deployment": "deepseek-r1"},
        {"x-portkey-config": '{"override_params": {"model": "deepseek-chat"}}'},
        {"x-portkey-config": '{"custom_host": "http://192.0.2.1"}'},
        {"x-http-method-override": "DELETE"},
        {"x-original-url": "/v1/files"},
        {"helicone-target-url": "http://192.0.2.1"},
    ],
)
def test_a_header_hides_no_model_and_sends_nothing_elsewhere(world: Any, headers: dict[str, str]) -> None:
    _, h, up, client = world
    before = len(up.seen)
    assert ask(client, **h.auth, **headers).status_code in (400, 403)
    assert len(up.seen) == before


def test_a_header_that_only_some_servers_read_goes_no_further(world: Any) -> None:
    _, h, up, client = world
    before = len(up.seen)
    odd = {"x_http_method_override": "DELETE", "x_stillwatch_account": "acct_other"}
    assert ask(client, **h.auth, **odd).status_code == 200
    assert [name for name in odd if up.seen[before].header(name)] == []


def test_a_block_is_felt_within_seconds_and_can_be_lifted(world: Any) -> None:
    _, h, _, client = world
    auth = {"authorization": f"Bearer {h.account('acct_blocked')}"}
    until(lambda: ask(client, **auth).status_code == 200, what="the new key")
    h.stand("acct_blocked", Step.BLOCK)
    found = until(lambda: (r := ask(client, **auth)).status_code == 403 and r, what="the block")
    assert found.json()["error"]["code"] == "account_blocked"
    assert ask(client, **h.auth).status_code == 200


def test_streams_pass(world: Any) -> None:
    _, h, _, client = world
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with client.stream("POST", "/v1/chat/completions", json=body, headers=h.auth) as found:
        assert found.read().endswith(b"data: [DONE]\n\n")


def test_what_envoy_shows_is_captured(world: Any) -> None:
    kind, h, _, client = world
    if kind == "nginx":
        pytest.skip("nginx shows no body: there is nothing to capture")
    ask(client, **h.auth, **{"user-agent": "harvester/1.0"})
    rows = until(lambda: [r for r in h.rows() if r["user_agent"] == "harvester/1.0"], what="the row")
    assert rows[0]["account"] == "acct_test"
    assert ip_address(rows[0]["client_ip"])  # Envoy uses its own address for a client on loopback
    assert (rows[0]["model"], rows[0]["outcome"], rows[0]["prompt_words"]) == ("gpt-4o", "unknown", 6)
    assert rows[0]["prompt"] is None
    refused = [r for r in h.rows() if r["rule"] == "ban:deepseek"]
    assert refused
    assert all(r["outcome"] == "refused" and r["status"] == 403 for r in refused)


@pytest.mark.parametrize("kind", ["nginx", "envoy"])
def test_limits_and_what_happens_without_us(kind: str, tmp_path: Path) -> None:
    with hooks(LIMITS, recorder=False) as h, Upstream() as up, in_front(kind, h, up.url, tmp_path) as client:
        auth = {"authorization": f"Bearer {h.account('acct_busy')}"}
        until(lambda: ask(client, **auth).status_code in (200, 429), what="the new key")
        found = until(lambda: (r := ask(client, **auth)).status_code == 429 and r, 90, "the limit")
        assert found.json()["error"]["code"] == "rate_limited"
        assert 0 < int(found.headers["retry-after"]) <= 60
        h.stop("hooks", 9)
        before = len(up.seen)
        assert ask(client, **h.auth).status_code in (500, 503)  # closed, not open
        assert len(up.seen) == before
