"""Unwrap what log shippers and exporters put around a record, so that the record is read as if it were alone.

Containers (Docker, Kubernetes), CloudWatch, Google Cloud Logging, Elasticsearch, Splunk, Datadog, journald,
Loki, Kafka, Kinesis, Pub/Sub, Debezium, DynamoDB, and pages of an API.
"""

import binascii
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import TypeGuard

from stillwatch.exchanges import RECORD, json_text, typed_values
from stillwatch.exchanges.formats import Json, own
from stillwatch.exchanges.formats.litellm import utc
from stillwatch.exchanges.messages import dig, first, from_text
from stillwatch.exchanges.registry import recognise

CERTAIN = (  # a key that holds a record, and a key beside it that only such an envelope has
    ("payload", "schema"),  # Kafka Connect's JSON converter
    ("payload", "topic"), ("value", "topic"),  # kcat -J, Spark's and others' dumps of a topic
    ("after", "op"),  # Debezium; a deleted row holds nothing
    ("data", "specversion"),  # CloudEvents
    ("data", "table"),  # Maxwell
    ("detail", "detail-type"),  # EventBridge
    ("Message", "TopicArn"), ("Sns", "EventSource"),  # SNS, and as Lambda gets it
    ("body", "receiptHandle"), ("Body", "ReceiptHandle"),  # SQS, as Lambda and as its API gives it
    ("kinesis", "eventSource"), ("data", "kinesisSchemaVersion"),  # Kinesis, as Lambda gets it
    ("Data", "PartitionKey"), ("data", "recordId"),  # Kinesis' API; Firehose
    ("message", "subscription"), ("message", "ackId"),  # Pub/Sub, pushed and pulled
    ("data", "messageId"), ("data", "message_id"),
    ("dynamodb", "eventName"), ("NewImage", "Keys"),  # DynamoDB's streams
    ("fields", "createTime"),  # Firestore
    ("doc", "doc_as_upsert"),  # Elasticsearch's bulk file, an update
    ("_raw", "_time"),  # Splunk, even if it lists extracted fields beside it
)  # fmt: skip
NAMED_TOO = ("detail", "_raw")  # beside these an account is Amazon's own, or the record's
AROUND = (  # keys under which shippers keep the record, as an object or as JSON text
    "jsonPayload", "textPayload",  # Google Cloud Logging
    "_source",  # Elasticsearch, OpenSearch
    "result", "_raw", "event",  # Splunk: export, raw, HTTP event collector
    "log", "MESSAGE", "LogMessage", "line", "Line",  # Docker and Fluent Bit, journald, Azure containers, Loki
    "message", "@message",  # CloudWatch, Logstash, Vector, Filebeat
    "attributes", "Properties",  # Datadog, Serilog
)  # fmt: skip
LISTS = (
    "data", "logs", "records", "Records", "events", "logEvents", "results", "items", "Items", "rows",
    "entries", "hits", "receivedMessages",  # Pub/Sub
)  # fmt: skip
TALK = ("messages", "contents", "choices", "content", "input", "output", "tools", "turns", "history")
OUTER_TIMES = (
    "time", "timestamp", "@timestamp", "_time", "ts", "date", "__REALTIME_TIMESTAMP", "receiveTimestamp",
    "Time", "Timestamp", "timeMillis", "_messagetime",  # Grafana, Serilog, Log4j, Sumo Logic
    "publishTime", "approximateArrivalTimestamp", "ApproximateArrivalTimestamp",  # Pub/Sub, Kinesis
)  # fmt: skip
PACKED = ("ey", "ew", "H4sI")  # first characters of base64 of an object, and of gzip
LARGEST = 32 << 20  # bytes of one record; gzip that unpacks to more is not one
BULK = ("index", "create", "update", "delete")  # Elasticsearch's bulk file: a line before each record


def inside(obj: Json) -> list[object] | None:
    """Return the records that an object wraps, or None if it is not an envelope.

    A record without a time of its own gets the shipper's: it was written when it happened.
    """
    if is_empty(obj):
        return []
    certain = _certain(obj)
    if certain is not None and (body := _body(obj[certain])) is not None:
        return [_with_time(body, obj)]
    if (table := _table(obj)) is not None:
        return table
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
    bodies = list(_bodies(obj))
    if bodies:
        return [next((body for body in bodies if is_whole(body)), bodies[0])]
    lists = [value for name, value in obj.items() if name not in TALK and _is_records(value)]
    if len(lists) == 1:
        return list(lists[0])
    return _renamed(obj)


def is_whole(obj: Json) -> bool:
    """Return whether this is a record of a known format; one of our own that lacks a column is not."""
    format_ = recognise(obj)
    return format_ is not None and (format_ is not own.FORMAT or own.plan_of(tuple(obj))[1] is None)


def around_part(obj: Json) -> list[object] | None:
    """Do the same for an object with some of a record's columns, only if it wraps a whole record.

    An account beside it takes precedence, since a client could write another one inside.
    """
    named = "account" in dict(own.plan_of(tuple(obj))[0]) and _certain(obj) not in NAMED_TOO
    opened = _renamed(obj) if named else inside(obj)
    is_better = opened is not None and all(isinstance(inner, dict) and is_whole(inner) for inner in opened)
    return opened if is_better else None


def is_empty(obj: Json) -> bool:
    """Return whether an envelope is empty: a deleted row, a bulk file's action, Splunk's preview rows."""
    if len(obj) == 1:
        name, value = next(iter(obj.items()))
        return name in BULK and isinstance(value, Mapping) and not {"_id", "_index"}.isdisjoint(value)
    if obj.get("preview") is True and "result" in obj:
        return True
    certain = _certain(obj)
    return (certain is not None and obj[certain] is None) or obj.get("eventName") == "REMOVE"


