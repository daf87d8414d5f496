"""A log sent through the gateway: the records equal what was sent, and scans find the same campaigns."""

import asyncio
import json
import mmap
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gateway_world import Running, free_port, gateway, until
from stillwatch.exchanges.sketched import PURPOSE
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import SECRET_BYTES, derive
from stillwatch.gateway.record import segments
from stillwatch.scan.live import LiveScan
from stillwatch.scan.pipeline import Options, run
from stillwatch.terms.load import default_text
from stillwatch.units import HOUR_US

SAMPLE = Path(__file__).parent.parent / "sample"
FIELDS = ("temperature", "top_p", "max_tokens", "n", "seed", "top_logprobs")


def body_of(row: dict[str, Any]) -> bytes:
    """Return a request with the content of a row of the record."""
    messages = [{"role": "system", "content": row["system"]}] if row["system"] else []
    messages += [{"role": "user", "content": "earlier"}] * ((row["turn"] or 1) - 1)
    messages += [{"role": "user", "content": row["prompt"] or ""}]
    body = {"model": row["model"], "messages": messages, "user": row["end_user"]}
    body |= {name: row[name] for name in FIELDS if row[name] is not None}
    if row["tools"]:
        body["tools"] = [{"type": "function"}] * row["tools"]
    if row["response_format"]:
        body["response_format"] = {"type": row["response_format"]}
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream that answers as the request's `x-answer` states: with the row's recorded answer."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()
            return
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
        fields = {name.lower(): value for name, value in fields.items()}
        request = json.loads(await reader.readexactly(int(fields["content-length"])))
        status, read_in, written, thought, reason = json.loads(fields["x-answer"])
        usage = {
            "prompt_tokens": read_in,
            "completion_tokens": written,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        choice = {"message": {"role": "assistant", "content": "x"}, "finish_reason": reason}
        body = json.dumps({"model": request["model"], "choices": [choice], "usage": usage}).encode()
        told = (
            f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(told.encode() + body)


async def replay(g: Running, port: int, rows: list[dict[str, Any]], keys: dict[str, str], clock: Any) -> None:
    """Send rows one after the other, each at its own time."""
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", g.port)
    for row in rows:
        clock[0] = int(row["time"].timestamp() * 1_000_000)
        body = body_of(row)
        status = row["status"] or 200
        answer = [
            status, row["input_tokens"], row["output_tokens"], row["reasoning_tokens"], row["finish_reason"],
        ]  # fmt: skip
        head = {
            "host": "gateway",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "authorization": f"Bearer {keys[row['account']]}",
            "user-agent": row["user_agent"] or "",
            "x-forwarded-for": row["client_ip"] or "",
            "x-answer": json.dumps(answer),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\n" + lines.encode() + b"\r\n" + body)
        told = await reader.readuntil(b"\r\n\r\n")
        assert f" {status} ".encode() in told.split(b"\r\n")[0], told
        length = next(line for line in told.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
    await writer.wait_closed()
    server.close()
    await asyncio.sleep(0.2)  # its connections end


@pytest.mark.slow
def test_a_scene_replayed_scans_to_the_campaigns_of_its_log(tmp_path: Path) -> None:
    table = pq.read_table(SAMPLE / "exchanges.parquet").sort_by("time")
    rows = table.to_pylist()
    accounts = SAMPLE / "accounts.parquet"
    port = free_port()
    clock_file = tmp_path / "clock"
    clock_file.write_bytes(int(rows[0]["time"].timestamp() * 1e6).to_bytes(8, "little"))
    with open(clock_file, "r+b") as file:
        clock = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
    terms = '[identity]\ntrusted_proxies = ["127.0.0.0/8"]\n'
    text = default_text().replace("[identity]\n", terms)
    folder = tmp_path / "folder"
    folder.mkdir()
    # the folder's secret is the key of the sketches, which decides whether an account at a group's edge
    # belongs to it
    (folder / "secret").write_bytes(bytes(range(SECRET_BYTES)))
    with gateway(f"http://127.0.0.1:{port}", text, path=folder, start=False) as g:
        with ControlState(g.folder.state, g.folder.secret()) as state:
            keys = {name: state.issue(name, now_us=1) for name in sorted({row["account"] for row in rows})}
        worker = [sys.executable, str(Path(__file__).parent / "clocked_worker.py"), str(g.folder.path), "0"]
        g.processes["worker-0"] = subprocess.Popen([*worker, str(clock_file)])
        until(g.listens, what="the worker")
        g.start("recorder")
        asyncio.run(replay(g, port, rows, keys, clock))
        got = g.settle()
        # the records equal what was sent
        assert len(got) == len(rows)
        for name in (
            "account",
            "time",
            "model",
            "client_ip",
            "user_agent",
            "output_tokens",
            "end_user",
            *FIELDS,
        ):
            assert [row[name] or None for row in got] == [row[name] or None for row in rows], name
        # the same campaigns, in one scan and by watching in pieces
        options = Options(key=derive(g.folder.secret(), PURPOSE))
        whole = run([g.folder.path], accounts=accounts, options=options)
        live = LiveScan(options, accounts=pq.read_table(accounts))
        for one in segments.all_segments(g.folder):
            part = pq.read_table(one.path)
            live.add(part)
            live.tick(0, int(pc.max(part["time"]).cast(pa.int64()).as_py()))
        last = live.tick(1, int(rows[-1]["time"].timestamp() * 1e6) // HOUR_US * HOUR_US + HOUR_US)
        plain = run([SAMPLE / "exchanges.parquet"], accounts=accounts, options=options)
        named = [
            [(c.accounts, c.alarm_at, c.p_value) for c in found.campaigns] for found in (whole, last, plain)
        ]
        assert named[0] == named[1]
        # a gateway counts new text in a system prompt as a prompt too, so alarms come hours apart
        assert {c[0] for c in named[0]} == {c[0] for c in named[2]}
        print(f"{len(rows):,} exchanges replayed, {len(whole.campaigns)} campaigns, the same three ways")
