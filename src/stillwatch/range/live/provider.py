"""The provider of a live run: the embedded teacher behind OpenAI's API, in a process of its own.

A request in whose last words a clock problem stands is answered by the teacher, and the words around it are
the listener's business: 31 tokens of vocabulary would not understand them. Everything else, which is what
honest people ask, is answered with a filler of the size that the composed log says. It knows no attacker.
"""

import asyncio
import json
import re
import socket
import sys
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from stillwatch.distill.embedded.serve.app import app
from stillwatch.distill.embedded.serve.engine import Engine
from stillwatch.distill.embedded.serve.served import Served
from stillwatch.distill.embedded.teacher import teacher
from stillwatch.distill.train.models import load_to_run
from stillwatch.gateway.child import tie_to_parent

PACE_HEADER = "x-range-pace-ms"  # between two events of a stream
SIZE_HEADER = "x-range-answer"  # [status, input, output, reasoning tokens, finish_reason]: a filler's size
PROBLEM = re.compile(r"start \d(?: (?:first|then|next|after|last) [a-z]+ \d)+ \?")
FILLER = "This answer is a filler of the range."
READY = "ready"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def problem_in(text: str) -> str | None:
    """Find the clock problem in what somebody wrote.

    >>> problem_in("Quick one: start 3 first minus 8 then by 2 ? Keep your side notes in.")
    'start 3 first minus 8 then by 2 ?'
    """
    found = PROBLEM.search(text)
    return found[0] if found else None


class Provider:
    """An ASGI app before the teacher's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._apps: dict[str, Any] = {}  # the same teacher, under every name that is asked for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            asked = json.loads(body or b"{}")
        except ValueError:
            asked = {}
        if SIZE_HEADER in headers:
            await _filler(asked, json.loads(headers[SIZE_HEADER]), send)
            return
        problem = problem_in(_last_words(asked))
        if problem is None:
            await _filler(asked, [200, 20, 9, 0, "stop"], send)
            return
        asked.setdefault(
            "seed", zlib.crc32(problem.encode())
        )  # the same answer again, whoever asks beside it
        asked["messages"] = [{"role": "user", "content": problem}]
        name = str(asked.get("model") or "teacher")
        inner = self._apps.setdefault(name, app(Served(name, self._engine, "field")))
        parts = [{"type": "http.request", "body": json.dumps(asked).encode(), "more_body": False}]

        async def rewritten() -> dict[str, Any]:
            return parts.pop() if parts else await receive()

        pause_s = float(headers.get(PACE_HEADER, 0)) / 1000

        async def paced(message: dict[str, Any]) -> None:
            await send(message)
            if pause_s and message.get("more_body"):
                await asyncio.sleep(pause_s)

        await inner(scope, rewritten, paced)


def _last_words(asked: Any) -> str:
    said = [m.get("content") for m in asked.get("messages") or [] if m.get("role") == "user"]
    return said[-1] if said and isinstance(said[-1], str) else ""


async def _filler(asked: dict[str, Any], size: list[Any], send: Send) -> None:
    status, read_in, written, thought, finish = size
    usage = {
        "prompt_tokens": read_in,
        "completion_tokens": written,
        "total_tokens": (read_in or 0) + (written or 0),
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    top: dict[str, Any] = {"id": "chatcmpl-range", "created": 0, "model": asked.get("model") or "teacher"}
    if status != 200:
        error = {"message": "refused by the range's script", "type": "error", "param": None, "code": None}
        await _whole(status, "application/json", json.dumps({"error": error}).encode(), send)
    elif asked.get("stream"):
        top["object"] = "chat.completion.chunk"
        delta = {"role": "assistant", "content": FILLER}
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": finish or "stop"}]},
            {"choices": [], "usage": usage},
        ]
        lines = b"".join(b"data: " + json.dumps(top | event).encode() + b"\n\n" for event in events)
        await _whole(200, "text/event-stream", lines + b"data: [DONE]\n\n", send)
    else:
        message = {"role": "assistant", "content": FILLER}
        choices = [{"index": 0, "message": message, "finish_reason": finish or "stop"}]
        told = top | {"object": "chat.completion", "choices": choices, "usage": usage}
        await _whole(200, "application/json", json.dumps(told).encode(), send)


async def _whole(status: int, kind: str, body: bytes, send: Send) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(parent: int) -> None:
    """Serve on a free port, say which, until the parent ends."""
    import uvicorn  # here: only this process serves

    tie_to_parent(parent, "provider")
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(512)
    engine = Engine(load_to_run(str(teacher(1, lambda text: print(text, flush=True)))))
    print(f"{READY} {door.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        Provider(engine), log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=3600
    )
    uvicorn.Server(config).run(sockets=[door])


if __name__ == "__main__":
    main(int(sys.argv[1]))
