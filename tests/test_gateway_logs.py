"""What an administrator sees of a running gateway: log lines, their ids in replies, times, readiness."""

import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from gateway_world import UPSTREAM_KEY, gateway, until
from stillwatch.gateway import histograms, logs, notify
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.app import create_app
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.histograms import DURATION, FIRST_TOKEN, Histograms, text_of_all
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.settings import GatewaySettings
from upstream import Upstream

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = "nobody may read this"
ASK: dict[str, Any] = {"model": "mira", "messages": [{"role": "user", "content": SECRET}]}


@pytest.mark.slow
def test_each_request_is_a_line_that_its_reply_names_and_no_line_has_a_text_or_a_key() -> None:
    terms = '[[ban]]\nfamily = "deepseek"\n'
    with Upstream() as up, gateway(up.url, terms, log_format="json", log_level="info") as g:
        url = f"{g.url}/v1/chat/completions"
        good = httpx.post(url, json=ASK, headers=g.auth | {"traceparent": PARENT})
        streamed = httpx.post(url, json=ASK | {"stream": True}, headers=g.auth)
        banned = httpx.post(url, json=ASK | {"model": "deepseek-r1"}, headers=g.auth)
        unknown = httpx.post(url, json=ASK, headers={"authorization": "Bearer sk-of-nobody"})
        httpx.get(f"{g.url}/v1/x", headers={"a": "b" * 200_000})
        until(lambda: g.stderr("worker-0").count("\n") >= 5, what="five lines")
        text = g.stderr("worker-0")
        rows = {row["exchange_id"]: row for row in g.settle()}
    assert SECRET not in text
    assert g.key not in text
    assert "sk-of-nobody" not in text
    assert UPSTREAM_KEY not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["status"] for line in lines] == [200, 200, 403, 401, 431]
    for reply, line in zip((good, streamed, banned), lines, strict=False):
        assert reply.headers["x-stillwatch-exchange"] == line["exchange"]
        assert reply.headers["traceparent"] == line["traceparent"]
        assert rows[line["exchange"]]["account"] == line["account"] == "acct_test"
    assert good.headers["traceparent"].split("-")[1] == TRACE
    assert good.headers["traceparent"] != PARENT  # a span of our own
    why = [lines[2][name] for name in ("outcome", "reason", "rule")]
    assert tuple(why) == (
        "refused",
        "model_banned",
        "ban:deepseek",
    )
    assert lines[3]["reason"] == "invalid_api_key"
    assert unknown.headers["x-request-id"] == lines[3]["traceparent"].split("-")[1]
    assert "exchange" not in lines[3]
    assert lines[0]["output_tokens"] == rows[lines[0]["exchange"]]["output_tokens"]


@pytest.mark.slow
def test_requests_make_no_lines_as_shipped() -> None:
    with Upstream() as up, gateway(up.url, recorder=False) as g:
        assert httpx.post(f"{g.url}/v1/chat/completions", json=ASK, headers=g.auth).status_code == 200
        assert g.stderr("worker-0") == ""


def test_a_trace_that_is_none_is_not_taken_up() -> None:
    for said in (
        None,
        b"",
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"x" * 500,
        PARENT.encode() + b"-y",
    ):
        found = logs.traceparent(said)
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", found)
        assert "0" * 32 not in found
    assert logs.traceparent(PARENT.encode()).startswith(f"00-{TRACE}-")


@pytest.mark.slow
def test_a_reader_that_takes_nothing_holds_up_nobody() -> None:
    with Upstream() as up, gateway(up.url, start=False, log_format="json", log_level="info") as g:
        import os
        import subprocess
        import sys

        read, write = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "stillwatch.gateway.path.worker", str(g.folder.path), "0"], stderr=write
        )
        g.processes["worker-0"] = process
        try:
            until(g.listens, what="listening")
            with httpx.Client(headers=g.auth) as client:
                for _ in range(300):  # some 150 kB: more than a pipe holds
                    assert client.get(f"{g.url}/v1/models").status_code == 200
        finally:
            os.close(read)
            os.close(write)


def test_times_are_told_in_a_bounded_number_of_series(tmp_path: Path) -> None:
    one, other = (Histograms(tmp_path / f"worker-{k}.histograms") for k in range(2))
    for k in range(5_000):
        one.observe(DURATION, "chat", f"made-up-{k}", 200, 0.3)
        one.observe(DURATION, "chat", f"made-up-{k}", 404, 0.3)
    other.observe(DURATION, "messages", "made-up-1", 200, 1_000.0)
    other.observe(FIRST_TOKEN, "messages", 'odd"\n\\', 200, 0.2)
    one.flush()
    other.flush()
    text = text_of_all(tmp_path)
    assert len(text.splitlines()) < 18 * 2 * (histograms.MOST_MODELS + 10)
    labels = 'gen_ai_operation_name="chat",gen_ai_request_model="made-up-1",http_response_status_code="200"'
    assert f'{DURATION}_bucket{{{labels},le="0.32"}} 1' in text
    assert f'{DURATION}_bucket{{{labels},le="+Inf"}} 2' in text
    assert f"{DURATION}_count{{{labels}}} 2" in text
    again = Histograms(tmp_path / "worker-0.histograms")  # a restarted worker continues with it
    again.observe(DURATION, "chat", "made-up-1", 200, 0.3)
    again.flush()
    assert f"{DURATION}_count{{{labels}}} 3" in text_of_all(tmp_path)


@pytest.mark.slow
def test_a_token_for_metrics_reads_them_and_nothing_else() -> None:
    with Upstream() as up, gateway(up.url, recorder=False) as g:
        ask = ASK | {"stream": True}
        assert httpx.post(f"{g.url}/v1/chat/completions", json=ask, headers=g.auth).status_code == 200
        until(lambda: list(g.folder.run.glob("*.histograms")), what="the file")
        with ControlState(g.folder.state, g.folder.secret()) as state:
            admin = state.admin_token(now_us=time.time_ns() // 1000)
            first = state.metrics_token(now_us=1)
            token = state.metrics_token(now_us=2)
            settings = GatewaySettings.load(g.folder.settings)
            watched = open_terms(g.folder, keeps_history=False)
            app = create_app(Desk(g.folder, settings, state, watched, Findings(g.folder)))
            client = TestClient(app, base_url=f"http://127.0.0.1:{settings.admin_port}")
            for right in (token, admin):
                text = client.get("/metrics", headers={"authorization": f"Bearer {right}"}).text
                assert 'gen_ai_request_model="mira",http_response_status_code="200"' in text
                assert f"{FIRST_TOKEN}_count" in text
                assert "stillwatch_requests_total 1" in text
            assert client.get("/metrics", headers={"authorization": f"Bearer {first}"}).status_code == 401
            assert client.get("/metrics").status_code == 401
            for path in ("/v1/events", "/v1/keys", "/v1/standings"):
                assert client.get(path, headers={"authorization": f"Bearer {token}"}).status_code == 401


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.ready()
        notify.alive()
        notify.stopping()
        assert systemd.recv(100).startswith(b"READY=1\nMAINPID=")
        assert systemd.recv(100) == b"WATCHDOG=1"
        assert systemd.recv(100).startswith(b"STOPPING=1")
    notify.alive()  # no listener: no error
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify.alive()
