"""OTLP over HTTP: an export request as rows and pieces of rows, and the reply that the protocol requires.

`exchanges.formats.otlp` does the mapping. A span whose texts arrive as log events is a piece, which `joins`
completes. Source: opentelemetry.io/docs/specs/otlp (1.7), "OTLP/HTTP".
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import msgspec

from stillwatch.exchanges.formats import Refused, Row
from stillwatch.exchanges.formats.otlp import Otlp, PendingCall
from stillwatch.gateway.hooks import HookReply
from stillwatch.gateway.hooks.dialects import reported_object
from stillwatch.gateway.hooks.intake import check_row
from stillwatch.gateway.path.request import BadRequest

PROTOBUF = "application/x-protobuf"
KINDS = (PROTOBUF, "application/protobuf", "application/json")
NEEDS = "OTLP as protobuf needs the extra stillwatch[otlp]; install it, or export as http/json"
LONGEST_MESSAGE = 1_000


@dataclass
class Read:
    """The contents of one export request."""

    rows: list[Row] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # a reason for each span or record that makes no row
    pieces: dict[str, PendingCall] = field(default_factory=dict)  # by trace and span


def read(kind: str, body: bytes, now_us: int) -> Read:
    """Parse an export request. Raises: BadRequest if it is not one."""
    spans_read = Read()
    session = Otlp(spans_read.pieces, services=False)  # the sender can be asked to name its accounts
    for obj in _objects(kind, body):
        for item in session.take(obj, ""):
            if isinstance(item, Refused):
                spans_read.refused.append(str(item))
            elif isinstance(item, dict):
                try:
                    spans_read.rows.append(check_row(item, now_us))
                except Refused as why:
                    spans_read.refused.append(str(why))
    return spans_read


def _objects(kind: str, body: bytes) -> list[dict[str, object]]:
    if kind == "application/json":
        return [reported_object(body)]
    if not body:
        return []
    protobuf = _protobuf()
    obj = protobuf.decode(body)
    if isinstance(obj, dict):
        return [obj]
    if "holds no spans" in str(obj):
        return []
    status = 413 if str(obj) == protobuf.TOO_MANY else 400
    raise BadRequest(status, "bad_protobuf", f"the body {obj}")


def _protobuf() -> Any:
    try:
        return import_module("stillwatch.exchanges.formats.otlp_protobuf")
    except ImportError:
        raise BadRequest(415, "no_protobuf", NEEDS) from None


def intake_reply(kind: str, logs: bool, refused: list[str]) -> HookReply:
    """Return status 200, with the number and reasons of omissions."""
    message = "; ".join(dict.fromkeys(refused))[:LONGEST_MESSAGE]
    if kind == "application/json":
        name = "rejectedLogRecords" if logs else "rejectedSpans"
        body = {"partialSuccess": {name: str(len(refused)), "errorMessage": message}} if refused else {}
        return HookReply(200, msgspec.json.encode(body), ((b"content-type", b"application/json"),))
    return HookReply(200, _partial(logs, message, len(refused)), ((b"content-type", PROTOBUF.encode()),))


def _partial(logs: bool, message: str, count: int) -> bytes:
    where = "logs.v1.logs" if logs else "trace.v1.trace"
    module = import_module(f"opentelemetry.proto.collector.{where}_service_pb2")
    reply = (module.ExportLogsServiceResponse if logs else module.ExportTraceServiceResponse)()
    if count:
        part = reply.partial_success
        setattr(part, "rejected_log_records" if logs else "rejected_spans", count)
        part.error_message = message
    return bytes(reply.SerializeToString())
