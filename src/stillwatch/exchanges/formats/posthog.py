"""PostHog's LLM analytics: `$ai_generation` events, as its API, batch exports and SDKs write them.

It names no billing account. `distinct_id` is the program's name for a user, and custom properties may come
from the request's own metadata (LiteLLM's integration copies them). A client can write both, so the owner
must name one. Other events are skipped.

Source: posthog.com/docs/llm-analytics/generations; litellm/integrations/posthog.py (read 2026-12).
"""

from collections.abc import Iterator

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.messages import as_object, dig, first, from_text, message_text, text_of

GENERATION = "$ai_generation"


def sniff(obj: Json) -> bool:
    return "event" in obj and "properties" in obj and "distinct_id" in obj


def rows(obj: Json) -> Iterator[Item]:
    if obj.get("event") != GENERATION:
        yield ASIDE
        return
    said = as_object(obj.get("properties"))
    settings, answered = (
        as_object(said.get("$ai_model_parameters")),
        from_text(said.get("$ai_output_choices")),
    )
    asked = from_text(said.get("$ai_input"))
    request = {
        "model": said.get("$ai_model"),
        "messages": [{"role": "user", "content": asked}] if isinstance(asked, str) else asked,
        "temperature": first(said.get("$ai_temperature"), settings.get("temperature")),
        "max_tokens": first(said.get("$ai_max_tokens"), settings.get("max_tokens")),
        "top_p": settings.get("top_p"),
        "stream": said.get("$ai_stream"),
        "tools": said.get("$ai_tools"),
    }
    row: Row = exchange(request, answer_of(answered))
    seconds = said.get("$ai_latency")
    row |= {
        "exchange_id": first(obj.get("uuid"), said.get("$ai_span_id")),
        "time": obj.get("timestamp"),
        "operation": "chat",
        "conversation": first(said.get("$ai_session_id"), said.get("$ai_trace_id")),
        "input_tokens": first(row["input_tokens"], said.get("$ai_input_tokens")),
        "output_tokens": first(row["output_tokens"], said.get("$ai_output_tokens")),
        "reasoning_tokens": first(row["reasoning_tokens"], said.get("$ai_reasoning_tokens")),
        "finish_reason": first(row["finish_reason"], said.get("$ai_stop_reason")),
        "status": first(said.get("$ai_http_status"), 500 if said.get("$ai_is_error") is True else None),
        "latency_ms": seconds * 1000 if isinstance(seconds, int | float) else None,
        "completion": first(row["completion"], message_text(answered), text_of(dig(answered, 0))),
    }
    yield Refused(
        "has no account: distinct_id is what your program calls a user, and a client may have chosen it. "
        "If it is who pays: --map account=distinct_id; else --map account=properties.NAME",
        row=row,
    )


FORMAT = Format(name="PostHog", order=47, sniff=sniff, open=lambda: Stateless(rows))
