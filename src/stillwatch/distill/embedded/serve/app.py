"""The HTTP app: /v1/models, /v1/chat/completions, /v1/completions."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.responses import Response

from stillwatch.distill.embedded.serve import GenerationRequest, Piece, RequestRefused, Token, wire
from stillwatch.distill.embedded.serve.engine import Job
from stillwatch.distill.embedded.serve.served import ServedModel
from stillwatch.distill.train.wording import THINK, THOUGHT

BODY = 4 << 20  # bytes
MARK = "x-stillwatch-mark"  # as sent upstream by the gateway


class _ChoiceText:
    """One text of a request, as far as it is generated."""

    def __init__(self, index: int, opened: bool) -> None:
        self.index = index
        self.opened = opened
        self.piece = Piece("", None, 0, None)
        self.tokens: list[Token] = []
        self.sent = wire.Parts("", "")

    def reasoning_tokens(self, count: Any) -> int:
        """Return the number of reasoning tokens: those up to the mark that ends the reasoning."""
        text = self.piece.text
        if not (self.opened or text.lstrip().startswith(THINK)):
            return 0
        inside, mark, _ = text.partition(THOUGHT)
        return min(self.piece.tokens, int(count(inside + mark)))


def app(served: ServedModel) -> FastAPI:
    """Build the app around a model."""
    app = FastAPI(title="stillwatch distill teach", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/v1/models")
    async def models() -> Any:
        about = {"id": served.name, "object": "model", "created": 0, "owned_by": "stillwatch"}
        return {"object": "list", "data": [about]}

    @app.get("/health")
    async def health() -> Any:
        return {"status": "ok"}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await _answer(served, request, chat=True)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await _answer(served, request, chat=False)

    return app


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY:
            raise RequestRefused(f"the body is longer than {BODY >> 20} MiB", 413)
        parts.append(part)
    return b"".join(parts)


async def _answer(served: ServedModel, request: Request, chat: bool) -> Response:
    try:
        read = wire.read(await _body(request), chat)
        # set by the gateway in front of this server; without an owner's key it has no effect
        asks = [replace(ask, mark=request.headers.get(MARK) or None) for ask in served.asks(read, chat)]
        jobs, pieces = _submit(served, asks)
    except RequestRefused as why:
        return refusal(why)
    reasons = chat and served.engine.words.opens_reasoning(read.messages)
    choices = [_ChoiceText(i, reasons) for i in range(len(asks))]
    if read.stream:
        events = _stream(served, read, chat, asks, choices, jobs, pieces)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"cache-control": "no-cache"}
        )
    try:
        watching = asyncio.ensure_future(_wait_for_hangup(request))
        try:
            await _finish(choices, pieces, watching)
        finally:
            watching.cancel()
            for job in jobs:
                job.cancelled = True
    except RequestRefused as why:
        return refusal(why)
    return JSONResponse(_whole(served, chat, read.n, asks, choices))


async def _wait_for_hangup(request: Request) -> None:
    """Return when the client has disconnected."""
    while True:
        event = await request.receive()
        if event["type"] == "http.disconnect":
            return


def refusal(why: RequestRefused) -> JSONResponse:
    """Return an error in the shape that OpenAI's clients read."""
    kind = (
        "rate_limit_error"
        if why.status == 429
        else "server_error"
        if why.status >= 500
        else "invalid_request_error"
    )
    error = {"message": str(why), "type": kind, "param": why.param, "code": why.code}
    return JSONResponse({"error": error}, status_code=why.status)


Pieces = asyncio.Queue[tuple[int, Piece | Exception]]


def _submit(served: ServedModel, asks: list[GenerationRequest]) -> tuple[list[Job], Pieces]:
    loop = asyncio.get_running_loop()
    pieces: Pieces = asyncio.Queue()

    def hand(index: int, piece: Piece | Exception) -> None:
        with suppress(RuntimeError):  # the loop has been closed: nothing waits any more
            loop.call_soon_threadsafe(pieces.put_nowait, (index, piece))

    jobs = [Job(ask, lambda piece, i=i: hand(i, piece)) for i, ask in enumerate(asks)]  # type: ignore[misc]
    for i, job in enumerate(jobs):
        try:
            served.engine.submit(job)
        except RequestRefused:
            for earlier in jobs[:i]:
                earlier.cancelled = True
            raise
    return jobs, pieces


