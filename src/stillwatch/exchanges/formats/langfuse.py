"""Langfuse observations: UI and API exports (camelCase), blob storage exports (snake_case, times in UTC).

An observation that is no generation (a span, an event, an agent) is set aside. Langfuse names no billing
account: the key that LiteLLM wrote into the metadata counts, else the user.

Source: langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields (read 2026-11).
"""

from collections.abc import Iterator

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.litellm import utc
from stillwatch.exchanges.formats.openai import completion
from stillwatch.exchanges.messages import count, dig, first, format_name, from_text, message_text
from stillwatch.exchanges.request_text import messages_text

ACCOUNT = ("account", "user_api_key_hash", "user_api_key_alias", "user_api_key_team_id", "organization_id")


def sniff(obj: Json) -> bool:
    trace = "traceId" in obj or "trace_id" in obj
    return trace and ("startTime" in obj or "start_time" in obj) and "type" in obj and "input" in obj


def rows(obj: Json) -> Iterator[Item]:
    if str(obj.get("type")).upper() not in ("GENERATION", "EMBEDDING"):
        yield ASIDE
        return
    metadata = from_text(obj.get("metadata"))
    asked = from_text(_get(obj, "modelParameters", "model_parameters"))
    usage = first(from_text(_get(obj, "usageDetails", "usage_details")), from_text(obj.get("usage")))
    request, answer = from_text(obj.get("input")), from_text(obj.get("output"))
    said = messages_text(request, dig(request, "system"), dig(request, "tools"))
    user = _get(obj, "userId", "user_id")
    account = first(*(dig(metadata, key) for key in ACCOUNT), user)
    said_back = completion(answer) if isinstance(answer, dict) else None
    row: Row = {
        "exchange_id": obj.get("id"),
        "time": utc(_get(obj, "startTime", "start_time")),
        "account": account,
        "end_user": user if user != account else None,
        "operation": "embeddings" if str(obj.get("type")).upper() == "EMBEDDING" else "chat",
        "model": first(_get(obj, "model", "provided_model_name"), dig(asked, "model")),
        "conversation": _get(obj, "sessionId", "session_id"),
        **said.row(),
        "tools": count(dig(request, "tools")),
        "input_tokens": first(dig(usage, "input"), dig(usage, "promptTokens")),
        "output_tokens": first(dig(usage, "output"), dig(usage, "completionTokens")),
        "temperature": dig(asked, "temperature"),
        "top_p": dig(asked, "top_p"),
        "max_tokens": first(dig(asked, "max_tokens"), dig(asked, "max_completion_tokens")),
        "response_format": format_name(dig(asked, "response_format")),
        "status": 500 if str(obj.get("level")).upper() == "ERROR" else 200,
        "completion": first(said_back, message_text(answer)),
    }
    if account is None:
        why = f"has no account: userId is empty, and metadata has none of {', '.join(ACCOUNT)}"
        raise Refused(why, row=row)
    yield row


def _get(obj: Json, camel: str, snake: str) -> object:
    return first(obj.get(camel), obj.get(snake))


FORMAT = Format(name="Langfuse", order=45, sniff=sniff, open=lambda: Stateless(rows))
