"""Batches: every question in one is judged and recorded, and every answer is checked."""

import gzip
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway_world
from gateway_world import Running
from stillwatch.exchanges.operations import OPERATIONS
from stillwatch.gateway.control.actions import act
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.path.batch import (
    MOST_LINES,
    BatchRequest,
    Notes,
    TooMany,
    batch_tokens,
    begun,
    uploaded_batch,
)
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.gateway.path.request import read
from stillwatch.terms import EnforcementStatus, Step

BAN = '[[ban]]\nfamily = "deepseek"\n'
ASK = {"model": "mira", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
ANSWER = {"model": "mira", "choices": [{"message": {"content": "Rayleigh.", "reasoning": "Hm."}}]}


@contextmanager
def files_api(
    answers: str | list[str] = "",
    kind: str | list[str] = "application/octet-stream",
    took: tuple[int, str] = (200, '{"id": "1"}'),
) -> Iterator[str]:
    """An upstream that accepts any upload and returns these answers: one repeatedly, or each once."""
    each = iter(answers) if isinstance(answers, list) else repeat(answers)
    kinds = iter(kind) if isinstance(kind, list) else repeat(kind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.say(took[1].encode(), "application/json", took[0])

        def do_GET(self) -> None:
            self.say(next(each).encode(), next(kinds))

        def say(self, body: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def gateway(*args: Any, **settings: Any) -> Iterator[Running]:
    """A gateway on which one account owns every object that these tests request."""
    with gateway_world.gateway(*args, **settings) as running:
        ids = ("1", "f", "o", "p", "q", "r", "s", "t", "resp_1")
        running.own(*ids, account=settings.get("account", "acct_test"))
        yield running


def openai_lines(*bodies: dict[str, Any]) -> str:
    lines = [
        {"custom_id": f"q{k}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for k, body in enumerate(bodies)
    ]
    return "\n".join(map(json.dumps, lines))


def answered(*bodies: dict[str, Any]) -> str:
    return "".join(json.dumps({"custom_id": "q", "response": {"body": body}}) + "\n" for body in bodies)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_batch_that_names_a_banned_model_is_refused() -> None:
    bad = {**ASK, "model": "deepseek-r1"}
    with files_api() as up, gateway(up, BAN, recorder=False) as g:
        form = {"file": ("b.jsonl", openai_lines(ASK, bad))}
        assert httpx.post(g.url + "/v1/files", files=form, headers=g.auth).status_code == 403
        batch = {"requests": [{"custom_id": "a", "params": ASK}, {"custom_id": "b", "params": bad}]}
        reply = httpx.post(g.url + "/v1/messages/batches", json=batch, headers=g.auth)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "model_banned")


@pytest.mark.slow
def test_answers_of_a_banned_model_are_not_handed_out() -> None:
    lines = answered(ANSWER, {**ANSWER, "model": "deepseek-r1"})
    kinds = ["application/octet-stream", "application/x-jsonl", "application/binary", ""]
    answers = [lines] * len(kinds) + [answered(ANSWER)] * len(kinds)
    with files_api(answers, kinds * 2) as up, gateway(up, BAN, recorder=False) as g:
        for _ in kinds:
            reply = httpx.get(g.url + "/v1/files/f/content", headers=g.auth)
            assert reply.status_code == 403
            assert "Rayleigh" not in reply.text
        for _ in kinds:
            assert httpx.get(g.url + "/v1/files/f/content", headers=g.auth).text == answered(ANSWER)


@pytest.mark.slow
def test_a_file_that_merely_speaks_of_a_banned_model_passes() -> None:
    texts = ['{"model": "deepseek-r1", "score": 3}\n', "{" + "x" * (9 << 20), "PK\x03", "{", "", "\n"]
    with files_api(texts) as up, gateway(up, BAN, recorder=False) as g:
        for text in texts:
            assert httpx.get(g.url + "/v1/files/f/content", headers=g.auth).text == text


@pytest.mark.slow
def test_a_list_of_models_does_not_hold_back_what_is_fetched_later() -> None:
    """Upstreams answer with longer model names, and the request that fetches an answer names no model."""
    terms = 'version = 1\n[models]\nallow = ["gpt-4o"]\n'
    answer = json.dumps({"object": "response", "model": "gpt-4o-2024-08-06"})
    with files_api(answer, "application/json") as up, gateway(up, terms, recorder=False) as g:
        assert httpx.get(g.url + "/v1/responses/resp_1", headers=g.auth).text == answer


@pytest.mark.slow
def test_answers_are_stripped_line_by_line() -> None:
    with files_api(answered(ANSWER, ANSWER)) as up, gateway(up, recorder=False, account="acct_1") as g:
        with ControlState(g.folder.state) as state:
            now_us = 1
            act(state, [("acct_1", EnforcementStatus(Step.STRIP, now_us))], who="t", why="t", now_us=now_us)
        g.stop("worker-0")
        g.start("worker-0")
        reply = httpx.get(g.url + "/v1/files/f/content", headers=g.auth)
        assert reply.status_code == 200
        assert "Hm." not in reply.text
        assert [json.loads(line)["custom_id"] for line in reply.text.splitlines()] == ["q", "q"]


# --- the possible output of a batch, and the actual output ---

HOURLY = (
    "version = 1\n[limits]\nanswer_tokens = 1000\noutput_tokens_per_hour = 1000\n"  # 24,000 a day in batches
)


def upload(g: Running, *bodies: dict[str, Any]) -> httpx.Response:
    return httpx.post(g.url + "/v1/files", files={"file": ("b.jsonl", openai_lines(*bodies))}, headers=g.auth)


def begin(g: Running, **more: Any) -> tuple[int, str]:
    reply = httpx.post(g.url + "/v1/batches", json={"input_file_id": "1"} | more, headers=g.auth)
    return reply.status_code, "" if reply.status_code == 200 else reply.json()["error"]["code"]


@pytest.mark.slow
def test_a_batch_is_held_to_what_its_questions_allow_themselves_each_time_it_is_begun() -> None:
    with files_api() as up, gateway(up, HOURLY, recorder=False) as g:
        assert begin(g) == (403, "batch_unknown")
        assert upload(
            g, ASK | {"max_tokens": 9_000}, ASK | {"max_completion_tokens": 8_000, "n": 2}
        ).is_success
        assert begin(g) == (400, "batch_too_large")  # 25,000: more than any day's budget
        assert upload(g, ASK | {"max_tokens": 9_000}, ASK).is_success  # 1,000 for the line without a limit
        assert [begin(g), begin(g)] == [(200, ""), (200, "")]
        g.stop("worker-0")
        g.start("worker-0")
        assert begin(g) == (429, "rate_limited")  # one file, started repeatedly
        inline = {"requests": [{"custom_id": "a", "params": ASK | {"max_tokens": 5_000}}]}
        path = g.url + "/v1/messages/batches"
        assert httpx.post(path, json=inline, headers=g.auth).json()["error"]["code"] == "rate_limited"
        inline["requests"][0]["params"] = ASK | {"max_tokens": 4_000}
        assert httpx.post(path, json=inline, headers=g.auth).status_code == 200
        chat = httpx.post(g.url + "/v1/chat/completions", json=ASK, headers=g.auth)
        assert chat.status_code == 200  # output that is promised for later blocks nothing now


@pytest.mark.slow
def test_a_batch_that_the_upstream_refuses_is_not_charged() -> None:
    with files_api(took=(400, '{"id": "1"}')) as up, gateway(up, HOURLY, recorder=False) as g:
        inline = {"requests": [{"custom_id": "a", "params": ASK | {"max_tokens": 20_000}}]}
        asked = [httpx.post(g.url + "/v1/messages/batches", json=inline, headers=g.auth) for _ in range(3)]
        assert [reply.text for reply in asked] == ['{"id": "1"}'] * 3


@pytest.mark.slow
def test_answers_are_counted_once_and_billed_where_nothing_was_promised() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 600}
    lines = answered(ANSWER | {"usage": usage}, ANSWER | {"usage": usage})
    with files_api(lines) as up, gateway(up, HOURLY) as g:
        assert upload(g, ASK | {"max_tokens": 1_500}).is_success
        assert begin(g) == (200, "")
        fetch = [httpx.get(g.url + "/v1/files/o/content", headers=g.auth) for _ in range(2)]
        assert [reply.text for reply in fetch] == [lines, lines]
        assert (
            httpx.get(g.url + "/v1/files/p/content", headers=g.auth).status_code == 200
        )  # 300 were promised
        assert httpx.get(g.url + "/v1/files/q/content", headers=g.auth).status_code == 200
        assert httpx.get(g.url + "/v1/files/r/content", headers=g.auth).status_code == 429
        rows = [row for row in g.rows(7) if row["output_tokens"]]
        assert [(row["input_tokens"], row["output_tokens"]) for row in rows] == [(14, 1_200)] * 3
        assert g.counters()["output_tokens"] == 3_600


@pytest.mark.slow
def test_an_answer_that_is_worked_off_in_the_background_is_charged_before_it_comes() -> None:
    waiting = '{"id": "r", "object": "response", "background": true, "status": "queued", "usage": null}'
    done = '{"object": "response", "background": true, "status": "completed", "usage": {"output_tokens": %d}}'
    answers = [waiting, done % 900, done % 900, done % 900, "{}"]
    with (
        files_api(answers, "application/json", (200, waiting)) as up,
        gateway(up, HOURLY, recorder=False) as g,
    ):
        ask = {"model": "mira", "input": "Why?", "background": True, "max_output_tokens": 600}
        assert httpx.post(g.url + "/v1/responses", json=ask, headers=g.auth).status_code == 200
        for name in ("r", "r", "r"):  # polled: 300 more than promised, counted once
            assert httpx.get(f"{g.url}/v1/responses/{name}", headers=g.auth).status_code == 200
        assert httpx.get(f"{g.url}/v1/responses/s", headers=g.auth).status_code == 200
        assert httpx.get(f"{g.url}/v1/responses/t", headers=g.auth).status_code == 429


@pytest.mark.slow
def test_what_one_request_may_ask_for_holds_within_a_batch() -> None:
    terms = "version = 1\n[limits]\nmax_n = 2\nlogprobs = false\n"
    with files_api() as up, gateway(up, terms, recorder=False) as g:
        codes = [upload(g, ASK, ASK | more).status_code for more in ({"n": 2}, {"n": 3}, {"logprobs": True})]
        assert codes == [200, 400, 403]


@pytest.mark.slow
def test_nothing_goes_where_nobody_counts_and_no_key_comes_out() -> None:
    terms = 'version = 1\n[capture]\nunknown_paths = "refuse"\n'
    with files_api() as up, gateway(up, terms) as g:
        codes = [
            httpx.post(g.url + path, json=ASK, headers=g.auth).status_code
            for path in ("/v1/chat/completions", "/v1/swarm/tasks", "/v1/realtime/client_secrets")
        ]
        assert codes == [200, 403, 403]
        assert httpx.get(g.url + "/v1/threads/t", headers=g.auth).status_code == 200
        assert {row["rule"] for row in g.rows(4)} == {"allowed", "path_not_allowed"}


def test_a_batch_counts_by_what_the_apis_call_it() -> None:
    body = {"input_file_id": "f", "endpoint": "/v1/chat/completions"}
    assert begun(body) == BatchRequest(begins=True, files=("f",))
    assert begun({"input_files": ["f", "g"]}) == BatchRequest(begins=True, files=("f", "g"))
    assert (
        begun({"input_blob": "https://a"})
        == begun([1])
        == begun(None)
        == BatchRequest(begins=True, untold=True)
    )
    assert begun({"requests": [{"custom_id": "a", "body": {"max_tokens": 7.0}}, 3]}) == BatchRequest(
        2, 7, 1, begins=True
    )
    for path in ("/v1/batches", "/v1/messages/batches/", "/openai/batches", "/v1/batch/jobs", "/b/batches"):
        found = OPERATIONS.find("POST", path)
        assert found is not None
        assert found.does == "begins"
    for path in ("/v1/batches/b/cancel", "/v1/vector_stores/v/file_batches", "/v1/files", "/m:batchembed"):
        found = OPERATIONS.find("POST", path)
        assert found is None or found.does != "begins"
    embed = json.dumps({"custom_id": "a", "url": "/v1/embeddings", "body": {"input": "x", "max_tokens": 9}})
    assert uploaded_batch(embed.encode()) == BatchRequest(1)


@pytest.mark.slow
def test_a_question_is_one_however_its_id_is_written_and_too_many_are_refused() -> None:
    hidden = rb'{"c\u0075stom\u005fid": "a", "body": {"max_tokens": 7}}' + b"\n"
    assert uploaded_batch(hidden * 2) == BatchRequest(2, 14)
    assert uploaded_batch(b'{"custom-id": 1}') is None
    plain = hidden.strip()
    for start in (b"\xef\xbb\xbf", b"\xc2\xa0", b"\x0c", b"\xe2\x80\xa8", b"\r"):
        assert uploaded_batch(start + plain) == BatchRequest(1, 7)
    for end in (b"\r", b"\x0b", b"\x1e", b"\r\n"):
        assert uploaded_batch(end.join([plain] * 3)) == BatchRequest(3, 21)
    assert uploaded_batch(
        b"\xe2\x80\xa8".join([plain.replace(rb"\u0075", b"u").replace(rb"\u005f", b"_")] * 3)
    ) == (BatchRequest(3, 0, 3))
    for line in (hidden, b"{\n"):
        with pytest.raises(TooMany):
            uploaded_batch(hidden + line * MOST_LINES)


def test_what_nobody_means_overflows_no_counter(tmp_path: Path) -> None:
    huge = {"max_tokens": 10**18, "n": 10**18}
    body = json.dumps({"custom_id": "a", "body": huge}).encode()
    batch = uploaded_batch((body + b"\n") * 50)
    assert batch is not None
    notes, budgets = Notes(tmp_path), Budgets(tmp_path, 0, 1)
    notes.note("acct", "f", batch, 1)
    told = notes.tokens("acct", BatchRequest(begins=True, files=("f", "f")), 1_000)
    assert told is not None
    for _ in range(1_000):
        budgets.add_batch(0, 1, told)
    assert budgets.spent(0, 1).batch_tokens_day == 1_000 * told
    chat = json.dumps({"model": "m", "n": 10**18, "max_tokens": 10**18}).encode()
    facts = read("POST", "/v1/chat/completions", "application/json", "", chat, 1 << 20)
    budgets.add(0, 1, 1, (facts.most or 0) * facts.n)


def test_a_note_without_its_models_makes_no_known_file(tmp_path: Path) -> None:
    """Otherwise a batch would be accepted whose models no limit counts."""
    notes, asked = Notes(tmp_path), BatchRequest(begins=True, files=("f",))
    notes.note("acct", "other", BatchRequest(1, 7), 1, ("mira",))
    with closing(sqlite3.connect(tmp_path / "batches.db")) as db:
        refuse = "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        db.execute(f"CREATE TRIGGER full BEFORE INSERT ON models {refuse}")
    notes.note("acct", "f", BatchRequest(1, 7), 1, ("mira",))
    assert (notes.tokens("acct", asked, 1), notes.models("acct", asked)) == (None, ())


def test_notes_that_are_no_database_any_more_are_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "batches.db").write_bytes(b"nothing" * 1_000)
    notes = Notes(tmp_path)
    notes.note("acct", "f", BatchRequest(1, 7), 1)
    assert notes.tokens("acct", BatchRequest(begins=True, files=("f",)), 1) == 7
    assert Notes(tmp_path).tokens("acct", BatchRequest(begins=True, files=("f",)), 1) == 7
    assert notes.tokens("other", BatchRequest(begins=True, files=("f",)), 1) is None
    assert Notes(None).tokens("acct", BatchRequest(begins=True, files=("f",)), 1) is None


@given(
    st.binary(max_size=200), st.sampled_from([b"custom_id", b'{"custom_id":1,"body":{"n":-1}}', b'"usage"'])
)
def test_no_bytes_break_the_counting(noise: bytes, word: bytes) -> None:
    for body in (noise + b"\n" + word, word + noise, word + b"\n" + noise):
        found = uploaded_batch(body)
        assert found is None or (found.said >= 0 and found.n >= 1)
        assert min(batch_tokens(body)) >= 0


@pytest.mark.slow
def test_a_batch_counts_with_the_sets_of_its_models() -> None:
    terms = (
        'version = 1\n[[limits.models]]\nmodels = ["mira-mini"]\n'
        '[[limits.models]]\nmodels = ["mira-think"]\noutput_tokens_per_day = 1000\n'
    )

    def asks(model: str, most: int) -> dict[str, Any]:
        return {"model": model, "messages": [], "max_tokens": most}

    with files_api() as up, gateway(up, terms, recorder=False) as g:

        def inline(model: str, most: int) -> int:
            requests = [{"custom_id": "1", "params": asks(model, most)}]
            url = f"{g.url}/v1/messages/batches"
            return httpx.post(url, json={"requests": requests}, headers=g.auth).status_code

        def uploaded(*bodies: dict[str, Any]) -> int:
            files = {"file": ("q.jsonl", openai_lines(*bodies).encode())}
            data = {"purpose": "batch"}
            httpx.post(f"{g.url}/v1/files", files=files, data=data, headers=g.auth).raise_for_status()
            begin = {"input_file_id": "1", "endpoint": "/v1/chat/completions"}
            return httpx.post(f"{g.url}/v1/batches", json=begin, headers=g.auth).status_code

        assert inline("mira-think", 1001) == 400
        assert uploaded(asks("mira-think", 1001)) == 400
        assert uploaded(asks("mira-mini", 5), asks("mira-think", 1001)) == 400
        assert inline("mira-mini", 1001) == 200, "no limit of its own"
        assert uploaded(asks("mira-mini", 1001)) == 200
        assert inline("mira-think", 600) == 200
        assert uploaded(asks("mira-think", 600)) == 429
        assert uploaded(asks("mira-think", 300)) == 200
        chat = f"{g.url}/v1/chat/completions"
        assert httpx.post(chat, json=asks("mira-think", 50), headers=g.auth).status_code == 200
        assert inline("mira-think", 100) == 429, "the answer counts too"
        assert inline("mira-think", 90) == 200
        begin = {"input_file_id": "t", "endpoint": "/v1/chat/completions"}
        assert httpx.post(f"{g.url}/v1/batches", json=begin, headers=g.auth).status_code in (403, 429)
