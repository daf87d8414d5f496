"""The client's transport, bounded: no answer without end, no answer from elsewhere. It reads no answer.

A teacher is somebody else's program. One that sends bytes without end, or a few bytes that unpack to many,
would take this process's memory; one that answers with a redirect would have prompts and headers sent to an
address that nobody wrote into the plan.
"""

import zlib
from typing import Any

from stillwatch.distill.collect.reply import NotAnAnswer

LONGEST_REPLY = 20 << 20  # bytes; three times that, escaped, still is a line that the next step reads
UNPACKED = "gzip"  # the one packing asked for: zlib unpacks it up to a limit
GZIP = 31  # zlib's number for it


def bounded_client_class() -> Any:
    """The client's own transport class, which follows no redirect and reads no more than it should.

    Raises (when it sends): NotAnAnswer; the client wraps it.
    """
    import openai

    class Bounded(openai.DefaultAsyncHttpxClient):  # type: ignore[misc, valid-type, unused-ignore]
        async def send(self, request: Any, **options: Any) -> Any:
            request.headers["accept-encoding"] = UNPACKED
            response = await super().send(request, **options | {"stream": True, "follow_redirects": False})
            raw = bytearray()
            try:
                async for part in response.aiter_raw():
                    raw += part
                    if len(raw) > LONGEST_REPLY:
                        raise NotAnAnswer(f"it is longer than {LONGEST_REPLY >> 20} MiB")
            finally:
                await response.aclose()
            headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() not in _OF_THE_WIRE]
            return type(response)(
                response.status_code,
                headers=headers,
                content=unpack(bytes(raw), response.headers.get("content-encoding", "")),
                request=request,
                extensions=response.extensions,
            )

    return Bounded


_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")


def unpack(raw: bytes, packing: str) -> bytes:
    """Unpack a body. Raises: NotAnAnswer where it is too long or packed in another way.

    >>> import gzip
    >>> unpack(gzip.compress(b"42"), "gzip"), unpack(b"42", "")
    (b'42', b'42')
    """
    packing = packing.strip().lower()
    if packing in ("", "identity") or not raw:
        return raw
    if packing not in (UNPACKED, "x-gzip"):
        raise NotAnAnswer(f"it is packed as {packing[:40]!r}, which was not asked for")
    unpacking = zlib.decompressobj(GZIP)
    try:
        found = unpacking.decompress(raw, LONGEST_REPLY)
    except zlib.error as why:
        raise NotAnAnswer(f"it cannot be unpacked: {why}") from why
    if unpacking.unconsumed_tail:
        raise NotAnAnswer(f"it is longer than {LONGEST_REPLY >> 20} MiB unpacked")
    if not unpacking.eof:
        raise NotAnAnswer("it breaks off while it is unpacked")
    return found
