"""Adds headers to every response of an ASGI app. The admin port has its own headers."""

from collections.abc import Mapping

from starlette.types import Message, Send


def with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """Add headers to every response that lacks them."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [(name.encode(), value.encode()) for name, value in headers.items()]
            missing = [header for header in added if header[0] not in present]
            message = {**message, "headers": [*message["headers"], *missing]}
        await send(message)

    return sending
