"""Serves a local model behind an OpenAI-compatible API: for a person, or while a run uses it."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from stillwatch.distill import DistillError
from stillwatch.distill.embedded import SOLVER
from stillwatch.distill.embedded.serve import REASONING
from stillwatch.distill.embedded.serve.app import app
from stillwatch.distill.embedded.serve.engine import GenerationEngine
from stillwatch.distill.embedded.serve.served import ServedModel
from stillwatch.distill.embedded.serve.solver import solver_app
from stillwatch.distill.embedded.teacher import teacher
from stillwatch.distill.train import CLOCK
from stillwatch.distill.train.models import load_to_run
from stillwatch.watermark.keys import Owner

Say = Callable[[str], None]


def _nothing(_: str) -> None:
    """Report nothing."""


def load_served(
    model: str | Path, reasoning: str, seed: int, say: Say, owner: Owner | None = None
) -> ServedModel:
    """Load a model (`clock`, a folder, a GGUF file) and start its engine. Raises: DistillError."""
    if reasoning not in REASONING:
        raise DistillError(f"reasoning is {reasoning!r}; it can be {', '.join(REASONING)}")
    if str(model) == CLOCK:
        name, place = "clock-teacher", str(teacher(seed, say))
    else:
        name, place = Path(model).resolve().name, str(model)
    return ServedModel(name, GenerationEngine(load_to_run(place), owner), reasoning)


def serve(
    model: str | Path = CLOCK,
    *,
    host: str = "127.0.0.1",
    port: int = 8089,
    reasoning: str = "field",
    seed: int = 1,
    say: Say = _nothing,
    owner: Owner | None = None,
) -> None:
    """Serve a model until Ctrl-C; with an owner, requests that name a mark are answered with it.

    Raises: DistillError if it cannot be loaded or the port is taken.
    """
    listening = _listen(host, port)
    behind = load_served(model, reasoning, seed, say, owner)
    say(f"{behind.name} is served at {_url(listening)}")
    try:
        _server(app(behind)).run(sockets=[listening])
    finally:
        behind.engine.close()


@contextlib.contextmanager
def start_server(
    model: str | Path = CLOCK, *, reasoning: str = "field", say: Say = _nothing, owner: Owner | None = None
) -> Iterator[str]:
    """Serve a model, or SymPy, in a thread of this process while the block lasts; yield the base URL."""
    listening = _listen("127.0.0.1", 0)
    behind = None if model == SOLVER else load_served(model, reasoning, 1, say, owner)
    server = _server(solver_app() if behind is None else app(behind))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise DistillError("the server for the teacher did not start")
            time.sleep(0.01)
        yield _url(listening)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        if behind is not None:
            behind.engine.close()


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except OSError as why:
        listening.close()
        raise DistillError(f"cannot listen on {host}:{port}: {why.strerror}") from why
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def _server(serving: FastAPI) -> Any:
    return uvicorn.Server(uvicorn.Config(serving, log_level="warning", access_log=False, lifespan="off"))
