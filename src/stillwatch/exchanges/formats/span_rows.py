"""Single spans, as OpenTelemetry's SDK prints them, Phoenix exports them and stores keep them: same
attributes as OTLP.

`otlp.py` decides what counts as a model call, and on the account. Attributes may be flat, or nested as in the
tables of Phoenix. Log events are not joined.

Source: ReadableSpan.to_json (opentelemetry-sdk 1.45.2); Phoenix's span schema, as its REST API and
get_spans_dataframe give it (arize.com/docs/phoenix); the Collector's clickhouseexporter, traces_table.sql,
learn.microsoft.com, AppDependencies (read 2026-11). Snowflake's event table and Jaeger's JSON from memory.
"""

from collections.abc import Iterator

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Stateless
from stillwatch.exchanges.formats.otlp import Attributes, is_model_call, to_row
from stillwatch.exchanges.mapping import lookup
from stillwatch.exchanges.messages import dig, first, from_text

PREFIX = "attributes."  # before each attribute, if spans are rows of a table
LISTS = ("llm.input_messages", "llm.output_messages", "llm.tools")
DEEP = 8


STORES = (  # a store's names of: attributes, start, trace, span, status, the resource's attributes
    ("SpanAttributes", "Timestamp", "TraceId", "SpanId", "StatusCode", "ResourceAttributes"),  # ClickHouse
    ("record_attributes", "start_timestamp", "trace.trace_id", "trace.span_id", "record.status.code",
     "resource_attributes"),  # Snowflake's event table
    ("Properties", "TimeGenerated", "OperationId", "Id", "ResultCode", "Resource"),  # Application Insights
    ("tags", "startTime", "traceID", "spanID", "status", "process.tags"),  # Jaeger
)  # fmt: skip


def store_of(obj: Json) -> tuple[str, ...] | None:
    """Return the store whose row this is."""
    return next((names for names in STORES if all(n.split(".")[0] in obj for n in names[:4])), None)


def sniff(obj: Json) -> bool:
    if "start_time" not in obj:
        return store_of(obj) is not None
    if "context.span_id" in obj:
        return any(name.startswith(PREFIX) for name in obj)
    return "attributes" in obj and "context" in obj


def rows(obj: Json) -> Iterator[Item]:
    if "start_time" not in obj and (names := store_of(obj)) is not None:
        attributes, start, trace, span_id, status, resource = (lookup(obj, name) for name in names)
        obj = {
            "attributes": _values(attributes), "start_time": start, "status_code": status,
            "context": {"trace_id": trace, "span_id": span_id}, "resource": {"attributes": _values(resource)},
        }  # fmt: skip
    attrs = span_attributes(obj)
    if not is_model_call(attrs):
        yield ASIDE
        return
    resource = dig(obj, "resource", "attributes")
    code = first(obj.get("status_code"), dig(obj, "status", "status_code"))
    span = {
        "traceId": _identity(obj, "trace_id"),
        "spanId": _identity(obj, "span_id"),
        "status": {"code": "STATUS_CODE_ERROR" if str(code).upper().endswith("ERROR") else code},
    }
    row = to_row(span, attrs, resource if isinstance(resource, dict) else {}, [])
    yield row | {"time": obj.get("start_time")}


def _values(attributes: object) -> object:
    """Return attributes by name, including where they are a list."""
    if isinstance(attributes := from_text(attributes), list):
        return {str(dig(tag, "key")): dig(tag, "value") for tag in attributes}
    return attributes


def _identity(obj: Json, name: str) -> str:
    return str(first(dig(obj, "context", name), obj.get(f"context.{name}"))).removeprefix("0x")


def span_attributes(obj: Json) -> Attributes:
    """Return a span's attributes under dotted names, messages numbered."""
    attrs: Attributes = {}
    nested = from_text(obj.get("attributes"))
    if isinstance(nested, dict):
        _flatten(attrs, "", nested, 0)
    for name, value in obj.items():
        if name.startswith(PREFIX) and value is not None:
            _flatten(attrs, name.removeprefix(PREFIX), value, 0)
    return attrs


def _flatten(attrs: Attributes, name: str, value: object, depth: int) -> None:
    inside = name.startswith(LISTS)
    if isinstance(value, dict) and depth < DEEP:
        for key, inner in value.items():
            _flatten(attrs, f"{name}.{key}" if name else str(key), inner, depth + 1)
    elif isinstance(value, list) and inside and depth < DEEP:
        for number, inner in enumerate(value):
            _flatten(attrs, f"{name}.{number}", inner, depth + 1)
    elif value is not None:
        attrs[name] = value


FORMAT = Format(name="OpenTelemetry span", order=42, sniff=sniff, open=lambda: Stateless(rows))
