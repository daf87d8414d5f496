"""OTLP protobuf bytes into the objects that OTLP JSON would hold. Loaded only when such bytes are seen.

Reads plain exports, exports one after another, and the OpenTelemetry Collector's file exporter (`format:
proto`), which puts a 4-byte big-endian length before each. Needs the extra `stillwatch[otlp]`.
"""

from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from stillwatch.exchanges.formats import Refused

Piece = tuple[int, bytes, "dict[str, object] | Refused"]


def objects(chunks: Iterable[bytes], limit: int) -> Iterator[Piece]:
    """Yield (offset, bytes, object or refusal) for each top-level block; holds one block at most."""
    buffer = bytearray()
    offset = 0
    framed: bool | None = None
    for chunk in chunks:
        buffer += chunk
        if framed is None and len(buffer) >= 5:
            framed = buffer[0] != 0x0A
        while framed is not None:
            size = _block(buffer, framed)
            if size is None:
                break
            if size > limit:
                yield (
                    offset,
                    bytes(buffer[:64]),
                    Refused(f"a block of {size:,} bytes is more than one may be"),
                )
                return
            if len(buffer) < size:
                break
            raw = bytes(buffer[:size])
            yield offset, raw, _decode(raw[4:] if framed else raw)
            del buffer[:size]
            offset += size
    if buffer:
        yield offset, bytes(buffer), Refused("the file ends inside this block, or it is no OTLP")


def _block(buffer: bytearray, framed: bool) -> int | None:
    """Return the size of the first block, its frame included; None until enough bytes have come."""
    if framed:
        return None if len(buffer) < 4 else 4 + int.from_bytes(buffer[:4], "big")
    size = shift = 0
    for at in range(1, min(len(buffer), 11)):
        size |= (buffer[at] & 0x7F) << shift
        shift += 7
        if not buffer[at] & 0x80:
            return at + 1 + size
    return None if len(buffer) < 11 else 1 << 62


def _decode(raw: bytes) -> dict[str, object] | Refused:
    """Decode a block: traces if a span has a whole trace id, since logs look the same in protobuf."""
    traces = ExportTraceServiceRequest()
    if _parses(traces, raw):
        spans = [s for block in traces.resource_spans for scope in block.scope_spans for s in scope.spans]
        if any(len(span.trace_id) == 16 for span in spans):
            return _traces(traces)
    logs = ExportLogsServiceRequest()
    if not _parses(logs, raw):
        return Refused("is no OTLP protobuf, or damaged")
    if any(scope.log_records for block in logs.resource_logs for scope in block.scope_logs):
        return _logs(logs)
    return Refused("is protobuf but holds no spans and no log records")


def _parses(message: ExportTraceServiceRequest | ExportLogsServiceRequest, raw: bytes) -> bool:
    try:
        message.ParseFromString(raw)
    except (DecodeError, RecursionError):
        return False
    return True


def _traces(message: ExportTraceServiceRequest) -> dict[str, object]:
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _pairs(block.resource.attributes)},
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": span.trace_id.hex(),
                                "spanId": span.span_id.hex(),
                                "name": span.name,
                                "startTimeUnixNano": span.start_time_unix_nano,
                                "endTimeUnixNano": span.end_time_unix_nano,
                                "attributes": _pairs(span.attributes),
                                "status": {"code": int(span.status.code)},
                                "events": [
                                    {
                                        "name": event.name,
                                        "timeUnixNano": event.time_unix_nano,
                                        "attributes": _pairs(event.attributes),
                                    }
                                    for event in span.events
                                ],
                            }
                            for span in scope.spans
                        ]
                    }
                    for scope in block.scope_spans
                ],
            }
            for block in message.resource_spans
        ]
    }


def _logs(message: ExportLogsServiceRequest) -> dict[str, object]:
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _pairs(block.resource.attributes)},
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "traceId": record.trace_id.hex(),
                                "spanId": record.span_id.hex(),
                                "eventName": record.event_name,
                                "timeUnixNano": record.time_unix_nano,
                                "observedTimeUnixNano": record.observed_time_unix_nano,
                                "attributes": _pairs(record.attributes),
                                "body": _value(record.body),
                            }
                            for record in scope.log_records
                        ]
                    }
                    for scope in block.scope_logs
                ],
            }
            for block in message.resource_logs
        ]
    }


def _pairs(pairs: Iterable[KeyValue]) -> list[object]:
    return [{"key": pair.key, "value": _value(pair.value)} for pair in pairs]


def _value(value: AnyValue) -> dict[str, object] | None:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return {"arrayValue": {"values": [_value(inner) for inner in value.array_value.values]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": _pairs(value.kvlist_value.values)}}
    if kind == "bytes_value":
        return {"bytesValue": value.bytes_value.hex()}
    plain: object = getattr(value, kind)
    return {{"string_value": "stringValue", "bool_value": "boolValue", "int_value": "intValue",
             "double_value": "doubleValue"}.get(kind, kind): plain}  # fmt: skip
