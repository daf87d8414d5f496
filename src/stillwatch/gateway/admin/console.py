"""The console on the admin port. While its database or settings are unreadable it says so, and retries."""

import threading
import time
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from stillwatch.console.app import make
from stillwatch.console.openid import load_provider
from stillwatch.console.settings import load_settings
from stillwatch.errors import StillwatchError
from stillwatch.gateway.admin.deployment import Gateway
from stillwatch.gateway.control.case_sync import Casework

PATH = "/console"


class Console:
    """An ASGI app that becomes the console with the first request at which it can."""

    def __init__(self, casework: Casework, deployment: Gateway, folder: Path) -> None:
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
        with self._lock:
            if self._app is None:
                store = self._casework.store(time.time_ns() // 1000)
                provider, settings = load_provider(self._folder), load_settings(self._folder)
                # the admin port's guard has looked at the Host
                self._app = make(store, self._deployment, settings=settings, provider=provider)
