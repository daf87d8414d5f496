"""Assembles the admin port from its routes."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import stillwatch
from stillwatch.console import Deployment
from stillwatch.errors import StillwatchError
from stillwatch.gateway.admin import Desk, keys, reading, standings, terms
from stillwatch.gateway.admin.guard import Guard, allowed_hosts, answer_errors, token
from stillwatch.gateway.admin.shapes import Problem
from stillwatch.gateway.control.case_sync import Casework
from stillwatch.units import utc_us

ERRORS = {
    400: "not JSON",
    401: "no admin token, or not the right one",
    404: "there is no such thing",
    409: "it cannot be done as things stand; or they changed since `if_revision`",
    413: "too large",
    422: "not what the description asks for",
    503: "state.db cannot be written, or it or a file of the detector not be read now; or a fleet's database",
    504: "written down, but not in force on every worker within a second; the message names those",
}


class Admin(FastAPI):
    """FastAPI with a correct description of errors: they are JSON, even where other answers are not."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            for path in super().openapi()["paths"].values():
                for operation in path.values():
                    for status, answer in operation["responses"].items():
                        if int(status) in ERRORS:
                            answer["content"] = {"application/json": next(iter(answer["content"].values()))}
        return super().openapi()


def create_app(desk: Desk, casework: Casework | None = None) -> FastAPI:
    """Create the admin port's ASGI application; with casework it includes the console."""
    app = Admin(
        title="Stillwatch admin",
        version=stillwatch.__version__,
        description="Keys, standings, proposals, terms and findings of one gateway.",
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    answer_errors(app)
    inside = APIRouter(
        dependencies=[Depends(token(desk.state))],
        responses={status: {"model": Problem, "description": text} for status, text in ERRORS.items()},
    )
    for part in (keys, standings, terms, reading):
        inside.include_router(part.routes(desk))
    look = reading.HealthLook(desk)
    app.include_router(reading.open_routes(desk, look))
    app.include_router(inside)
    app.include_router(
        reading.metrics_routes(desk, look),
        dependencies=[Depends(token(desk.state, metrics=True))],
        responses={status: {"model": Problem, "description": text} for status, text in ERRORS.items()},
    )
    if casework is not None:
        app.mount(PATH, Console(casework, partial(_deployment, desk), desk.folder.path))
        for way in ("/", PATH):
            app.add_route(way, lambda _: RedirectResponse(f"{PATH}/", 303), include_in_schema=False)
    app.add_middleware(
        Guard,
        hosts=allowed_hosts(desk.settings),
        port=desk.settings.admin_port,
        is_admin=desk.state.is_admin,
        forms=PATH,
    )
    return app


PATH = "/console"


def _deployment(desk: Desk) -> Deployment:
    from stillwatch.gateway.admin.deployment import Gateway  # loads Arrow: for the console alone

    return Gateway(desk)


class Console:
    """An ASGI app that becomes the console at the first request for which it can be opened."""

    def __init__(self, casework: Casework, deployment: Callable[[], Deployment], folder: Path) -> None:
        self._casework, self._deployment, self._folder = casework, deployment, folder
        self._lock = threading.Lock()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            try:
                await run_in_threadpool(self._make)
            except StillwatchError as why:
                await PlainTextResponse(f"The console cannot be opened: {why}\n", 503)(scope, receive, send)
                return
        assert self._app is not None
        await self._app(scope, receive, send)

    def _make(self) -> None:
        # Imported here: the pages and their libraries take 60 MB, and most of the time nobody needs them.
        from stillwatch.console.app import make
        from stillwatch.console.openid import load_provider
        from stillwatch.console.settings import load_settings

        with self._lock:
            if self._app is None:
                store = self._casework.store(utc_us())
                provider, settings = load_provider(self._folder), load_settings(self._folder)
                # the admin port's guard has checked the Host
                self._app = make(store, self._deployment(), settings=settings, provider=provider)
