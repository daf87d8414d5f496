"""The cost of the hooks: CPU per decision in each dialect, and rows per second from each sender.

    python benchmarks/hooks.py [--seconds 3]

Real processes on loopback. CPU is the hooks process's own, from /proc; wall figures depend on the machine's
other work.
"""

import argparse
import asyncio
import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from hooks_world import BAN, Hooked, hooks  # noqa: E402
from stillwatch.gateway.control.tables import load_tables  # noqa: E402
from stillwatch.gateway.hooks import ReportedRequest  # noqa: E402
from stillwatch.gateway.hooks.judge import Judge  # noqa: E402
from stillwatch.gateway.path.budgets import Budgets  # noqa: E402
from stillwatch.terms.load import load  # noqa: E402

CONNECTIONS = 16
TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
WORDS = "how did the keepers of a lighthouse clean the lamp and its lenses every morning " * 12


def cpu_us(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_US


def request(path: str, headers: dict[str, str], body: bytes, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def one(port: int, message: bytes, end: float, took: list[float]) -> None:
    """Send requests over one connection until the time is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        began = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(v) for k, _, v in (line.partition(b":") for line in head.lower().split(b"\r\n"))
                       if k == b"content-length"), 0)  # fmt: skip
        if length:
            await reader.readexactly(length)
        took.append(time.perf_counter() - began)
        assert head[9:12] in (b"200", b"204", b"403"), head
        if time.monotonic() >= end:
            break
    writer.close()


def drive(h: Hooked, message: bytes, seconds: float, connections: int) -> tuple[float, list[float], float]:
    """Return CPU µs of the hooks process, each request's seconds, and the wall seconds."""
    pid = h.processes["hooks"].pid

    async def all_of_them() -> list[float]:
        took: list[float] = []
        end = time.monotonic() + seconds
        await asyncio.gather(*(one(h.port, message, end, took) for _ in range(connections)))
        return took

    asyncio.run(all_of_them())  # warm-up
    before, began = cpu_us(pid), time.monotonic()
    took = asyncio.run(all_of_them())
    return cpu_us(pid) - before, sorted(took), time.monotonic() - began


def decisions(h: Hooked, seconds: float) -> None:
    auth = {"authorization": f"Bearer {h.key}", "content-type": "application/json"}
    chat = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": WORDS}]}).encode()
    ours = json.dumps({"account": "acct_test", "models": ["gpt-4o", "openai/gpt-4o"]}).encode()
    shown = {"x-original-uri": "/v1/chat/completions", "x-original-method": "POST"}
    path = "/v1/chat/completions"
    cases = {
        "json": request("/decide", h.token, ours),
        "nginx (no body)": request("/decide/nginx", {**h.token, **auth, **shown}, b"", "GET"),
        "envoy, 1.1 kB body": request(f"/decide/envoy{path}", {**h.token, **auth}, chat),
        "envoy, banned": request(
            f"/decide/envoy{path}", {**h.token, **auth}, chat.replace(b"gpt-4o", b"deepseek-v3")
        ),
        "envoy, capture": request(f"/decide/envoy;capture=yes{path}", {**h.token, **auth}, chat),
    }
    print(
        f"{'decision':22}{'CPU µs':>10}{'a second':>10}{'p50 ms':>10}{'p99 ms':>10}   (1 connection: p50 ms)"
    )
    for name, message in cases.items():
        cpu, took, wall = drive(h, message, seconds, CONNECTIONS)
        _, alone, _ = drive(h, message, seconds / 3, 1)
        p50, p99 = took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3
        figures = f"{cpu / len(took):10.1f}{len(took) / wall:10.0f}{p50:10.2f}{p99:10.2f}"
        print(f"{name:22}{figures}   {alone[len(alone) // 2] * 1e3:.3f}")


def pure(h: Hooked) -> None:
    """Measure the decision alone, without HTTP."""
    from types import SimpleNamespace

    from stillwatch.gateway.path.gate import Gate

    terms = load(h.folder.terms)
    gate: Any = SimpleNamespace(
        terms=terms, tables=load_tables(h.folder.state), budgets=Budgets(h.folder.run, 901, 1),
        _verdicts={}, now_us=lambda: time.time_ns() // 1000,
    )  # fmt: skip
    gate.verdict = lambda *given: Gate.verdict(gate, *given)
    judge = Judge(gate)
    asked = ReportedRequest("acct_test", 0, models=("gpt-4o", "openai/gpt-4o"), hosts=("api.openai.com",))
    count, began = 50_000, time.perf_counter()
    for _ in range(count):
        judge.request(asked, 1_800_000_000_000_000)
    print(f"{'the decision alone':22}{(time.perf_counter() - began) / count * 1e6:10.1f}")


def record(number: int) -> dict[str, Any]:
    now = time.time()
    return {
        "id": f"chatcmpl-{number}", "call_type": "acompletion", "status": "success", "startTime": now,
        "endTime": now + 1, "model": "openai/gpt-4o", "model_group": "gpt-4o", "stream": False,
        "metadata": {"user_api_key_hash": f"hash-{number % 500}", "user_api_key_team_id": "team"},
        "messages": [{"role": "user", "content": WORDS}], "prompt_tokens": 170, "completion_tokens": 300,
        "response": {"choices": [{"finish_reason": "stop", "message": {"content": "x" * 900}}]},
        "model_parameters": {"temperature": 0.5, "max_tokens": 400}, "requester_ip_address": "192.0.2.1",
    }  # fmt: skip


def span(number: int) -> dict[str, Any]:
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": WORDS}]}])
    found = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "user.id": f"u{number % 500}",
             "gen_ai.input.messages": said, "gen_ai.output.messages": said}  # fmt: skip
    return {
        "traceId": f"{number:032x}", "spanId": f"{number + 1:016x}", "name": "chat",
        "startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns()),
        "attributes": [
            *({"key": key, "value": {"stringValue": value}} for key, value in found.items()),
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "300"}},
        ],
    }  # fmt: skip


