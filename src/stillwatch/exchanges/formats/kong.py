"""Kong AI Gateway: entries of its log plugins, with `ai.proxy` in them (3.x: `ai.ai-proxy`).

Texts are present only with `log_payloads` on. Other plugins' entries are skipped.

Source: developer.konghq.com/ai-gateway/ai-audit-log-reference (read 2026-11).
"""

from collections.abc import Iterator

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Stateless
from stillwatch.exchanges.formats.openai import exchange, operation_of
from stillwatch.exchanges.messages import as_object, dig, first


def sniff(obj: Json) -> bool:
    return (
        "started_at" in obj and isinstance(obj.get("request"), dict) and ("ai" in obj or "latencies" in obj)
    )


def rows(obj: Json) -> Iterator[Item]:
    ai = obj.get("ai")
    proxy = first(*(dig(ai, name) for name in ("proxy", "ai-proxy", "ai-proxy-advanced")))
    if not isinstance(proxy, dict):
        yield ASIDE
        return
    payload = first(proxy.get("payload"), dig(ai, "payload"))
    request = as_object(dig(payload, "request"))
    row = exchange(request, answer_of(dig(payload, "response")))
    consumer = obj.get("consumer")
    account = first(
        *(dig(consumer, key) for key in ("id", "username", "custom_id")),
        dig(obj, "authenticated_entity", "id"), dig(obj, "credential", "id"),
        *(dig(obj, "request", "headers", f"x-consumer-{key}") for key in ("id", "username", "custom-id")),
    )  # fmt: skip
    usage, meta = proxy.get("usage"), proxy.get("meta")
    row |= {
        "exchange_id": dig(obj, "request", "id"),
        "time": obj.get("started_at"),
        "account": account,
        "client_ip": obj.get("client_ip"),
        "user_agent": dig(obj, "request", "headers", "user-agent"),
        "operation": operation_of(dig(obj, "request", "uri"), request),
        "model": first(row["model"], dig(meta, "request_model"), dig(meta, "response_model")),
        "input_tokens": first(row["input_tokens"], dig(usage, "prompt_tokens")),
        "output_tokens": first(row["output_tokens"], dig(usage, "completion_tokens")),
        "status": dig(obj, "response", "status"),
        "latency_ms": dig(obj, "latencies", "request"),
    }
    if account is None:
        why = "has no account: consumer and authenticated_entity are empty (is authentication on?)"
        raise Refused(why, row=row)
    yield row


FORMAT = Format(name="Kong AI Gateway", order=48, sniff=sniff, open=lambda: Stateless(rows))
