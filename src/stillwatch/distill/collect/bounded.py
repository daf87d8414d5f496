"""The client's HTTP transport with limits: no endless answer, no answer from another address.

A teacher is a third party's program. One that sends bytes without end, or a few bytes that decompress to
many, would exhaust this process's memory. One that answers with a redirect would have prompts and headers
sent to an address that is not in the plan.
"""

import zlib
from typing import Any

from stillwatch.distill.collect.reply import NotAnAnswer

LONGEST_REPLY = 20 << 20  # bytes; three times that, escaped, is still a line that the next step reads
UNPACKED = "gzip"  # the only compression requested: zlib can limit its output
GZIP = 31  # zlib's code for it


def bounded_client_class() -> Any:
    """Return the client's transport class, extended to follow no redirect and to limit what it reads.

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
    """Decompress a body. Raises: NotAnAnswer if it is too long or compressed in another way.

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
