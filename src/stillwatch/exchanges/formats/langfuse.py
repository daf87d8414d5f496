"""Langfuse observations: UI and API exports (camelCase), blob storage exports (snake_case, times in UTC).

Observations that are not generations (spans, events, agents) are skipped. Langfuse names no billing account:
the key that LiteLLM wrote into the metadata is used, else the user. A trace counts as one exchange only if
none of its generations is in the log: exports of traces hold the first question and the last answer.

Source: langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields (read 2026-11).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row
from stillwatch.exchanges.formats.litellm import utc
from stillwatch.exchanges.formats.openai import completion
from stillwatch.exchanges.mapping import find_fields, row_of
from stillwatch.exchanges.messages import count, dig, either, first, format_name, from_text, message_text
from stillwatch.exchanges.request_text import messages_text

TIMES = ("startTime", "start_time")
ACCOUNT = ("account", "user_api_key_hash", "user_api_key_alias", "user_api_key_team_id", "organization_id")
NO_ACCOUNT = f"has no account: userId is empty, and metadata has none of {', '.join(ACCOUNT)}"


def sniff(obj: Json) -> bool:
    if is_trace(obj):
        return True
    trace = "traceId" in obj or "trace_id" in obj
    return trace and not obj.keys().isdisjoint(TIMES) and "type" in obj and "input" in obj


def is_trace(obj: Json) -> bool:
    """Return whether this is a row of the traces' table: its own id, a timestamp, no observation's times."""
    names = {"id", "timestamp", "input", "output"} <= obj.keys() and obj.keys().isdisjoint(TIMES)
    return names and ("userId" in obj or "user_id" in obj) and ("sessionId" in obj or "session_id" in obj)


@dataclass
class Langfuse:
    """Passes observations on. Holds until the end those whose trace names the account, and bare traces."""

    generated: set[str] = field(default_factory=set)  # traces with at least one generation read
    traces: dict[str, tuple[Json, str]] = field(default_factory=dict)
    waiting: list[tuple[str, str, Refused]] = field(default_factory=list)  # trace, place, what it lacks
    columns: Mapping[str, str] = field(default_factory=dict)  # the owner's: field -> column

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        if is_trace(obj):
            self.traces[str(obj.get("id"))] = obj, place
            observations = obj.get("observations")  # the API's answer for one trace
            for observation in observations if isinstance(observations, list) else []:
                if isinstance(observation, dict):
                    yield from self.take({"traceId": obj.get("id"), **observation}, place)
            yield ASIDE
            return
        trace = str(either(obj, "traceId", "trace_id"))
        for item in rows(obj):
            if item != ASIDE:
                self.generated.add(trace)
            # the API and the older exports name the user in the trace only
            if isinstance(item, Refused) and "account" not in self.columns:
                named = row_of(find_fields(obj, self.columns))
                item = Refused(str(item), row=None if item.row is None else item.row | named)
                self.waiting.append((trace, place, item))
                item = ASIDE
            yield item

    def finish(self) -> Iterator[Item]:
        for trace, place, refused in self.waiting:
            known, _ = self.traces.get(trace, ({}, ""))
            account = account_of(known)
            if refused.row is None or account is None:
                yield Refused(str(refused), place, row=refused.row)
                continue
            session = either(known, "sessionId", "session_id")
            yield refused.row | {"account": account, "conversation": session}
        for trace, (obj, place) in sorted(self.traces.items()):
            if trace not in self.generated:
                yield trace_row(obj, place, row_of(find_fields(obj, self.columns)))


def account_of(obj: Json) -> object:
    """Return the account that an observation or a trace names, or None."""
    metadata = from_text(obj.get("metadata"))
    return first(*(dig(metadata, key) for key in ACCOUNT), either(obj, "userId", "user_id"))


def trace_row(obj: Json, place: str, named: Row) -> Item:
    """Return a trace without generations as one exchange; named: values found under the owner's names."""
    account = first(named.get("account"), account_of(obj))
    if account is None:
        return Refused(NO_ACCOUNT, place)
    return {"time": utc(obj.get("timestamp")), **_shared_fields(obj, account), **named}


def _shared_fields(obj: Json, account: object) -> Row:
    """Return the fields that observations and traces share."""
    request, answer = from_text(obj.get("input")), from_text(obj.get("output"))
    user = either(obj, "userId", "user_id")
    return {
        "exchange_id": obj.get("id"),
        "account": account,
        "end_user": user if user != account else None,
        "conversation": either(obj, "sessionId", "session_id"),
        **messages_text(request, dig(request, "system"), dig(request, "tools")).row(),
        "completion": first(completion(answer) if isinstance(answer, dict) else None, message_text(answer)),
    }


def rows(obj: Json) -> Iterator[Item]:
    if str(obj.get("type")).upper() not in ("GENERATION", "EMBEDDING"):
        yield ASIDE
        return
    parameters = from_text(either(obj, "modelParameters", "model_parameters"))
    usage = first(from_text(either(obj, "usageDetails", "usage_details")), from_text(obj.get("usage")))
    account = account_of(obj)
    row: Row = {
        **_shared_fields(obj, account),
        "time": utc(either(obj, "startTime", "start_time")),
        "operation": "embeddings" if str(obj.get("type")).upper() == "EMBEDDING" else "chat",
        "model": first(
            either(obj, "model", "provided_model_name"),
            obj.get("providedModelName"),
            dig(parameters, "model"),
        ),
        "tools": count(dig(from_text(obj.get("input")), "tools")),
        "input_tokens": first(dig(usage, "input"), dig(usage, "promptTokens"), obj.get("promptTokens")),
        "output_tokens": first(
            dig(usage, "output"), dig(usage, "completionTokens"), obj.get("completionTokens")
        ),
        "temperature": dig(parameters, "temperature"),
        "top_p": dig(parameters, "top_p"),
        "max_tokens": first(dig(parameters, "max_tokens"), dig(parameters, "max_completion_tokens")),
        "response_format": format_name(dig(parameters, "response_format")),
        "status": 500 if str(obj.get("level")).upper() == "ERROR" else 200,
    }
    if account is None:
        yield Refused(NO_ACCOUNT, row=row)
        return
    yield row


FORMAT = Format(name="Langfuse", order=45, sniff=sniff, open=Langfuse)
