"""What log shippers put around a record: the record inside is opened and read as if it had come alone.

Containers (Docker, Kubernetes), CloudWatch, Google Cloud Logging, Elasticsearch, Splunk, Datadog, journald,
Loki, and API pages that hold a list. It does not know what the records inside are.
"""

from collections.abc import Iterator, Mapping
from typing import TypeGuard

from stillwatch.exchanges import json_text
from stillwatch.exchanges.formats import Json, own
from stillwatch.exchanges.formats.litellm import utc
from stillwatch.exchanges.messages import from_text

AROUND = (  # the key under which a shipper keeps the record, as an object or as JSON in a text
    "jsonPayload", "textPayload",  # Google Cloud Logging
    "_source",  # Elasticsearch, OpenSearch
    "result", "_raw", "event",  # Splunk: export, raw, HTTP event collector
    "log", "MESSAGE", "LogMessage", "line",  # Docker and Fluent Bit, journald, Azure containers, Loki
    "message", "@message",  # CloudWatch, Logstash, Vector
    "attributes",  # Datadog
)  # fmt: skip
LISTS = ("data", "logs", "records", "events", "logEvents", "results", "items", "rows", "entries", "hits")
TALK = ("messages", "contents", "choices", "content", "input", "output", "tools", "turns", "history")
OUTER_TIMES = (
    "time", "timestamp", "@timestamp", "_time", "ts", "date", "__REALTIME_TIMESTAMP", "receiveTimestamp",
)  # fmt: skip


def inside(obj: Json) -> list[object] | None:
    """The records that an object is put around, or None where it is no envelope.

    A record without a time of its own gets the shipper's: when the line was written is when it happened.
    """
    for name in LISTS:
        value = obj.get(name)
        if isinstance(value, Mapping):  # Elasticsearch's answer, Loki's
            value = value.get("hits") or value.get("result")
        if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
            value = [_cells(row) for row in value]
        if _is_records(value):
            return list(value)
    if "stream" in obj and isinstance(values := obj.get("values"), list):  # Loki: pairs of time and line
        return [{"time": pair[0], "line": pair[1]} for pair in values if _is_pair(pair)]
    body = next(_bodies(obj), None)
    if body is not None:
        return [body]
    lists = [value for name, value in obj.items() if name not in TALK and _is_records(value)]
    return list(lists[0]) if len(lists) == 1 else None


def _is_records(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list) and bool(value) and all(isinstance(record, Mapping) for record in value)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) >= 2


def _cells(row: list[object]) -> dict[object, object] | None:
    """A row as CloudWatch Insights' API gives it, a list of fields and values; None for another list."""
    cells = [cell for cell in row if isinstance(cell, dict) and {"field", "value"} <= cell.keys()]
    return {cell["field"]: cell["value"] for cell in cells} if cells and len(cells) == len(row) else None


def _bodies(obj: Json) -> Iterator[dict[str, object]]:
    for name in AROUND:
        value = from_text(obj.get(name))
        if isinstance(value, str) and (rest := json_text.after_prefix(value.encode("utf-8", "replace"))):
            value = from_text(rest.decode("utf-8", "replace"))  # the program's own words before its JSON
        if isinstance(value, dict) and value:
            if "time" not in own.columns_of(list(value)):
                time = next((obj[key] for key in OUTER_TIMES if obj.get(key) is not None), None)
                time = utc(time) if "@message" in obj else time  # CloudWatch Insights writes UTC
                value = value if time is None else {**value, "time": time}
            yield value
