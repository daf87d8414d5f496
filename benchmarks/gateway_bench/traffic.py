"""Mixed traffic for the soak: every API, streams, faults, hang-ups, wrong keys; labelled by user agent.

It records requests and replies.
"""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httptools

# Relative frequencies of requests.
PATHS = {
    "/v1/chat/completions": 5,
    "/v1/responses": 2,
    "/v1/messages": 3,
    "/v1/completions": 1,
    "/v1/embeddings": 1,
}
FAULTS = {  # of the tests' upstream: streams in other forms, errors, connections that break
    "forms": "split-utf8 crlf mixed-ends multi-line comments bom no-done one-write chunked close-delimited",
    "errors": "400 429 500 502 503 529 bad-json gzip error-event other-model=mira-2 huge-headers=20000",
    "breaks": "torn torn-event reset garble close-before-head close-after-head idle-close close-on-reuse",
}


@dataclass
class Sent:
    """One request as the client saw it."""

    number: int
    path: str
    stream: bool
    fault: str
    hangs_up: bool
    wrong_key: bool
    usage: bool
    status: int = 0  # 0: no head came


@dataclass
class Traffic:
    """The requests and their replies. `limit`: requests per second, over all connections."""

    port: int
    key: str
    limit: float
    seed: int = 1
    sent: list[Sent] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def draw(self) -> tuple[Sent, bytes]:
        """Return the next request, as bytes."""
        dice, number = self.dice, len(self.sent)
        path = dice.choices(list(PATHS), list(PATHS.values()))[0]
        stream = path != "/v1/embeddings" and dice.random() < 0.5
        fault, hangs_up = "", False
        kind = dice.random()
        for upto, of in ((0.15, "forms"), (0.23, "errors"), (0.29, "breaks")):
            if kind < upto:
                fault = dice.choice(FAULTS[of].split())
                break
        else:
            if kind < 0.35:
                fault, hangs_up = "slow=0.02", True
        one = Sent(number, path, stream, fault, hangs_up, dice.random() < 0.01, dice.random() < 0.5)
        self.sent.append(one)
        return one, self.request(one)

    def request(self, one: Sent) -> bytes:
        dice = self.dice
        words = 20_000 if dice.random() < 0.02 else dice.randrange(5, 400)
        text = f"{one.number} " + " ".join(dice.choices(("still", "water", "café", "数字", "deep"), k=words))
        asked: dict[str, Any] = {
            "model": dice.choice(("mira", "mira-think", "mira-mini")),
            "temperature": 0.7,
        }
        if one.path in ("/v1/chat/completions", "/v1/messages"):
            asked["messages"] = [{"role": "user", "content": text}]
        else:
            asked["prompt" if one.path == "/v1/completions" else "input"] = text
        if one.path == "/v1/messages":
            asked["max_tokens"] = 400
        if one.stream:
            asked["stream"] = True
            if one.usage and "completions" in one.path:
                asked["stream_options"] = {"include_usage": True}
        body = json.dumps(asked, ensure_ascii=False).encode()
        lines = [
            f"POST {one.path} HTTP/1.1",
            "host: soak",
            f"user-agent: soak/{one.number}",
            f"authorization: Bearer {self.key}{'x' if one.wrong_key else ''}",
            "content-type: application/json",
            f"x-tokens: {dice.randrange(3, 120)}",
            f"x-fault: {one.fault}",
            f"content-length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def run(self, connections: int, until: float) -> None:
        """Send requests until the monotonic clock reaches `until`."""
        await asyncio.gather(*(self.caller(until, connections) for _ in range(connections)))

    async def caller(self, until: float, connections: int) -> None:
        link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.monotonic() < until:
            begun = time.monotonic()
            one, data = self.draw()
            if link is None:
                link = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            keep = await self.ask(one, data, *link)
            self.statuses[one.status] += 1
            if not keep or self.dice.random() < 0.05:
                link[1].close()
                link = None
            await asyncio.sleep(max(0.0, connections / self.limit - (time.monotonic() - begun)))
        if link:
            link[1].close()

    async def ask(
        self, one: Sent, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send one request over a connection; return whether it can be reused."""
        reply = Reply()
        parser = httptools.HttpResponseParser(reply)
        writer.write(data)
        try:
            while not reply.whole:
                got = await asyncio.wait_for(reader.read(1 << 16), 60)
                if not got:
                    return False
                parser.feed_data(got)
                one.status = parser.get_status_code()
                if one.hangs_up and reply.parts >= 3:
                    writer.transport.abort()
                    return False
        except (OSError, httptools.HttpParserError):
            return False
        return bool(parser.should_keep_alive())


class Reply:
    """The progress of a reply."""

    def __init__(self) -> None:
        self.parts, self.whole = 0, False

    def on_body(self, body: bytes) -> None:
        self.parts += 1

    def on_message_complete(self) -> None:
        self.whole = True
