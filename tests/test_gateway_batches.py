"""Batches: the cheapest way out. Every question in one is judged and recorded, every answer looked at."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import Any

import httpx2 as httpx
import pytest

from gateway_world import gateway
from stillwatch.gateway.control.actions import act
from stillwatch.gateway.control.state import State
from stillwatch.terms import Standing, Step

BAN = '[[ban]]\nfamily = "deepseek"\n'
ASK = {"model": "mira", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
ANSWER = {"model": "mira", "choices": [{"message": {"content": "Rayleigh.", "reasoning": "Hm."}}]}


@contextmanager
def files_api(answers: str | list[str] = "", kind: str = "application/octet-stream") -> Iterator[str]:
    """An upstream that takes any upload, and hands out these answers: one again and again, or each once."""
    each = iter(answers) if isinstance(answers, list) else repeat(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.say(b'{"id": "1"}', "application/json")

        def do_GET(self) -> None:
            self.say(next(each).encode(), kind)

        def say(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def openai_lines(*bodies: dict[str, Any]) -> str:
    lines = [
        {"custom_id": f"q{k}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for k, body in enumerate(bodies)
    ]
    return "\n".join(map(json.dumps, lines))


def answered(*bodies: dict[str, Any]) -> str:
    return "".join(json.dumps({"custom_id": "q", "response": {"body": body}}) + "\n" for body in bodies)


def test_a_batch_is_as_many_questions() -> None:
    terms = BAN + "[retention]\ntext_days = 1\n"
    with files_api() as up, gateway(up, "version = 1\n" + terms) as g:
        url, auth = g.url, g.auth
        content = openai_lines(ASK, ASK).replace("\n", "\n ")  # a blank before a line hides nothing
        form = {"files": {"file": ("b.jsonl", content)}, "data": {"purpose": "batch"}}
        assert httpx.post(url + "/v1/files", headers=auth, **form).status_code == 200  # type: ignore[arg-type]
        zipped = {**auth, "content-encoding": "gzip"}
        body = gzip.compress(content.encode())
        assert httpx.post(url + "/v1/files", content=body, headers=zipped).status_code == 200
        batch = {"requests": [{"custom_id": "a", "params": ASK}, {"custom_id": "b", "params": ASK}]}
        assert httpx.post(url + "/v1/messages/batches", json=batch, headers=auth).status_code == 200
        rows = g.rows(9)
        asked = [row for row in rows if row["prompt"] is not None]
        assert [row["prompt"] for row in asked] == ["Why is the sky blue?"] * 6
        assert {row["model"] for row in asked} == {"mira"}
        assert {row["operation"] for row in asked} == {"chat"}
        assert len({row["exchange_id"] for row in rows}) == 9


def test_a_batch_that_names_a_banned_model_is_refused() -> None:
    bad = {**ASK, "model": "deepseek-r1"}
    with files_api() as up, gateway(up, BAN, recorder=False) as g:
        form = {"file": ("b.jsonl", openai_lines(ASK, bad))}
        assert httpx.post(g.url + "/v1/files", files=form, headers=g.auth).status_code == 403
        batch = {"requests": [{"custom_id": "a", "params": ASK}, {"custom_id": "b", "params": bad}]}
        reply = httpx.post(g.url + "/v1/messages/batches", json=batch, headers=g.auth)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "model_banned")


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "application/x-jsonl", "application/binary", ""]
)
def test_answers_of_a_banned_model_are_not_handed_out(kind: str) -> None:
    lines = answered(ANSWER, {**ANSWER, "model": "deepseek-r1"})
    with files_api(lines, kind) as up, gateway(up, BAN, recorder=False) as g:
        reply = httpx.get(g.url + "/v1/files/f/content", headers=g.auth)
        assert reply.status_code == 403
        assert "Rayleigh" not in reply.text
    with files_api(answered(ANSWER), kind) as up, gateway(up, BAN, recorder=False) as g:
        assert httpx.get(g.url + "/v1/files/f/content", headers=g.auth).text == answered(ANSWER)


def test_a_file_that_merely_speaks_of_a_banned_model_passes() -> None:
    texts = ['{"model": "deepseek-r1", "score": 3}\n', "{" + "x" * (9 << 20), "PK\x03", "{", "", "\n"]
    with files_api(texts) as up, gateway(up, BAN, recorder=False) as g:
        for text in texts:
            assert httpx.get(g.url + "/v1/files/f/content", headers=g.auth).text == text


def test_a_list_of_models_does_not_hold_back_what_is_fetched_later() -> None:
    """Upstreams answer with longer names, and the request that fetches names none."""
    terms = 'version = 1\n[models]\nallow = ["gpt-4o"]\n'
    answer = json.dumps({"object": "response", "model": "gpt-4o-2024-08-06"})
    with files_api(answer, "application/json") as up, gateway(up, terms, recorder=False) as g:
        assert httpx.get(g.url + "/v1/responses/resp_1", headers=g.auth).text == answer


def test_answers_are_stripped_line_by_line() -> None:
    with files_api(answered(ANSWER, ANSWER)) as up, gateway(up, recorder=False, account="acct_1") as g:
        with State(g.folder.state) as state:
            now_us = 1
            act(state, [("acct_1", Standing(Step.STRIP, now_us))], who="t", why="t", now_us=now_us)
        g.stop("worker-0")
        g.start("worker-0")
        reply = httpx.get(g.url + "/v1/files/f/content", headers=g.auth)
        assert reply.status_code == 200
        assert "Hm." not in reply.text
        assert [json.loads(line)["custom_id"] for line in reply.text.splitlines()] == ["q", "q"]
