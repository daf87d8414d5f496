"""Braintrust's project logs: events of its API and exports, one span each.

Spans that are not model calls are skipped. `org_id` is the organisation that owns the log and never the
account; customers are told apart by metadata that the application sets. Scores are not read.

Source: braintrust.dev/docs/reference/api/Logs; litellm/integrations/braintrust_logging.py (read 2026-11).
"""

from collections.abc import Iterator

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.langsmith import ACCOUNT
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.messages import dig, first, from_text, message_text


def sniff(obj: Json) -> bool:
    return {"created", "input", "span_id", "root_span_id"} <= obj.keys()


def rows(obj: Json) -> Iterator[Item]:
    if dig(from_text(obj.get("span_attributes")), "type") != "llm":
        yield ASIDE
        return
    asked, answer = from_text(obj.get("input")), from_text(obj.get("output"))
    metadata, metrics = from_text(obj.get("metadata")), from_text(obj.get("metrics"))
    body = asked if isinstance(asked, dict) else {"messages": asked}
    settings = metadata if isinstance(metadata, dict) else {}
    choices = isinstance(answer, list) and dig(answer, 0, "message") is not None
    row: Row = exchange({**settings, **body}, {"choices": answer} if choices else answer_of(answer))
    start, end = dig(metrics, "start"), dig(metrics, "end")
    row |= {
        "exchange_id": first(obj.get("span_id"), obj.get("id")),
        "time": first(start, obj.get("created")),
        "account": first(*(dig(metadata, name) for name in ACCOUNT)),
        "operation": "chat",
        "conversation": first(dig(metadata, "session_id"), dig(metadata, "thread_id")),
        "input_tokens": first(row["input_tokens"], dig(metrics, "prompt_tokens")),
        "output_tokens": first(row["output_tokens"], dig(metrics, "completion_tokens")),
        "reasoning_tokens": first(row["reasoning_tokens"], dig(metrics, "completion_reasoning_tokens")),
        "status": 500 if obj.get("error") else 200,
        "latency_ms": _milliseconds(start, end),
        "completion": first(row["completion"], message_text(answer)),
    }
    if row["account"] is None:
        why = f"has no account: metadata has none of {', '.join(ACCOUNT)} (another name: --map account="
        raise Refused(f"{why}metadata.NAME)", row=row)
    yield row


def _milliseconds(start: object, end: object) -> float | None:
    """Return the milliseconds between two times in seconds; None if one is missing or they are reversed."""
    if not isinstance(start, int | float) or not isinstance(end, int | float) or end < start:
        return None
    return (end - start) * 1000


FORMAT = Format(name="Braintrust", order=44, sniff=sniff, open=lambda: Stateless(rows))
