"""OpenTelemetry GenAI spans and log events, OTLP JSON (protobuf: `otlp_protobuf.py`), in all their dialects.

The conventions are still in development and emitters disagree; `NAMES` lists the names accepted for each
field. They name no billing account: the first of `ACCOUNT` is used. The user named in the request
(`gen_ai.user`, `llm.user`) is the client's claim, so it is an end user and never the account. A span in a
file without an account counts as its service's, with a note. A span without texts waits for its log events.

Source: open-telemetry/semantic-conventions-genai (end of 2026), semantic-conventions 1.27 to 1.37,
OpenLLMetry, OpenInference's semantic conventions; litellm/integrations/opentelemetry.py (1.108.7).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stillwatch.exchanges.formats import ASIDE, NO_ACCOUNT, Format, Item, Json, Refused, Row
from stillwatch.exchanges.formats.litellm import operation_name
from stillwatch.exchanges.mapping import find_fields, row_of
from stillwatch.exchanges.messages import dig, either, first, from_text, whole
from stillwatch.exchanges.otlp_text import completion_of, request_of

ACCOUNT = (
    "account.id", "litellm.api_key.hash", "metadata.user_api_key_hash", "api_key.hash", "tenant.id",
    "organization.id", "litellm.team.id", "metadata.user_api_key_alias", "metadata.user_api_key_user_id",
    "metadata.user_api_key_team_id", "metadata.user_api_key_org_id", "user.id", "enduser.id",
)  # fmt: skip
SERVICE = "service:"  # prefix of a service's name when nothing names a span's account
NAMES: dict[str, tuple[str, ...]] = {
    "end_user": ("litellm.end_user.id", "metadata.user_api_key_end_user_id", "enduser.id", "gen_ai.user",
                 "llm.user", "user.id"),
    "client_ip": ("client.address", "metadata.requester_ip_address", "net.peer.ip", "http.client_ip"),
    "user_agent": ("user_agent.original", "metadata.user_agent", "http.user_agent"),
    "operation": ("gen_ai.operation.name", "llm.request.type"),
    "model": ("litellm.model_group", "gen_ai.request.model", "llm.model_name", "llm.request.model",
              "gen_ai.response.model"),
    "conversation": ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id"),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
                     "llm.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
                      "llm.token_count.completion", "llm.usage.completion_tokens"),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
                         "llm.token_count.completion_details.reasoning"),
    "temperature": ("gen_ai.request.temperature",),
    "top_p": ("gen_ai.request.top_p",),
    "max_tokens": ("gen_ai.request.max_tokens",),
    "n": ("gen_ai.request.choice.count",),
    "seed": ("gen_ai.request.seed", "gen_ai.openai.request.seed"),
    "stream": ("gen_ai.request.stream", "llm.is_streaming", "gen_ai.is_streaming",
               "gen_ai.request.is_stream"),
    "response_format": ("gen_ai.output.type", "gen_ai.openai.request.response_format"),
    "status": ("http.response.status_code", "http.status_code"),
}  # fmt: skip
PARAMETERS = "llm.invocation_parameters"  # OpenInference: the request without its messages, as JSON
ASKED: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("model", "temperature", "top_p", "n", "seed", "stream")},
    "max_tokens": ("max_completion_tokens", "max_output_tokens", "max_tokens"),
    "end_user": ("user",),
}
# not calls of a model
ABOVE = (
    "invoke_agent", "create_agent", "invoke_workflow", "execute_tool", "plan", "retrieval", "create_memory",
    "create_memory_store", "delete_memory", "delete_memory_store", "search_memory", "update_memory",
    "upsert_memory",
)  # fmt: skip
WHOLE_EVENT = "gen_ai.client.inference.operation.details"
Attributes = dict[str, object]
Event = tuple[int, str, Attributes, object]  # time, name, attributes, body


def sniff(obj: Json) -> bool:
    return any(key in obj for key in ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs"))


def any_value(value: object) -> object:
    """Return an OTLP any-value as a plain value; 64-bit integers are written as text."""
    if not isinstance(value, dict):
        return value
    for key, inner in value.items():
        if key in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
            return inner
        if key == "intValue":
            return inner if (number := whole(inner)) is None else number
        if key == "arrayValue":
            return [any_value(part) for part in _list(dig(inner, "values"))]
        if key == "kvlistValue":
            return attributes(dig(inner, "values"))
    return None


def attributes(pairs: object) -> Attributes:
    return {
        pair["key"]: any_value(pair.get("value"))
        for pair in _list(pairs)
        if isinstance(pair, dict) and isinstance(pair.get("key"), str)
    }


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


@dataclass
class PendingCall:
    """A model call whose texts may come as log events, or such events whose span has not come."""

    place: str
    span: Json | None = None
    resource: Attributes = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


@dataclass
class Otlp:
    waiting: dict[str, PendingCall] = field(default_factory=dict)
    services: bool = True  # a span without an account counts as its service's; otherwise it is rejected
    columns: Mapping[str, str] = field(default_factory=dict)  # the owner's: field -> attribute
    seen: set[str] = field(default_factory=set)  # fields found anywhere under these names

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        for block in _list(either(obj, "resourceSpans", "resource_spans")):
            resource = attributes(dig(block, "resource", "attributes"))
            scopes = first(
                either(block, "scopeSpans", "scope_spans"), dig(block, "instrumentationLibrarySpans")
            )
            for scope in _list(scopes):
                for span in _list(dig(scope, "spans")):
                    yield self._span(span, resource, place)
        for block in _list(either(obj, "resourceLogs", "resource_logs")):
            resource = attributes(dig(block, "resource", "attributes"))
            for scope in _list(either(block, "scopeLogs", "scope_logs")):
                for record in _list(either(scope, "logRecords", "log_records")):
                    yield self._log(record, resource, place)

    def _span(self, span: object, resource: Attributes, place: str) -> Item:
        if not isinstance(span, dict):
            return Refused("holds a span that is no object")
        attrs = attributes(span.get("attributes"))
        if not is_model_call(attrs):
            return ASIDE
        events: list[Event] = [
            (_nanos(dig(e, "timeUnixNano")), str(dig(e, "name")), attributes(dig(e, "attributes")), None)
            for e in _list(span.get("events"))
        ]
        try:
            row = self._row(span, attrs, resource, events)
        except Refused as why:
            return why
        if row.get("prompt") is not None:
            return row
        key = _key(span)
        call = self.waiting.setdefault(key, PendingCall(place))
        call.span, call.resource = span, resource
        call.events.extend(events)
        return ASIDE

    def _row(self, span: Json, attrs: Attributes, resource: Attributes, events: list[Event]) -> Row:
        """Return a span's row; the owner's names are looked up in the span, then in its resource."""
        if not self.columns:
            return to_row(span, attrs, resource, events, self.services)
        mapped = row_of(
            find_fields(resource, self.columns)
            | find_fields(span, self.columns)
            | find_fields(attrs, self.columns)
        )
        self.seen.update(mapped)
        account = {"account.id": mapped["account"]} if "account" in mapped else {}
        return to_row(span, attrs | account, resource, events, self.services) | mapped

    def _log(self, record: object, resource: Attributes, place: str) -> Item:
        if not isinstance(record, dict):
            return Refused("holds a log record that is no object")
        attrs = attributes(record.get("attributes"))
        name = str(first(either(record, "eventName", "event_name"), attrs.get("event.name"), ""))
        if not name.startswith("gen_ai."):
            return ASIDE
        call = self.waiting.setdefault(_key(record), PendingCall(place, resource=resource))
        time = _nanos(first(record.get("timeUnixNano"), record.get("observedTimeUnixNano")))
        call.events.append((time, name, attrs, any_value(record.get("body"))))
        return ASIDE

    def finish(self) -> Iterator[Item]:
        for key, call in sorted(self.waiting.items()):
            events = sorted(call.events, key=lambda event: event[0])
            details = next((attrs for _, name, attrs, _ in events if name == WHOLE_EVENT), {})
            span: Json | None = call.span
            if span is None and details:
                trace, _, number = key.partition(":")
                span = {"traceId": trace, "spanId": number, "startTimeUnixNano": events[0][0]}
            if span is None:
                continue  # its span had its own texts, or was sampled away
            try:
                attrs = attributes(span.get("attributes")) | details
                yield self._row(span, attrs, call.resource, events)
            except Refused as why:
                yield Refused(str(why), call.place)


def version(obj: Json) -> str | None:
    """Return the instrumentation of the first model call, and its version if stated."""
    for block in _list(either(obj, "resourceSpans", "resource_spans")):
        for scope in _list(either(block, "scopeSpans", "scope_spans")):
            if any(is_model_call(attributes(dig(span, "attributes"))) for span in _list(dig(scope, "spans"))):
                names = (dig(scope, "scope", "name"), dig(scope, "scope", "version"))
                return " ".join(name for name in names if isinstance(name, str)) or None
    return None


def is_model_call(attrs: Attributes) -> bool:
    """Return whether a span is one request to a model, and not an agent or tool around it."""
    kind = attrs.get("openinference.span.kind")
    if kind is not None:
        return kind in ("LLM", "EMBEDDING")
    operation = first(attrs.get("gen_ai.operation.name"), attrs.get("llm.request.type"))
    if operation is not None:
        return operation not in ABOVE
    return any(name in attrs for name in NAMES["model"])


def _key(record: Json) -> str:
    return f"{either(record, 'traceId', 'trace_id')}:{either(record, 'spanId', 'span_id')}"


def _nanos(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return 0
    return max(whole(str(value)) or 0, 0)


def _service(resource: Attributes) -> str | None:
    """Return the account that stands for all calls of a service, or None if the service has no name."""
    name = resource.get("service.name")
    is_named = isinstance(name, str) and name and not name.startswith("unknown_service")
    return f"{SERVICE}{name}" if is_named else None


def to_row(
    span: Json, attrs: Attributes, resource: Attributes, events: list[Event], services: bool = True
) -> Row:
    """Build a row from a span. Raises: Refused if nothing names an account."""
    account_named = first(*(attrs.get(name) for name in ACCOUNT), *(resource.get(name) for name in ACCOUNT))
    account = first(account_named, _service(resource) if services else None)
    start = _nanos(first(either(span, "startTimeUnixNano", "start_time_unix_nano")))
    end = _nanos(first(either(span, "endTimeUnixNano", "end_time_unix_nano")))
    row: Row = {name: first(*(attrs.get(key) for key in keys)) for name, keys in NAMES.items()}
    if (parameters := from_text(attrs.get(PARAMETERS))) is not None:
        row |= {
            name: first(row[name], *(dig(parameters, key) for key in keys)) for name, keys in ASKED.items()
        }
    texts, tools = request_of(attrs, events)
    answer, finish = completion_of(attrs, events)
    failed = dig(span, "status", "code") in (2, "STATUS_CODE_ERROR") or "error.type" in attrs
    kind = attrs.get("openinference.span.kind")
    row |= {
        "exchange_id": _key(span),
        "time": start // 1000 if start else None,
        "account": account,
        "end_user": row["end_user"] if row["end_user"] != account else None,
        "operation": first(
            operation_name(row["operation"]), {"LLM": "chat", "EMBEDDING": "embeddings"}.get(str(kind))
        ),
        **texts.row(),
        "tools": tools,
        "status": first(row["status"], _error_status(attrs.get("error.type")) if failed else 200),
        "finish_reason": first(
            attrs.get("llm.finish_reason"),
            dig(from_text(attrs.get("gen_ai.response.finish_reasons")), 0),
            finish,
        ),
        "latency_ms": (end - start) // 1_000_000 if end >= start > 0 else None,
        "completion": answer,
    }
    if account is None:
        raise Refused(
            f"span has no account; accepted as span or resource attribute: {', '.join(ACCOUNT)} "
            "(another name: --map account=ATTRIBUTE)",
            row=row,
        )
    if account_named is None:
        row[NO_ACCOUNT] = True
    return row


def _error_status(error: object) -> int:
    text = str(error)
    code = whole(text)
    if code is not None and 100 <= code <= 999:
        return code
    return 429 if "rate" in text.lower() else 500


FORMAT = Format(
    name="OpenTelemetry GenAI",
    order=40,
    sniff=sniff,
    open=Otlp,
    version=version,
    protobuf="stillwatch.exchanges.formats.otlp_protobuf",
)
