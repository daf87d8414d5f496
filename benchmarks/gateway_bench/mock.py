"""An upstream that costs next to nothing: prepared replies, selected by the model's name.

`python -m gateway_bench.mock` prints its port; with CERTIFICATE and KEY as arguments it uses TLS. Each chunk
of a stream contains the time of writing (CLOCK_MONOTONIC is one clock for the whole machine), so that the
receiver can compute its delay.
"""

import asyncio
import json
import re
import ssl
import sys
import time
from typing import Any

import httptools
import uvloop

CHUNKS = 120
KINDS = {"small": 1_000, "large": 30_000}  # bytes of request and reply
STREAM = re.compile(rb"bench-stream-(\d+)")  # the number: milliseconds between chunks


def usage(output: int) -> dict[str, int]:
    return {"prompt_tokens": 200, "completion_tokens": output, "total_tokens": 200 + output}


def whole(size: int) -> bytes:
    """Return a reply of about `size` bytes, including the head, which counts one token per four bytes."""
    message = {"role": "assistant", "content": ("still water runs deep " * (size // 22 + 1))[: size - 350]}
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "bench",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": usage(size // 4),
        }
    ).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


WHOLE = {kind: whole(size) for kind, size in KINDS.items()}
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
)
FRAME = b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",'


def chunk(rest: bytes) -> bytes:
    data = b"data: " + FRAME + rest + b"}\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


FIRST = chunk(b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]')
DELTA = chunk(b'"choices":[{"index":0,"delta":{"content":"@%020d still"},"finish_reason":null}]')
DELTA = b"%x" % (int(DELTA[:2], 16) + 15) + DELTA[2:]  # the time is 15 bytes longer than its placeholder
LAST = (
    chunk(b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]')
    + chunk(b'"choices":[],"usage":' + json.dumps(usage(CHUNKS)).encode())
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class Connection(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        stream = STREAM.search(self.body)
        if stream is None:
            self.transport.write(WHOLE["large" if b"bench-large" in self.body else "small"])
        else:
            self.transport.write(STREAM_HEAD + FIRST)
            self.gap_s = int(stream[1]) / 1000
            self.next_at = self.loop.time() + self.gap_s
            self.loop.call_at(self.next_at, self.tick, 0)

    def tick(self, sent: int) -> None:
        """Send the due chunks: they keep to their schedule, so that a late one does not delay the others."""
        if self.transport.is_closing():
            return
        if sent == CHUNKS:
            self.transport.write(LAST)
            return
        self.transport.write(DELTA % time.monotonic_ns())
        self.next_at += self.gap_s
        self.loop.call_at(self.next_at, self.tick, sent + 1)


async def main(*certificate: str) -> None:
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
