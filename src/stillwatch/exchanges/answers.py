"""The body of an answer as a log stores it: an object, or the events of a stream, which are assembled.

Handles the streams of OpenAI (chat, completions, Responses), Anthropic and Gemini.

Source: developers.openai.com/api/reference (chat and responses, streaming events);
platform.claude.com/docs/en/build-with-claude/streaming; ai.google.dev/api/generate-content (read 2026-11).
"""

from collections.abc import Iterable

from stillwatch.exchanges.messages import dig, first, from_text
from stillwatch.exchanges.python_text import body_of

EVENT = ("data:", "event:", "id:", ": ")  # possible beginnings of a stream of server-sent events
LAST = ("response.completed", "response.incomplete", "response.failed")


def answer_of(value: object) -> dict[str, object]:
    """Return an answer's body, however it is stored; empty for anything else."""
    value = body_of(from_text(value))
    if isinstance(value, dict):
        # Helicone's streams; a pair's other half
        inner = first(value.get("streamed_data"), value.get("body"))
        return answer_of(inner) or value if inner is not None else value
    if isinstance(value, str) and value.startswith(EVENT):
        return _from_events(
            from_text(line.removeprefix("data:").strip())
            for line in value.splitlines()
            if line.startswith("data:")
        )
    return _from_events(value) if isinstance(value, list) else {}


def _from_events(events: Iterable[object]) -> dict[str, object]:
    """Assemble a stream's events into the complete answer. An unreadable piece is left out."""
    texts: list[str] = []
    usage: dict[str, object] = {}
    answer: dict[str, object] = {}
    finish: object = None
    for event in events:
        if not isinstance(event, dict):
            continue
        if event.get("type") in LAST and isinstance(whole := event.get("response"), dict):
            return whole
        start = event.get("message")  # Anthropic's first event; or an answer's own
        choice, candidate = dig(event, "choices", 0), dig(event, "candidates", 0)
        delta = event.get("delta")
        pieces = [dig(choice, "delta", "content"), dig(choice, "text"), dig(delta, "text")]
        if isinstance(parts := dig(candidate, "content", "parts"), list):
            pieces += [dig(part, "text") for part in parts if not dig(part, "thought")]
        pieces.append(delta if event.get("type") == "response.output_text.delta" else None)
        texts += [piece for piece in pieces if isinstance(piece, str)]
        for counts in (event.get("usage"), dig(start, "usage"), event.get("usageMetadata")):
            usage |= {name: count for name, count in _items(counts) if count is not None}
        finish = first(
            dig(choice, "finish_reason"), dig(delta, "stop_reason"), dig(candidate, "finishReason"), finish
        )
        for name in ("id", "model", "created", "modelVersion"):
            answer.setdefault(name, first(event.get(name), dig(start, name)))
    if not texts and finish is None and not usage:
        return {}
    text = "".join(texts) if texts else None
    if "promptTokenCount" in usage:
        content = {"content": {"parts": [{"text": text}]}, "finishReason": finish}
        return answer | {"candidates": [content], "usageMetadata": usage}
    return answer | {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": usage}


def _items(counts: object) -> Iterable[tuple[str, object]]:
    return counts.items() if isinstance(counts, dict) else ()
