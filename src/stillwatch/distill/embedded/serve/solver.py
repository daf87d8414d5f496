"""SymPy behind OpenAI's chat API, so that collecting can ask it like any teacher. It has no tokens.

The steps go into `reasoning_content`. Its token counts are words and signs, by a rule of its own.
"""

import re
import time
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from stillwatch.distill import DistillError
from stillwatch.distill.embedded import SOLVER
from stillwatch.distill.embedded.calculus import solve
from stillwatch.distill.embedded.serve import RequestRefused, wire
from stillwatch.distill.embedded.serve.app import refusal

PIECES = re.compile(r"[a-z]+|\S", re.IGNORECASE)


def solver_app() -> FastAPI:
    """Build the app. It answers the last message, one choice, whole."""
    app = FastAPI(title="stillwatch distill solver", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        try:
            return JSONResponse(_answer(wire.read(await request.body(), chat=True)))
        except RequestRefused as why:
            return refusal(why)
        except DistillError as why:
            return refusal(RequestRefused(str(why), param="messages"))

    return app


def _answer(read: wire.CompletionRequest) -> dict[str, Any]:
    if read.model not in ("", SOLVER) or read.stream or read.n > 1 or read.logprobs is not None:
        raise RequestRefused(f"{SOLVER} gives one whole answer, without logprobs, under this name")
    steps, answer = solve(read.messages[-1]["content"])
    prompt_tokens = sum(_count(message["content"]) for message in read.messages)
    return {
        "id": wire.identity(chat=True),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": SOLVER,
        "choices": [
            {
                "index": 0,
                "message": wire.message(wire.Parts(steps, answer), "field"),
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": wire.usage(prompt_tokens, _count(steps) + _count(answer), _count(steps)),
    }


def _count(text: str) -> int:
    return len(PIECES.findall(text))
