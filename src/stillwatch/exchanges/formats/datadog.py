"""Datadog's LLM Observability: spans as its export API lists them.

Spans that are not model calls are skipped. Datadog names no billing account, so the tag that the application
sets is used (`account:acct-1`).

Source: docs.datadoghq.com/llm_observability/evaluations/export_api and
docs.datadoghq.com/api/latest/llm-observability (read 2026-11).
"""

from collections.abc import Iterator

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.langsmith import ACCOUNT
from stillwatch.exchanges.formats.openai import settings
from stillwatch.exchanges.messages import as_object, dig, first, message_text
from stillwatch.exchanges.request_text import messages_text


def sniff(obj: Json) -> bool:
    return {"span_kind", "ml_app", "span_id"} <= obj.keys()


def rows(obj: Json) -> Iterator[Item]:
    if obj.get("span_kind") not in ("llm", "embedding"):
        yield ASIDE
        return
    asked, answer, metrics = (as_object(obj.get(name)) for name in ("input", "output", "metrics"))
    listed = obj.get("tags")
    pairs = (tag.partition(":") for tag in listed if isinstance(tag, str)) if isinstance(listed, list) else ()
    tags = {name: value for name, _, value in pairs}
    question = first(asked.get("messages"), asked.get("documents"), asked.get("value"))
    row: Row = settings(as_object(obj.get("metadata"))) | messages_text(question).row()
    duration = obj.get("duration")  # nanoseconds
    row |= {
        "exchange_id": obj.get("span_id"),
        "time": first(obj.get("start_ns"), obj.get("start_ms")),
        "account": first(*(tags.get(name) for name in ACCOUNT)),
        "operation": "embeddings" if obj.get("span_kind") == "embedding" else "chat",
        "model": obj.get("model_name"),
        "conversation": first(tags.get("session_id"), obj.get("session_id")),
        "input_tokens": metrics.get("input_tokens"),
        "output_tokens": metrics.get("output_tokens"),
        "reasoning_tokens": metrics.get("reasoning_output_tokens"),
        "status": 500 if obj.get("status") == "error" else 200,
        "latency_ms": duration / 1e6 if isinstance(duration, int | float) else None,
        "completion": first(message_text(dig(answer, "messages", 0)), answer.get("value")),
    }
    if row["account"] is None:
        raise Refused(
            f"has no account: no tag is called {', '.join(ACCOUNT)} (another name: --map account=tags.NAME; "
            "to set one: LLMObs.annotate(tags={'account': …}) in the application)",
            row=row,
        )
    yield row


FORMAT = Format(name="Datadog LLM Observability", order=45, sniff=sniff, open=lambda: Stateless(rows))
