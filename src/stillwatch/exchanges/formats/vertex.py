"""Vertex AI's request-response logging: rows of its BigQuery table, exported as JSON lines or Parquet.

The table names no caller. Customers are told apart by a label that your own service sets in the request, and
you name it (`--map account=full_request.labels.customer`). The older payload columns are lists of bodies as
text; the first one is used.

Source: cloud.google.com/vertex-ai/generative-ai/docs/multimodal/request-response-logging (read 2026-11); the
columns also in elastic/beats, x-pack/metricbeat/module/gcp/vertexai_logs.
"""

from collections.abc import Iterator

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.litellm import utc
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.messages import as_object, dig, first, from_text, whole


def sniff(obj: Json) -> bool:
    return "logging_time" in obj and ("full_request" in obj or "request_payload" in obj)


def rows(obj: Json) -> Iterator[Item]:
    answer = answer_of(first(obj.get("full_response"), dig(from_text(obj.get("response_payload")), 0)))
    request = as_object(first(obj.get("full_request"), dig(from_text(obj.get("request_payload")), 0)))
    row: Row = exchange(request, answer)
    model = obj.get("model")
    latency = dig(from_text(obj.get("metadata")), "request_latency")
    row |= {
        "exchange_id": obj.get("request_id"),
        "time": utc(obj.get("logging_time")),
        "account": None,
        "operation": "chat",
        "model": first(model.rsplit("/", 1)[-1] if isinstance(model, str) else None, row["model"]),
        "latency_ms": whole(str(latency)),
        "status": dig(answer, "error", "code"),
    }
    yield Refused(
        "has no account: this table names no caller. Say which label of yours does: --map "
        "account=full_request.labels.NAME",
        row=row,
    )


FORMAT = Format(name="Vertex AI", order=47, sniff=sniff, open=lambda: Stateless(rows))
