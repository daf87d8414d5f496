"""The gateway end to end: what passes, what is recorded, and the effects of the policy."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx2 as httpx
import pyarrow as pa
import pytest

from gateway_world import UPSTREAM_KEY, Running, gateway, until
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE
from stillwatch.gateway import heartbeat
from stillwatch.gateway.control.actions import act
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import derive
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text
from upstream import Upstream

BAN = '[[ban]]\nfamily = "deepseek"\n'
ASK = {"model": "mira", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}


def ask(g: Running, path: str = "/v1/chat/completions", headers=None, **body):
    return httpx.post(g.url + path, json={**ASK, **body}, headers={**g.auth, **(headers or {})})


@pytest.mark.slow
def test_bodies_pass_byte_for_byte_and_the_row_says_what_took_place(up: Upstream) -> None:
    with gateway(up.url) as g:
        sent = b'{"model" : "mira","messages":[{"role":"user","content":"\\u00e9 \xc3\xa9"}],  "x":{"a":1}}'
        told = {**g.auth, "content-type": "application/json", "x-unknown": "Kept As It Is"}
        reply = httpx.post(f"{g.url}/v1/chat/completions?x=%20y", content=sent, headers=told)
        seen = up.seen[-1]
        assert reply.status_code == 200
        assert seen.body == sent
        assert seen.path == "/v1/chat/completions?x=%20y"
        assert seen.header("x-unknown") == "Kept As It Is"
        assert seen.header("authorization") == f"Bearer {UPSTREAM_KEY}"
        assert reply.content == bytes(seen.sent)
        row = g.rows(1)[0]
        sketcher = Sketcher(derive(g.folder.secret(), PURPOSE))
        assert row["prompt_exact"] == sketcher(pa.array(["é é"])).exact[0]
        assert row["outcome"] == "complete"
        assert row["status"] == 200
        assert row["account"] == "acct_test"
        assert row["output_tokens"] == reply.json()["usage"]["completion_tokens"]
        assert row["prompt"] is None
        counted = g.counters()
        assert counted["commits"] >= 1
        assert 0 < counted["commit_us"] < 20_000_000  # the measurement of a slow disk in /metrics


@pytest.mark.slow
def test_a_ban_holds_at_the_door_at_every_hop_and_at_the_reply(up: Upstream) -> None:
    with gateway(up.url, BAN) as g:
        before = len(up.seen)
        for body in (
            {"model": "deepseek-r1"},
            {"model": "openrouter/DeepSeek/deepseek-chat-v3"},
            {"model": "mira", "models": ["gpt-4o", "deepseek-chat"]},
            {"model": "mira", "fallbacks": [{"model": "deepseek-v3"}]},
        ):
            reply = ask(g, **body)
            assert reply.status_code == 403, body
            assert reply.json()["error"]["code"] == "model_banned"
        reply = ask(g, "/openai/deployments/deepseek-r1/chat/completions")
        assert reply.status_code == 403
        assert len(up.seen) == before  # none went upstream
        for stream in (False, True):
            reply = ask(g, headers={"x-fault": "other-model=deepseek-v3"}, stream=stream)
            assert reply.status_code == 403, reply.text
            assert "deepseek" not in reply.text.partition("message")[0]
        rows = g.rows(7)
        assert [row["outcome"] for row in rows] == ["refused"] * 5 + ["cut"] * 2
        assert {row["rule"] for row in rows} == {"ban:deepseek"}
        assert rows[-1]["served_model"] == "deepseek-v3"


@pytest.mark.slow
def test_a_banned_upstream_gets_nothing_but_what_is_excepted(up: Upstream) -> None:
    host = urlsplit(up.url).hostname
    banned = f'[[ban]]\nfamily = "deepseek"\nhosts = ["{host}"]\n'
    excepted = (
        '[[exception]]\naccount = "acct_test"\nfamily = "deepseek"\napproved_by = "cio@example.com"\n'
        'reason = "red team"\nexpires = 2099-01-01\n'
    )
    with gateway(up.url, banned) as g:
        before = len(up.seen)
        assert ask(g).json()["error"]["code"] == "model_banned"
        assert httpx.post(g.url + "/v1/files", content=b"x", headers=g.auth).status_code == 403
        assert len(up.seen) == before
        g.folder.terms.write_text("version = 2\n" + banned + excepted)
        until(lambda: ask(g, model="deepseek-chat").status_code == 200, what="the exception")
        assert ask(g).status_code == 403  # outside the exception


@pytest.mark.slow
def test_a_hidden_model_is_not_listed(up: Upstream) -> None:
    with gateway(up.url, '[[ban]]\nfamily = "deepseek"\nmodels = ["mira-mini"]\n') as g:
        listed = httpx.get(g.url + "/v1/models", headers=g.auth).json()["data"]
        assert "mira" in {item["id"] for item in listed}
        assert "mira-mini" not in {item["id"] for item in listed}


@pytest.mark.slow
def test_standings_count_within_a_second(up: Upstream) -> None:
    with gateway(up.url) as g, ControlState(g.folder.state, g.folder.secret()) as state:
        assert ask(g).status_code == 200
        now = time.time_ns() // 1000
        act(
            state,
            [("acct_test", EnforcementStatus(Step.BLOCK, now, "test"))],
            who="test",
            why="test",
            now_us=now,
        )
        reply = until(lambda: (r := ask(g)).status_code == 403 and r, what="the block")
        assert reply.json()["error"]["code"] == "account_blocked"


@pytest.mark.slow
def test_a_stream_is_cut_when_the_budget_is_used_up(up: Upstream) -> None:
    terms = default_text().replace("[limits] ", "[limits]\noutput_tokens_per_hour = 20\n#")
    with gateway(up.url, terms) as g:
        with httpx.stream(
            "POST",
            g.url + "/v1/chat/completions",
            json={**ASK, "stream": True},
            headers={**g.auth, "x-tokens": "200"},
        ) as reply:
            events = [line for line in reply.iter_lines() if line.startswith("data:")]
        assert json.loads(events[-1][5:])["error"]["code"] == "rate_limited"
        assert len(events) < 40
        row = g.rows(1)[0]
        assert (row["outcome"], row["rule"]) == ("cut", "limits.output_tokens")
        assert 15 <= row["output_tokens"] <= 30
        refused = until(lambda: (r := ask(g)).status_code == 429 and r, what="the limit")
        assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.slow
def test_terms_are_reloaded_and_a_bad_file_changes_nothing(up: Upstream) -> None:
    with gateway(up.url) as g:
        assert ask(g, model="deepseek-r1").status_code == 200
        g.folder.terms.write_text(default_text().replace("version = 1", "version = 2") + BAN)
        until(lambda: ask(g, model="deepseek-r1").status_code == 403, what="the ban")
        g.folder.terms.write_text("version = 3\nnonsense = [")
        until(
            lambda: heartbeat.read(g.folder.run / "worker-0.json")["terms_error"],
            what="the bad file's reading",
        )
        assert ask(g, model="deepseek-r1").status_code == 403


@pytest.mark.slow
def test_texts_are_kept_only_where_the_terms_say_so(up: Upstream) -> None:
    terms = default_text().replace("text_days = 0", "text_days = 1")
    with gateway(up.url, terms) as g:
        whole = ask(g).json()["choices"][0]["message"]["content"]
        ask(g, stream=True)
        rows = g.rows(2)
        assert [row["prompt"] for row in rows] == ["Why is the sky blue?"] * 2
        assert rows[0]["completion"] == rows[1]["completion"] == whole


@pytest.mark.slow
def test_answers_are_sketched_without_their_texts_where_the_terms_say_so(up: Upstream) -> None:
    for more, kept in (("", False), ("sketch_answers = true\n", True)):
        with gateway(up.url, f"version = 1\n[retention]\ntext_days = 0\n{more}") as g:
            ask(g, max_tokens=400, headers={"x-tokens": "200"})
            ask(g, stream=True, max_tokens=400, headers={"x-tokens": "200"})
            for row in g.rows(2):
                assert row["completion"] is row["prompt"] is None
                assert (row["answered_passages"] is not None) == kept


@pytest.mark.slow
def test_a_name_that_is_no_name_fills_no_disk(up: Upstream) -> None:
    with gateway(up.url) as g:
        assert ask(g, model="m" * 100_000).status_code == 403
        (row,) = g.rows(1)
        assert (row["outcome"], len(row["model"])) == ("refused", 512)


@pytest.mark.slow
def test_what_is_asked_about_objects_of_others_is_noted_once_a_minute(up: Upstream) -> None:
    with gateway(up.url) as g:
        item = {"type": "message", "role": "user", "content": "Which bridge was built first, and by whom?"}
        for _ in range(3):
            body = {"items": [item]}
            reply = httpx.post(g.url + "/v1/conversations/conv_1/items", json=body, headers=g.auth)
            assert reply.status_code == 404
        rows = g.rows(3)
        assert {(row["outcome"], row["rule"]) for row in rows} == {("refused", "not_found")}
        words = [row["prompt_words"] for row in rows]
        assert 1 <= words.count(10) <= 2, "marks are tokens; a minute may have passed between two of them"
        assert words.count(10) + words.count(0) == 3


@pytest.mark.slow
def test_many_at_once_do_not_each_find_the_budget_unspent(up: Upstream) -> None:
    terms = "version = 1\n[limits]\noutput_tokens_per_day = 3000\n"
    with gateway(up.url, terms) as g, ThreadPoolExecutor(20) as pool:
        late = {"x-fault": "late=1.5", "x-tokens": "50"}
        found = list(pool.map(lambda _: ask(g, headers=late, max_tokens=4000).status_code, range(20)))
        assert sorted(found) == [200] + [429] * 19  # only one answer may exceed the limit
        assert ask(g, headers=late | {"x-fault": "reset"}).status_code == 502  # nothing stays reserved
        small = list(pool.map(lambda _: ask(g, headers=late, max_tokens=100).status_code, range(20)))
        assert small == [200] * 20