def told(h: Hooked, batches: int = 30, rows: int = 500) -> None:
    """Measure rows per second with one sender that waits for each answer."""
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def spans(start: int) -> dict[str, Any]:
        return {"resourceSpans": [{"scopeSpans": [{"spans": [span(start + k) for k in range(rows)]}]}]}

    def packed(start: int) -> bytes:
        import base64

        found = spans(start)
        for one in found["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            for name in ("traceId", "spanId"):
                one[name] = base64.b64encode(bytes.fromhex(one[name])).decode()
        return bytes(ParseDict(found, ExportTraceServiceRequest()).SerializeToString())

    def lines(start: int) -> bytes:
        return b"\n".join(json.dumps(record(start + k)).encode() for k in range(rows))

    plain = {"content-type": "application/json"}
    proto = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    makers: dict[str, tuple[str, dict[str, str], Callable[[int], bytes]]] = {
        "LiteLLM, NDJSON": ("/litellm/logs", plain, lines),
        "OTLP, JSON": ("/v1/traces", plain, lambda k: json.dumps(spans(k + 1_000_000)).encode()),
        "OTLP, protobuf, gzip": ("/v1/traces", proto, lambda k: gzip.compress(packed(k + 2_000_000), 1)),
    }
    print(f"\n{'told':22}{'CPU µs/row':>11}{'rows/s':>10}{'ms a batch of ' + str(rows):>22}")
    for name, (path, headers, make) in makers.items():
        messages = [request(path, h.token | headers, make(k * rows)) for k in range(batches)]
        took: list[float] = []

        async def send(messages: list[bytes] = messages, took: list[float] = took) -> None:
            for message in messages:
                await one(h.port, message, 0.0, took)

        pid = h.processes["hooks"].pid
        before, began = cpu_us(pid), time.monotonic()
        asyncio.run(send())
        wall, count = time.monotonic() - began, len(took) * rows
        figures = f"{(cpu_us(pid) - before) / count:11.1f}{count / wall:10.0f}"
        print(f"{name:22}{figures}{sorted(took)[len(took) // 2] * 1e3:22.1f}")
    print(f"\nmemory of the process: {h.beat().get('rss', 0) >> 20} MiB")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seconds", type=float, default=3.0)
    given = words.parse_args()
    with hooks(BAN, recorder=False) as h:
        decisions(h, given.seconds)
        pure(h)
        told(h)


if __name__ == "__main__":
    main()
