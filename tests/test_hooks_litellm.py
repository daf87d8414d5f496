"""The real LiteLLM proxy, with the callback inside it and with the HTTP forms, and a real upstream."""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

import stillwatch.gateway.hooks
from gateway_world import free_port, until
from hooks_world import BAN, Hooked, environment, hooks, running
from stillwatch.terms import Step
from upstream import Upstream

pytestmark = pytest.mark.slow
FILES = Path(stillwatch.gateway.hooks.__file__).parent / "files"
AUTH = """
from litellm.proxy._types import UserAPIKeyAuth

async def auth(request, api_key):
    assert api_key.startswith("sk-user-")
    return UserAPIKeyAuth(api_key=api_key, user_id=api_key[8:], team_id="team-1")
"""
PROMPT = "Describe how lighthouses were lit before electricity came"
Row = dict[str, Any]


class LiteLLM:
    """A running proxy, and its clients."""

    def __init__(self, url: str, said: Path, process: Any) -> None:
        self.url, self.said, self.process = url, said, process

    def client(self, who: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer sk-user-{who}"}, timeout=60)

    def ask(self, who: str, model: str = "gpt-4o", headers: Any = None, **body: Any) -> httpx.Response:
        body.setdefault("messages", [{"role": "user", "content": PROMPT}])
        with self.client(who) as client:
            return client.post("/v1/chat/completions", json={"model": model, **body}, headers=headers)


def account_of(who: str) -> str:
    """Return LiteLLM's name for the account of a key."""
    return hashlib.sha256(f"sk-user-{who}".encode()).hexdigest()


@contextmanager
def litellm(h: Hooked, up: Upstream, at: Path, callback: bool = True, **env: str) -> Iterator[LiteLLM]:
    """Run LiteLLM's proxy on the upstream: two permitted models, two aliases of a banned one, a wildcard."""
    names = {
        "gpt-4o": "openai/gpt-4o",
        "team-fast": "openai/deepseek-chat",
        "deepseek-v3": "openai/deepseek-v3",
        "falls": "openai/gpt-4o",
        "*": "openai/*",
    }
    routes = [
        {
            "model_name": name,
            "litellm_params": {"model": model, "api_base": up.url + "/v1", "api_key": "sk-upstream"},
        }
        for name, model in names.items()
    ]
    settings: Row = {"callbacks": "stillwatch_litellm.stillwatch"}
    config: Row = {
        "model_list": routes,
        "litellm_settings": settings,
        "general_settings": {"custom_auth": "auth.auth"},
        "router_settings": {"fallbacks": [{"falls": ["team-fast"]}], "num_retries": 0},
    }
    if not callback:
        config["litellm_settings"] = {"callbacks": ["generic_api"], "global_disable_no_log_param": True}
        config["guardrails"] = [
            {
                "guardrail_name": "stillwatch",
                "litellm_params": {
                    "guardrail": "generic_guardrail_api",
                    "mode": "pre_call",
                    "default_on": True,
                    "api_base": h.url,
                    "api_key": "os.environ/STILLWATCH_HOOKS_TOKEN",
                },
            }
        ]
    at.mkdir(exist_ok=True)
    (at / "config.yaml").write_text(json.dumps(config))
    (at / "auth.py").write_text(AUTH)
    shutil.copy(FILES / "stillwatch_litellm.py", at)
    port = free_port()
    settings_of_it = {
        **os.environ,
        "STILLWATCH_HOOKS_URL": h.url,
        "STILLWATCH_HOOKS_TOKEN": h.secret_key,
        "LITELLM_MASTER_KEY": "sk-" + secrets.token_hex(32),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "GENERIC_LOGGER_ENDPOINT": h.url + "/litellm/logs",
        "GENERIC_LOGGER_HEADERS": f"x-stillwatch-hook={h.secret_key}",
        "DEFAULT_FLUSH_INTERVAL_SECONDS": "1",
        **env,
    }
    program = environment("litellm-1.108.7", "litellm[proxy]==1.108.7") / "litellm"
    words = [str(program), "--config", str(at / "config.yaml"), "--port", str(port), "--host", "127.0.0.1"]
    with running(words, at / "said", env=settings_of_it, cwd=at) as process:
        proxy = LiteLLM(f"http://127.0.0.1:{port}", at / "said", process)

        def lives() -> bool:
            assert process.poll() is None, proxy.said.read_text()[-3000:]
            try:
                return httpx.get(proxy.url + "/health/liveliness", timeout=10).status_code == 200
            except httpx.TransportError:
                return False

        until(lives, 180, "LiteLLM answering")
        yield proxy


def found(h: Hooked, fits: Callable[[Row], bool], least: int = 1) -> list[Row]:
    """Return the rows that match, once there are enough."""
    return until(lambda: len(r := [row for row in h.rows() if fits(row)]) >= least and r, what="the rows")


@pytest.fixture(scope="module")
def world(tmp_path_factory: Any) -> Iterator[tuple[Hooked, Upstream, LiteLLM]]:
    at = tmp_path_factory.mktemp("litellm")
    limit = f"[limits.account.{account_of('lim')}]\noutput_tokens_per_day = 100\n"
    with hooks(BAN + limit) as h, Upstream() as up, litellm(h, up, at) as proxy:
        yield h, up, proxy


def test_an_exchange_arrives_whole(world: Any) -> None:
    h, up, proxy = world
    before = len(up.seen)
    assert proxy.ask("ann", temperature=0.25, max_tokens=77, user="end-1").status_code == 200
    row = found(h, lambda r: r["max_tokens"] == 77)[0]
    assert row["model"] == "gpt-4o"
    assert row["operation"] == "chat"
    assert (row["status"], row["outcome"], row["temperature"]) == (200, "complete", 0.25)
    (asked,) = (one for one in list(up.seen)[before:] if one.method == "POST")  # others ask for models
    assert row["output_tokens"] == asked.output_tokens
    assert row["prompt_words"] == 8
    assert row["prompt_exact"] != 0
    assert row["end_user"] == "end-1"
    assert row["family"] == "gpt"
    assert row["prompt"] is None
    assert row["completion"] is None  # the terms keep no texts


def test_accounts_are_told_apart_and_one_account_is_one(world: Any) -> None:
    h, _, proxy = world
    for who in ("bea", "cem", "bea"):
        proxy.ask(who, seed=4711)
    rows = found(h, lambda r: r["seed"] == 4711, 3)
    assert len({r["account"] for r in rows}) == 2
    assert len({r["prompt_exact"] for r in rows}) == 1


@pytest.mark.parametrize("model", ["team-fast", "deepseek-v3", "deepseek/deepseek-chat", "DeepSeek-R1"])
def test_a_banned_model_is_refused_by_what_would_answer(world: Any, model: str) -> None:
    h, up, proxy = world
    before = len(up.seen)
    answer = proxy.ask("dan", model)
    assert answer.status_code == 403, answer.text
    assert "deepseek" in answer.json()["error"]["message"]
    assert len(up.seen) == before
    rows = found(h, lambda r: r["model"] == model)
    assert all((r["outcome"], r["rule"], r["status"]) == ("refused", "ban:deepseek", 403) for r in rows)


def test_a_banned_model_beside_the_one_that_is_asked_for_is_refused(world: Any) -> None:
    """LiteLLM lets `extra_body` override what it decided on, and requests each model of "a,b"."""
    _, up, proxy = world
    before = len(up.seen)
    assert proxy.ask("gil", "gpt-4o", extra_body={"model": "deepseek-chat"}).status_code == 403
    assert proxy.ask("gil", "llama-3,deepseek-chat").status_code == 403
    assert len(up.seen) == before


def test_a_fallback_to_a_banned_model_is_refused(world: Any) -> None:
    """The first target fails, and the router turns to a model with a harmless name and a banned target."""
    _, up, proxy = world
    before = len(up.seen)
    assert proxy.ask("eve", "falls", extra_headers={"x-fault": "status=500"}).status_code >= 400
    asked = [json.loads(seen.body)["model"] for seen in list(up.seen)[before:]]
    assert asked
    assert "deepseek-chat" not in asked


def test_banned_models_are_not_listed(world: Any) -> None:
    _, _, proxy = world
    with proxy.client("ann") as client:
        names = {entry["id"] for entry in client.get("/v1/models").json()["data"]}
    assert "gpt-4o" in names
    assert not {"team-fast", "deepseek-v3"} & names


def test_a_blocked_account_is_refused_and_the_others_go_on(world: Any) -> None:
    h, _, proxy = world
    proxy.ask("fay", seed=99)
    account = found(h, lambda r: r["seed"] == 99)[0]["account"]
    h.stand(account, Step.BLOCK)
    answer = until(lambda: (a := proxy.ask("fay")).status_code == 403 and a, what="the block")
    assert answer.json()["error"]["provider_specific_fields"]["code"] == "account_blocked"
    assert proxy.ask("ann").status_code == 200
    h.stand(account, Step.CLEAR)
    until(lambda: proxy.ask("fay").status_code == 200, what="the block lifted")


@pytest.mark.parametrize(
    ("seed", "body", "headers"),
    [
        (201, {"no-log": True}, {}),
        (202, {"no-log": True, "stream": True}, {}),
        (203, {}, {"x-litellm-enable-message-redaction": "true"}),
        (204, {}, {"x-litellm-disable-callbacks": "stillwatch_litellm.stillwatch"}),
        (205, {"litellm_call_id": "same"}, {"x-litellm-call-id": "same"}),  # each is asked twice
    ],
)
def test_a_client_cannot_silence_it(world: Any, seed: int, body: Any, headers: Any) -> None:
    h, _, proxy = world
    for _ in range(2):
        assert proxy.ask("gus", seed=seed, headers=headers, **body).status_code == 200
    rows = found(h, lambda r: r["seed"] == seed, 2)
    assert all(r["prompt_words"] == 8 for r in rows)
    assert len({r["exchange_id"] for r in rows}) == len(rows)


def test_a_salvo_passes_an_allowance_by_one_answer_at_most(world: Any) -> None:
    h, _, proxy = world
    with ThreadPoolExecutor(20) as pool:
        shots = [pool.submit(proxy.ask, "lim", max_tokens=40, stream=k % 2 == 0) for k in range(20)]
        statuses = Counter(shot.result().status_code for shot in shots)
    assert statuses == {200: 3, 429: 17}, "40 tokens each of 100: the third passes it"
    until(lambda: h.beat()["held_answers"] == 0, what="all are told of")
    assert h.beat()["untold_answers"] == 0
    account = account_of("lim")
    spent = sum(r["output_tokens"] or 0 for r in found(h, lambda r: r["account"] == account, 20))
    asked = {"account": account, "model": "gpt-4o", "count": False}
    answer = httpx.post(h.url + "/decide", json=asked, headers=h.token).json()
    assert answer.get("output_tokens_left", 0) == max(0, 100 - spent), (answer, spent)


def test_streams_and_who_leaves_them(world: Any) -> None:
    h, _, proxy = world
    whole = proxy.ask("hal", seed=301, stream=True)
    assert whole.text.rstrip().endswith("[DONE]")
    row = found(h, lambda r: r["seed"] == 301)[0]
    assert (row["stream"], row["outcome"], row["status"]) == (True, "complete", 200)
    body = {"model": "gpt-4o", "seed": 302, "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
    with (
        proxy.client("hal") as client,
        client.stream(
            "POST", "/v1/chat/completions", json=body | {"extra_headers": {"x-tokens": "4000"}}
        ) as stream,
    ):
        for number, _ in enumerate(stream.iter_lines()):
            if number > 40:
                break
    row = found(h, lambda r: r["seed"] == 302)[0]
    assert row["outcome"] == "client_left"
    assert row["output_tokens"] > 0
    assert row["prompt_words"] == 8


def test_other_apis_come_too(world: Any) -> None:
    h, _, proxy = world
    with proxy.client("ida") as client:
        client.post(
            "/v1/embeddings", json={"model": "gpt-4o", "input": ["embed this short text"], "user": "e1"}
        )
        client.post(
            "/v1/messages",
            json={
                "model": "gpt-4o",
                "max_tokens": 41,
                "messages": [{"role": "user", "content": "in the words of another API"}],
            },
        )
        client.post("/v1/responses", json={"model": "gpt-4o", "input": "answer in one word please ok"})
    rows = found(h, lambda r: r["prompt_words"] in (4, 6) and r["account"] is not None, 3)
    assert {r["operation"] for r in rows} == {"embeddings", "chat"}
    assert all(r["prompt_exact"] for r in rows)


def test_without_stillwatch_bans_hold_and_good_models_go_on(tmp_path: Path) -> None:
    """Bans hold, the rest is served, exchanges are reported later, and a restarted process knows the bans."""
    with hooks(BAN) as h, Upstream() as up:
        with litellm(h, up, tmp_path / "l", STILLWATCH_QUEUE_BYTES="6000") as proxy:
            assert proxy.ask("kim", seed=501).status_code == 200
            found(h, lambda r: r["seed"] == 501)
            h.stop("hooks", 9)
            assert proxy.ask("kim", seed=502).status_code == 200
            for _ in range(9):  # more than may wait
                assert proxy.ask("kim", seed=502).status_code == 200
            assert proxy.ask("kim", "team-fast").status_code == 403
            unheard = proxy.ask("kim", "some/model-nobody-named-before")
            assert unheard.status_code == 503  # nobody knows whether it is banned
            h.start_hooks()
            waited = len(found(h, lambda r: r["seed"] == 502))
            full = until(lambda: h.folder.gaps.exists() and h.folder.gaps.read_text(), what="the first gap")
            assert 0 < waited < 10
            assert '"reason":"LiteLLM: more waited than may"' in full
            dropped = json.loads(full.splitlines()[0])["exchanges"]
            found(h, lambda r: r["seed"] != 501, 12 - dropped)  # ten were answered, two refused
            assert len(h.rows()) == 1 + 12 - dropped
            h.stop("hooks", 9)
            assert proxy.ask("kim", seed=503).status_code == 200
            time.sleep(0.1)
        with litellm(h, up, tmp_path / "l") as proxy:  # both were down; the list is in a file
            assert proxy.ask("kim", "team-fast").status_code == 403
            assert proxy.ask("kim", "gpt-4o").status_code == 200
            h.start_hooks()
            gap = until(lambda: (g := h.folder.gaps.read_text()).count("\n") > 1 and g, what="the gap")
    lines = [json.loads(line) for line in gap.splitlines()]
    assert any(
        line["exchanges"] == 1 and "before Stillwatch could be told" in line["reason"] for line in lines
    ), lines


def test_the_forms_over_http(tmp_path: Path) -> None:
    """No code of ours in LiteLLM's process: its own guardrail asks, and its own logger reports."""
    with hooks(BAN) as h, Upstream() as up, litellm(h, up, tmp_path / "l", callback=False) as proxy:
        assert proxy.ask("ned", seed=601).status_code == 200
        before = len(up.seen)
        refused = proxy.ask("ned", "deepseek-v3")
        assert 400 <= refused.status_code < 500
        assert "deepseek" in refused.text
        assert len(up.seen) == before
        row = found(h, lambda r: r["seed"] == 601)[0]
        assert row["prompt_words"] == 8
        assert (row["model"], row["status"], row["outcome"]) == ("gpt-4o", 200, "complete")
        h.stand(row["account"], Step.BLOCK)
        until(lambda: proxy.ask("ned").status_code in range(400, 500), what="the block")
        assert proxy.ask("ola").status_code == 200
        assert proxy.ask("ola", seed=602, **{"no-log": True}).status_code == 200
        found(h, lambda r: r["seed"] == 602)
