"""A load generator in its own process: each of several connections sends its next request at once.

`python -m gateway_bench.load '{"port": …, "key": …, "kind": …, "connections": …, "requests": …}'` prints one
JSON object: latencies to the first byte and to the end, the delay of every chunk, all in microseconds as
percentiles, and the CPU seconds it used itself.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any

import httptools
import uvloop

from gateway_bench.mock import CHUNKS, KINDS

STAMP = re.compile(rb"@(\d{20})")
PERCENTILES = (50, 90, 99)


def request(kind: str, key: str) -> bytes:
    """One whole request as bytes."""
    stream = kind.startswith("stream")
    text = ("still water runs deep; " * 2_000)[: KINDS.get(kind, 1_000) - 220]
    asked: dict[str, Any] = {
        "model": f"bench-{kind}",
        "messages": [{"role": "system", "content": "Answer."}, {"role": "user", "content": text}],
        "temperature": 0.7,
        "max_tokens": 400,
    }
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    body = json.dumps(asked).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nuser-agent: bench/1\r\naccept: */*\r\n"
        b"content-type: application/json\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
        % (key.encode(), len(body), body)
    )


class Work:
    """The remaining work, and the results so far."""

    def __init__(self, port: int, data: bytes, requests: int, stream: bool) -> None:
        self.port, self.data = port, data
        self.again: set[asyncio.Future[None]] = set()
        self.left = requests
        self.open = requests
        self.stream = stream
        self.first_ns: list[int] = []
        self.whole_ns: list[int] = []
        self.chunk_ns: list[int] = []
        self.wrong: list[str] = []
        self.finished = asyncio.get_running_loop().create_future()

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Connection(self), "127.0.0.1", self.port)


class Connection(asyncio.Protocol):
    def __init__(self, work: Work) -> None:
        self.work = work

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the request in progress; the rest goes over a new connection."""
        if self.sent_ns:
            self.done(f"connection lost: {exc}")
        if self.work.left:
            self.work.again.add(asyncio.ensure_future(self.work.connect()))

    def send(self) -> None:
        if self.work.left == 0:
            self.sent_ns = 0
            return
        self.work.left -= 1
        self.parser = httptools.HttpResponseParser(self)
        self.first_ns = self.chunks = self.size = 0
        self.sent_ns = time.monotonic_ns()
        self.transport.write(self.work.data)

    def data_received(self, data: bytes) -> None:
        if not self.first_ns:
            self.first_ns = time.monotonic_ns()
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.size += len(body)
        if self.work.stream:
            now = time.monotonic_ns()
            stamps = STAMP.findall(body)
            self.chunks += len(stamps)
            self.work.chunk_ns += [now - int(stamp) for stamp in stamps]

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        wrong = "" if status == 200 else f"status {status}"
        if self.work.stream and self.chunks != CHUNKS:
            wrong = wrong or f"{self.chunks} chunks"
        self.done(wrong)

    def done(self, wrong: str) -> None:
        work, now = self.work, time.monotonic_ns()
        if wrong:
            work.wrong.append(wrong)
        work.first_ns.append(self.first_ns - self.sent_ns)
        work.whole_ns.append(now - self.sent_ns)
        self.sent_ns = 0
        work.open -= 1
        if work.open == 0 and not work.finished.done():
            work.finished.set_result(None)
        if not self.transport.is_closing():
            asyncio.get_running_loop().call_soon(self.send)


def percentiles(values: list[int]) -> dict[str, float]:
    """Return percentiles in microseconds, by nearest rank."""
    ranked = sorted(values)
    return {
        f"p{at}": ranked[min(len(ranked) - 1, len(ranked) * at // 100)] / 1000 for at in PERCENTILES if ranked
    }


async def main(asked: dict[str, Any]) -> dict[str, Any]:
    stream = asked["kind"].startswith("stream")
    work = Work(asked["port"], request(asked["kind"], asked["key"]), asked["requests"], stream)
    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(min(asked["connections"], asked["requests"])):
        await work.connect()
    await asyncio.wait_for(work.finished, asked.get("limit_s", 300))
    seconds = time.perf_counter() - begun
    return {
        "requests": asked["requests"],
        "seconds": seconds,
        "per_second": asked["requests"] / seconds,
        "first_us": percentiles(work.first_ns),
        "whole_us": percentiles(work.whole_ns),
        "chunk_us": percentiles(work.chunk_ns),
        "chunks": len(work.chunk_ns),
        "wrong": len(work.wrong),
        "wrong_examples": work.wrong[:3],
        "own_cpu_s": time.process_time() - cpu,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(json.loads(sys.argv[1])))))
