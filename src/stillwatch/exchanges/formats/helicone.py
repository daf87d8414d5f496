"""Helicone's request exports (query API, `@helicone/export --include-body`, rows of its ClickHouse table).

Times are UTC; those of the table state no zone. Helicone's properties are not read.

Source: docs.helicone.ai/rest/request/post-v1requestquery-clickhouse; Helicone/helicone,
examples/export/typescript/index.ts (read 2026-11).
"""

from collections.abc import Iterator

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Stateless
from stillwatch.exchanges.formats.litellm import utc
from stillwatch.exchanges.formats.openai import exchange, operation_of
from stillwatch.exchanges.messages import as_object, first

NO_STATUS = "-1", "-2", "-3", "-4"  # Helicone's own: pending, cancelled and similar


def sniff(obj: Json) -> bool:
    return "request_created_at" in obj and ("request_body" in obj or "request_id" in obj)


def rows(obj: Json) -> Iterator[Item]:
    request = as_object(_body(obj.get("request_body")))
    row = exchange(request, answer_of(obj.get("response_body")))
    account = first(obj.get("request_user_id"), obj.get("user_id"), obj.get("auth_hash"))
    status = first(obj.get("response_status"), obj.get("status"))
    row |= {
        "exchange_id": obj.get("request_id"),
        "time": utc(obj.get("request_created_at")),
        "account": account,
        "operation": operation_of(obj.get("request_path"), request),
        "model": first(row["model"], obj.get("request_model"), obj.get("model"), obj.get("response_model")),
        "input_tokens": first(row["input_tokens"], obj.get("prompt_tokens")),
        "output_tokens": first(row["output_tokens"], obj.get("completion_tokens")),
        "reasoning_tokens": first(row["reasoning_tokens"], obj.get("reasoning_tokens")),
        "status": None if str(status) in NO_STATUS else status,
        "latency_ms": first(obj.get("delay_ms"), obj.get("latency")),
    }
    if account is None:
        why = "has no account: request_user_id is empty (send the header Helicone-User-Id)"
        raise Refused(why, row=row)
    yield row


def _body(value: object) -> object:
    """Decode a body; the exporter doubles quotes in its CSV once more than CSV requires."""
    return value.replace('""', '"') if isinstance(value, str) and value.startswith('{""') else value


FORMAT = Format(name="Helicone", order=50, sniff=sniff, open=lambda: Stateless(rows))
