"""LiteLLM: the StandardLoggingPayload of its callbacks, and exports of its LiteLLM_SpendLogs table.

Spend logs hold texts only where prompt storage is switched on, and then cut at 2,048 characters
(`MAX_STRING_LENGTH_PROMPT_IN_DB`, 1.108.7): metadata, not evidence. A client may silence the callbacks with
`"no-log": true`; what was never logged cannot be seen here.

Source: docs.litellm.ai/docs/proxy/logging_spec (read 2026-11); litellm/proxy/schema.prisma;
litellm/proxy/pass_through_endpoints/pass_through_endpoints.py.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.openai import completion, operation_of
from stillwatch.exchanges.messages import count, dig, first, format_name, from_text, text_of, whole
from stillwatch.exchanges.request_text import messages_text, request_text

ACCOUNT = (
    "user_api_key_hash", "user_api_key_alias", "user_api_key_user_id", "user_api_key_team_id",
    "user_api_key_org_id",
)  # fmt: skip
_NO_ZONE = re.compile(r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?$")


def sniff(obj: Json) -> bool:
    if "startTime" not in obj or "call_type" not in obj:
        return "standard_logging_object" in obj
    return "metadata" in obj or "api_key" in obj or "request_id" in obj


def rows(obj: Json) -> Iterator[Item]:
    inner = obj.get("standard_logging_object")
    if isinstance(inner, dict):
        obj = inner
    spend_log = "request_id" in obj and ("api_key" in obj or "spend" in obj)
    metadata = from_text(obj.get("metadata"))
    request = from_text(first(obj.get("model_parameters"), obj.get("proxy_server_request")))
    request = first(dig(request, "body"), request)
    response = from_text(obj.get("response"))
    messages = from_text(obj.get("messages"))
    if spend_log and (not messages or messages == {}):
        messages = first(dig(request, "messages"), dig(request, "input"), dig(request, "prompt"))
    passed = _passed_through(obj.get("call_type"), messages)
    request = passed or request
    tools = first(dig(request, "tools"), dig(request, "functions"))
    if passed:
        texts, response = request_text(passed), answer_of(dig(response, "response")) or response
    else:
        texts = messages_text(messages, first(dig(request, "system"), dig(request, "instructions")), tools)
    usage = first(dig(response, "usage"), dig(metadata, "usage_object"))
    row: Row = {
        "exchange_id": first(obj.get("request_id" if spend_log else "id"), obj.get("litellm_call_id")),
        "time": utc(obj.get("startTime")) if spend_log else obj.get("startTime"),
        "account": first(
            obj.get("api_key") if spend_log else None, *(dig(metadata, name) for name in ACCOUNT),
            obj.get("user"), obj.get("team_id"), obj.get("organization_id"),
        ),
        "end_user": first(
            obj.get("end_user"), dig(metadata, "user_api_key_end_user_id"), dig(request, "user"),
        ),
        "client_ip": first(obj.get("requester_ip_address"), dig(metadata, "requester_ip_address")),
        "user_agent": first(obj.get("user_agent"), dig(metadata, "user_agent")),
        "operation": operation_of(None, passed) if passed else operation_name(obj.get("call_type")),
        "model": first(obj.get("model_group"), obj.get("model")),
        "conversation": first(obj.get("session_id"), dig(metadata, "session_id"), obj.get("trace_id")),
        **texts.row(),
        "tools": count(tools),
        "input_tokens": obj.get("prompt_tokens"),
        "output_tokens": obj.get("completion_tokens"),
        "reasoning_tokens": dig(usage, "completion_tokens_details", "reasoning_tokens"),
        "temperature": dig(request, "temperature"),
        "top_p": dig(request, "top_p"),
        "max_tokens": first(dig(request, "max_completion_tokens"), dig(request, "max_tokens")),
        "n": dig(request, "n"),
        "seed": dig(request, "seed"),
        "top_logprobs": dig(request, "top_logprobs"),
        "stream": first(obj.get("stream"), dig(request, "stream")),
        "response_format": format_name(dig(request, "response_format")),
        "status": _status(obj, metadata),
        "finish_reason": first(dig(response, "choices", 0, "finish_reason"), dig(response, "stop_reason")),
        "latency_ms": _latency(obj),
        "completion": completion(response) if isinstance(response, dict) else text_of(response or None),
    }  # fmt: skip
    if row["account"] is None:
        raise Refused(
            "has no account: metadata.user_api_key_hash (or _alias, _user_id, _team_id, _org_id) is empty",
            row=row,
        )
    yield row


def _passed_through(call_type: object, messages: object) -> dict[str, object]:
    """Return the body of a pass-through request, which is logged whole as one message's text."""
    if not isinstance(call_type, str) or "pass" not in call_type:
        return {}
    body = from_text(dig(messages, 0, "content"))
    return body if isinstance(body, dict) else {}


def utc(value: object) -> object:
    """Return a time with the zone that its schema supplies: exports of UTC columns write none."""
    if isinstance(value, datetime) and value.tzinfo is None:  # from a Parquet column without a zone
        return value.replace(tzinfo=UTC)
    return value + "Z" if isinstance(value, str) and _NO_ZONE.match(value) else value


def operation_name(call_type: object) -> str | None:
    """Return LiteLLM's call type in the record's terms; an unknown name stays as it is."""
    names = {"completion": "chat", "responses": "chat", "anthropic_messages": "chat",
             "text_completion": "text_completion", "embedding": "embeddings"}  # fmt: skip
    if not isinstance(call_type, str):
        return None
    plain = call_type.rsplit("/", 1)[-1]
    return names.get(plain, names.get(plain.removeprefix("a"), plain))


def _status(obj: Json, metadata: object) -> int | None:
    status = first(obj.get("status"), dig(metadata, "status"))
    code = first(
        dig(obj, "error_information", "error_code"), dig(metadata, "error_information", "error_code")
    )
    number = whole(str(code))
    if number is not None:
        return number
    return {"success": 200, "failure": 500}.get(status) if isinstance(status, str) else None


def _latency(obj: Json) -> int | None:
    start, end = obj.get("startTime"), obj.get("endTime")
    if isinstance(start, int | float) and isinstance(end, int | float) and 0 <= end - start < 1e6:
        return round((end - start) * 1000)
    spent = obj.get("request_duration_ms")
    return spent if isinstance(spent, int) and not isinstance(spent, bool) else None


FORMAT = Format(name="LiteLLM", order=10, sniff=sniff, open=lambda: Stateless(rows))