def _certain(obj: Json) -> str | None:
    """Return the key that certainly holds a record, or None."""
    return next((name for name, mark in CERTAIN if name in obj and mark in obj), None)


def _renamed(obj: Json) -> list[object] | None:
    """Return the record if it is an object's only content, wrapped in types, or in capitals."""
    if len(obj) == 1 and (body := _body(next(iter(obj.values())))) is not None:
        return [body]  # {"Item": …}, {"doc": …}, a table of one column
    if (plain := typed_values.plain(obj)) is not None:
        return [plain]
    capitals = [name for name in obj if name not in RECORD.names]  # except for names that the owner gave
    if capitals and all(map(str.isupper, capitals)):  # Snowflake, Oracle
        return [{name.lower(): value for name, value in obj.items()}]
    return None


def _table(obj: Json) -> list[object] | None:
    """Return the rows of a result that names its columns once: ClickHouse, BigQuery, Azure, Databricks."""
    names = first(
        obj.get("columns"), obj.get("meta"), dig(obj, "schema", "fields"),
        dig(obj, "manifest", "schema", "columns"),
    )  # fmt: skip
    places = (obj.get("rows"), obj.get("data"), dig(obj, "result", "data_array"))
    rows = next((place for place in places if isinstance(place, list)), None)
    if not isinstance(names, list) or not names or rows is None:
        return None
    columns = [name if isinstance(name, str) else dig(name, "name") for name in names]
    cells = [row if isinstance(row, list) else _values(row) for row in rows]
    if any(row is None or len(row) != len(columns) for row in cells):
        return None
    if not all(isinstance(column, str) for column in columns):
        return None
    return [dict(zip(columns, row, strict=True)) for row in cells if row is not None]


_TYPE = re.compile(  # ClickHouse's
    r"(?:U?Int\d+|B?Float\d+|String|Date|DateTime|Bool|UUID|IPv[46]|JSON|Dynamic|Date(?:32|Time(?:64)?)\b.*|"
    r"(?:FixedString|Enum\d*|Array|Map|Tuple|Nullable|LowCardinality|Decimal\d*|Object|Variant|Nested)\(.*\))$",
    re.DOTALL,
)


class NamedLists:
    """Rows as lists after a line of names, as in ClickHouse's JSONCompactEachRowWithNames(AndTypes)."""

    def __init__(self) -> None:
        self.names: list[object] | None = None  # empty: the file does not begin with them
        self.typed = False

    def take(self, values: list[object]) -> list[object] | None:
        """Return a line's row; [] if it cannot be one; None for the lines of names and types."""
        if self.names is None:
            whole = all(isinstance(value, str) for value in values) and len(set(map(str, values))) > 1
            self.names = values if whole and own.columns_of([str(value) for value in values]) else []
            return None if self.names else []
        if not self.names or len(values) != len(self.names):
            return []
        if not self.typed and all(isinstance(value, str) and _TYPE.match(value) for value in values):
            self.typed = True
            return None
        self.typed = True
        return [{str(name): value for name, value in zip(self.names, values, strict=True)}]


def _values(row: object) -> list[object] | None:
    """Return a row of BigQuery's API without its wrapping."""
    values = dig(row, "f")
    return [dig(value, "v") for value in values] if isinstance(values, list) else None


def _is_records(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list) and bool(value) and all(isinstance(record, Mapping) for record in value)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) >= 2


def _cells(row: list[object]) -> dict[object, object] | None:
    """Return a row of CloudWatch Insights' API, a list of fields and values; None for another list."""
    cells = [cell for cell in row if isinstance(cell, dict) and isinstance(cell.get("field"), str)]
    return {cell["field"]: cell.get("value") for cell in cells} if cells and len(cells) == len(row) else None


def _bodies(obj: Json) -> Iterator[dict[str, object]]:
    """Yield what may be the record, JSON texts first: an object of that name may be the shipper's own."""
    for name in sorted(AROUND, key=lambda name: isinstance(obj.get(name), Mapping)):
        if (body := _body(obj.get(name))) is not None:
            yield _with_time(body, obj)


def _body(value: object) -> dict[str, object] | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    value = from_text(_unpack(value))
    if isinstance(value, str) and (rest := json_text.after_prefix(value.encode("utf-8", "replace"))):
        value = from_text(rest.decode("utf-8", "replace"))  # the program's own words before its JSON
    return value if isinstance(value, dict) and value else None


def _unpack(value: object) -> object:
    """Decode a text that queues carry in base64, compressed or not; anything else stays as it is.

    >>> _unpack("eyJhIjogMX0="), _unpack("eyes")
    ('{"a": 1}', 'eyes')
    """
    if not isinstance(value, str) or not value.startswith(PACKED):
        return value
    try:
        data = binascii.a2b_base64(value, strict_mode=True)
        if data.startswith(b"\x1f\x8b"):
            unpacker = zlib.decompressobj(wbits=31)
            data = unpacker.decompress(data, LARGEST)
            if not unpacker.eof:
                return value
        return data.decode("utf-8")
    except (ValueError, zlib.error):  # binascii's and UTF-8's errors are ValueErrors
        return value


def _with_time(body: dict[str, object], obj: Json) -> dict[str, object]:
    """Return a body with the envelope's time if it has none of its own."""
    if "time" in own.columns_of(list(body)):
        return body
    time = next((obj[key] for key in OUTER_TIMES if obj.get(key) is not None), None)
    time = utc(time) if "@message" in obj else time  # CloudWatch Insights writes UTC
    return body if time is None else {**body, "time": time}
