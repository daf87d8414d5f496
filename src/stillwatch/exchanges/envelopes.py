"""What log shippers put around a record: the record inside is opened and read as if it had come alone.

Containers (Docker, Kubernetes), CloudWatch, Google Cloud Logging, Elasticsearch, Splunk, Datadog, journald,
Loki, and API pages that hold a list. It does not know what the records inside are.
"""

from collections.abc import Iterator, Mapping

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
OUTER_TIMES = (
    "time", "timestamp", "@timestamp", "_time", "ts", "date", "__REALTIME_TIMESTAMP", "receiveTimestamp",
)  # fmt: skip


def inside(obj: Json) -> list[object] | None:
    """The records that an object is put around, or None where it is no envelope.

    A record without a time of its own gets the shipper's: when the line was written is when it happened.
    """
    for name in LISTS:
        value = obj.get(name)
        if isinstance(value, Mapping) and isinstance(value.get("hits"), list):
            value = value["hits"]
        if isinstance(value, list) and value and all(isinstance(record, Mapping) for record in value):
            return list(value)
    body = next(_bodies(obj), None)
    return None if body is None else [body]


def _bodies(obj: Json) -> Iterator[dict[str, object]]:
    for name in AROUND:
        value = from_text(obj.get(name))
        if isinstance(value, dict) and value:
            if "time" not in own.columns_of(list(value)):
                time = next((obj[key] for key in OUTER_TIMES if obj.get(key) is not None), None)
                time = utc(time) if "@message" in obj else time  # CloudWatch Insights writes UTC
                value = value if time is None else {**value, "time": time}
            yield value