async def _next(choices: list[_ChoiceText], pieces: Pieces) -> _ChoiceText:
    index, piece = await pieces.get()
    if isinstance(piece, Exception):
        raise RequestRefused(f"the model could not write: {piece}", 500) from piece
    choice = choices[index]
    choice.piece = piece
    if piece.token is not None:
        choice.tokens.append(piece.token)
    return choice


async def _finish(choices: list[_ChoiceText], pieces: Pieces, gone: "asyncio.Future[None]") -> None:
    while any(choice.piece.finish is None for choice in choices):
        coming = asyncio.ensure_future(_next(choices, pieces))
        both: set[asyncio.Future[Any]] = {coming, gone}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            coming.cancel()
            raise RequestRefused("the client has gone", 499)
        coming.result()


def _usage(
    served: ServedModel, n: int, asks: list[GenerationRequest], choices: list[_ChoiceText]
) -> dict[str, Any]:
    tokenizer = served.engine.words.tokenizer

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    prompt_tokens = sum(len(ask.prompt) for ask in asks[::n])  # each prompt is billed once, whatever n is
    written = sum(choice.piece.tokens for choice in choices)
    return wire.usage(prompt_tokens, written, sum(choice.reasoning_tokens(count) for choice in choices))


def _whole(
    served: ServedModel, chat: bool, n: int, asks: list[GenerationRequest], choices: list[_ChoiceText]
) -> dict[str, Any]:
    rows = []
    for ask, choice in zip(asks, choices, strict=True):
        row: dict[str, Any] = {"index": choice.index, "finish_reason": choice.piece.finish, "logprobs": None}
        if chat:
            parts = wire.parts(choice.piece.text, served.reasoning, True, choice.opened)
            row["message"] = wire.message(parts, served.reasoning)
        else:
            row["text"] = choice.piece.text
        if ask.logprobs is not None:
            row["logprobs"] = (wire.chat_logprobs if chat else wire.completion_logprobs)(choice.tokens)
        rows.append(row)
    return {
        "id": wire.identity(chat),
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": served.name,
        "choices": rows,
        "usage": _usage(served, n, asks, choices),
    }


async def _stream(
    served: ServedModel,
    read: wire.CompletionRequest,
    chat: bool,
    asks: list[GenerationRequest],
    choices: list[_ChoiceText],
    jobs: list[Job],
    pieces: Pieces,
) -> AsyncIterator[bytes]:
    top = {
        "id": wire.identity(chat),
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": int(time.time()),
        "model": served.name,
    }

    def event(choices: list[dict[str, Any]], **fields: Any) -> bytes:
        return b"data: " + json.dumps(top | {"choices": choices} | fields).encode() + b"\n\n"

    try:
        if chat:
            for choice in choices:
                delta = {"role": "assistant", "content": ""}
                yield event(
                    [{"index": choice.index, "delta": delta, "finish_reason": None, "logprobs": None}]
                )
        while any(choice.piece.finish is None for choice in choices):
            try:
                choice = await _next(choices, pieces)
            except RequestRefused as why:
                yield (
                    b"data: "
                    + json.dumps({"error": {"message": str(why), "type": "server_error"}}).encode()
                    + b"\n\n"
                )
                return
            choice_delta = _delta(served, chat, asks[choice.index], choice)
            if choice_delta:
                yield event([choice_delta])
        if read.usage_in_stream:
            yield event([], usage=_usage(served, read.n, asks, choices))
        yield b"data: [DONE]\n\n"
    finally:
        for job in jobs:
            job.cancelled = True


def _delta(
    served: ServedModel, chat: bool, ask: GenerationRequest, choice: _ChoiceText
) -> dict[str, Any] | None:
    """Return what a text has gained since it was last sent; None if nothing."""
    piece = choice.piece
    mode = served.reasoning if chat else "inline"
    now = wire.parts(piece.text, mode, piece.finish is not None, choice.opened)
    reasoning = now.reasoning[len(choice.sent.reasoning) :]
    content = now.content[len(choice.sent.content) :]
    choice.sent = now
    row: dict[str, Any] = {"index": choice.index, "finish_reason": piece.finish, "logprobs": None}
    if chat:
        delta = {"content": content} if content else {}
        if mode == "field" and reasoning:
            delta["reasoning_content"] = reasoning
        row["delta"] = delta
    else:
        row["text"] = content
    if ask.logprobs is not None and piece.token is not None:
        row["logprobs"] = (wire.chat_logprobs if chat else wire.completion_logprobs)([piece.token])
    return row if content or reasoning or piece.finish or row["logprobs"] else None
