"""Cloudflare's AI Gateway: Logpush (`ai_gateway_events`) and the logs of its API.

Neither names the account. Customers are told apart by metadata that your own service sends with each request,
and you name it (`--map account=Metadata.customer`). Logpush encrypts bodies, and the API lists logs without
them: such rows count for volume and timing. Nothing is decrypted.

Source: developers.cloudflare.com/logs/logpush/logpush-job/datasets/account/ai_gateway_events and
developers.cloudflare.com/api/resources/ai_gateway/subresources/logs (read 2026-11).
"""

from collections.abc import Iterator

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.openai import exchange, operation_of
from stillwatch.exchanges.messages import as_object, dig, first

NAMES = {  # field of the record -> its name in Logpush, in the API
    "exchange_id": ("id",),
    "time": ("Timestamp", "created_at"),
    "model": ("RequestedModel", "model", "Model"),
    "status": ("StatusCode", "status_code"),
    "input_tokens": ("tokens_in",),
    "output_tokens": ("tokens_out",),
    "latency_ms": ("duration",),
}


def sniff(obj: Json) -> bool:
    logpush = "Gateway" in obj and "Provider" in obj and "Timestamp" in obj
    return logpush or {"provider", "tokens_in", "tokens_out", "created_at"} <= obj.keys()


def rows(obj: Json) -> Iterator[Item]:
    request = _body(first(obj.get("RequestBody"), obj.get("request"), obj.get("request_head")))
    answer = answer_of(first(obj.get("ResponseBody"), obj.get("response"), obj.get("response_head")))
    row: Row = exchange(request, answer)
    row |= {name: first(*(obj.get(key) for key in keys), row.get(name)) for name, keys in NAMES.items()}
    row["latency_ms"] = first(row["latency_ms"], dig(obj, "Metrics", "durationMs"))
    row["operation"] = operation_of(first(obj.get("Endpoint"), obj.get("path")), request)
    row["account"] = None
    yield Refused(
        "has no account: the gateway names none. Say which metadata of yours does: --map "
        f"account={'Metadata' if 'Metadata' in obj else 'metadata'}.NAME",
        row=row,
    )


def _body(value: object) -> dict[str, object]:
    """Return a readable body; empty for an encrypted one."""
    body = as_object(value)
    return {} if body.get("type") == "encrypted" else body


FORMAT = Format(name="Cloudflare AI Gateway", order=49, sniff=sniff, open=lambda: Stateless(rows))
