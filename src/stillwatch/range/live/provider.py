"""The provider of a live run: the embedded teacher behind OpenAI's API, in a process of its own.

The teacher answers clock problems, found in the last message or, where a question represents one, in a
header. It does not see the words around them, since its vocabulary has 31 words. Everything else, which is
what honest people ask, gets a filler of the size given by the composed log.
"""

import asyncio
import json
import re
import socket
import sys
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from stillwatch.distill.embedded.clock import WORDS
from stillwatch.distill.embedded.serve.app import app
from stillwatch.distill.embedded.serve.engine import GenerationEngine
from stillwatch.distill.embedded.serve.served import ServedModel
from stillwatch.distill.embedded.teacher import teacher
from stillwatch.distill.train.models import load_to_run
from stillwatch.gateway.child import tie_to_parent

PROBLEM_HEADER = "x-range-problem"  # the clock problem that a question represents
PACE_HEADER = "x-range-pace-ms"  # between two events of a stream
SIZE_HEADER = "x-range-answer"  # [status, input, output, reasoning tokens, finish_reason]: a filler's size
PROBLEM = re.compile(r"start \d(?: (?:first|then|next|after|last) [a-z]+ \d)+ \?")
FILLER = "This answer is a filler of the range."
READY = "ready"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def problem_in(text: str) -> str | None:
    """Find the clock problem in a text.

    >>> problem_in("Quick one: start 3 first minus 8 then by 2 ? Keep your side notes in.")
    'start 3 first minus 8 then by 2 ?'
    """
    found = PROBLEM.search(text)
    return found[0] if found else None


class Provider:
    """An ASGI app in front of the teacher's own. Without an engine it computes the answers."""

    def __init__(self, engine: GenerationEngine | None) -> None:
        self._engine = engine
        self._apps: dict[str, Any] = {}  # the same teacher, under every model name

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
            request = json.loads(body or b"{}")
        except ValueError:
            request = {}
        if SIZE_HEADER in headers:
            await _filler(request, json.loads(headers[SIZE_HEADER]), send)
            return
        problem = problem_in(headers.get(PROBLEM_HEADER) or _last_words(request))
        if problem is None:
            await _filler(request, [200, 20, 9, 0, "stop"], send)
            return
        pause_s = float(headers.get(PACE_HEADER, 0)) / 1000

        async def pace_message(message: dict[str, Any]) -> None:
            await send(message)
            if pause_s and message.get("more_body"):
                await asyncio.sleep(pause_s)

        if self._engine is None:
            reasoning, answer = solve(problem)
            count = (len(problem.split()), len(reasoning.split()) + 3, len(reasoning.split()) + 2)
            await _say(request, reasoning, answer, count, "stop", pace_message)
            return
        request.setdefault("seed", zlib.crc32(problem.encode()))  # the same request, with the caller added
        request["messages"] = [{"role": "user", "content": problem}]
        name = str(request.get("model") or "teacher")
        inner = self._apps.setdefault(name, app(ServedModel(name, self._engine, "field")))
        parts = [{"type": "http.request", "body": json.dumps(request).encode(), "more_body": False}]

        async def receive_rewritten() -> dict[str, Any]:
            return parts.pop() if parts else await receive()

        await inner(scope, receive_rewritten, pace_message)


def _last_words(request: Any) -> str:
    texts = [m.get("content") for m in request.get("messages") or [] if m.get("role") == "user"]
    return texts[-1] if texts and isinstance(texts[-1], str) else ""


def solve(problem: str) -> tuple[str, str]:
    """Solve a clock problem: its steps and its answer.

    >>> solve("start 3 first minus 8 then by 2 ?")
    ('first 3 - 8 = 5 then 5 * 2 = 0', '0')
    """
    words = problem.split()
    at, worked = int(words[1]), []
    for name, word, number in zip(words[2:-1:3], words[3:-1:3], words[4:-1:3], strict=True):
        sign, by = next((s for s, known in WORDS.items() if word in known), "+"), int(number)
        to = (at + by if sign == "+" else at - by if sign == "-" else at * by) % 10
        worked.append(f"{name} {at} {sign} {by} = {to}")
        at = to
    return " ".join(worked), str(at)


async def _filler(request: dict[str, Any], size: list[Any], send: Send) -> None:
    status, read_in, written, thought, finish = size
    if status != 200:
        error = {"message": "refused by the range's script", "type": "error", "param": None, "code": None}
        await _whole(status, json.dumps({"error": error}).encode(), send)
    else:
        await _say(request, "", FILLER, (read_in or 0, written or 0, thought or 0), finish or "stop", send)


async def _say(
    request: dict[str, Any],
    reasoning: str,
    answer: str,
    tokens: tuple[int, int, int],
    finish: str,
    send: Send,
) -> None:
    """Answer with these words; as a stream if requested, each word of the reasoning an event."""
    usage = {
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "total_tokens": tokens[0] + tokens[1],
        "completion_tokens_details": {"reasoning_tokens": tokens[2]},
    }
    top: dict[str, Any] = {"id": "chatcmpl-range", "created": 0, "model": request.get("model") or "teacher"}
    if not request.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": answer}
        message |= {"reasoning_content": reasoning} if reasoning else {}
        choices: list[dict[str, Any]] = [{"index": 0, "message": message, "finish_reason": finish}]
        reply = top | {"object": "chat.completion", "choices": choices, "usage": usage}
        await _whole(200, json.dumps(reply).encode(), send)
        return
    top["object"] = "chat.completion.chunk"
    deltas = [*({"reasoning_content": f"{word} "} for word in reasoning.split()), {"content": answer}]
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    events.append({"choices": [], "usage": usage})
    kind = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": kind})
    for event in events:
        line = b"data: " + json.dumps(top | event).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": line, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _whole(status: int, body: bytes, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(parent: int, which: str) -> None:
    """Serve on a free port, print it, until the parent ends."""
    import uvicorn  # here, since only this process serves

    tie_to_parent(parent, "provider")
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(512)
    engine = None
    if which == "embedded":
        engine = GenerationEngine(load_to_run(str(teacher(1, lambda text: print(text, flush=True)))))
    print(f"{READY} {door.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        Provider(engine), log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=3600
    )
    uvicorn.Server(config).run(sockets=[door])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
