"""The contents of the log's frames: an exchange's intent and its outcome.

The request's body follows the intent unchanged. The reply's (only if the policy keeps texts) follows the
outcome and comes in parts before it.
"""

import struct

import msgspec

_LENGTH = struct.Struct("<I")


class Intent(msgspec.Struct, array_like=True, gc=False):
    """Made durable before a request goes upstream."""

    time_us: int
    account: str
    key_id: str
    ip: str | None
    agent: str | None
    operation: str
    target: str  # the request target
    model: str | None  # as requested
    resolved: str | None  # after the policy's aliases
    family: str | None
    rule: str  # the deciding rule
    coding: str = ""  # the body's content encoding
    kind: str = ""  # the body's content type
    keep_text: bool = False
    end_user: str | None = None  # from a header; the recorder reads the fields of the body
    # of an upload: its offset in the file, and whether it is the last
    piece: tuple[int, bool] | None = None


class ExchangeOutcome(msgspec.Struct, array_like=True, gc=False):
    """How an exchange ended."""

    time_us: int
    outcome: str  # "complete", "client_left", "upstream_error", "cut", "refused"
    status: int  # what the client saw, or would have seen
    latency_ms: int
    delivered_bytes: int  # of the reply's body, handed to the client
    served_model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False
    finish_reason: str | None = None
    stream: bool = False
    rule: str | None = None  # the deciding rule, if other than the intent's
    part: str | None = None  # of an upload: the upstream's id of this part


_encode = msgspec.msgpack.Encoder().encode
_intent = msgspec.msgpack.Decoder(Intent).decode
_outcome = msgspec.msgpack.Decoder(ExchangeOutcome).decode


class UncapturedSpan(msgspec.Struct):
    """A span in which exchanges went uncaptured."""

    worker: int
    from_us: int
    until_us: int
    exchanges: int
    reason: str


def exchange_id(worker: int, number: int, gateway: str | None = None) -> str:
    """Return the id of an exchange that a worker has numbered. `gateway`: its name in a fleet."""
    within = f"sw{worker}-{number:x}"
    return within if gateway is None else f"{gateway}.{within}"


def pack(entry: Intent | ExchangeOutcome) -> bytes:
    """Return the bytes of an entry; the body follows them."""
    raw = _encode(entry)
    return _LENGTH.pack(len(raw)) + raw


def intent(payload: bytes | memoryview) -> tuple[Intent, bytes]:
    """Return an intent and the request's body."""
    end = 4 + _LENGTH.unpack_from(payload)[0]
    return _intent(payload[4:end]), bytes(payload[end:])


def outcome(payload: bytes | memoryview) -> tuple[ExchangeOutcome, bytes]:
    """Return an outcome and the (last part of the) reply's body."""
    end = 4 + _LENGTH.unpack_from(payload)[0]
    return _outcome(payload[4:end]), bytes(payload[end:])
