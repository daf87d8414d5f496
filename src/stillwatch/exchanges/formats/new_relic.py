"""New Relic's AI monitoring: events LlmChatCompletionSummary and LlmChatCompletionMessage, queried by NRQL.

A call is a summary (settings, tokens) and one event for each message. They are joined by the completion's id
and held until the end. New Relic names no caller: the account is an attribute that your program adds under
`llm.`. Texts are present unless `ai_monitoring.record_content` is off. Beyond the agent's limit events are
sampled, so calls and messages are missing. Embeddings are not read.

Source: newrelic-python-agent, newrelic/hooks/mlmodel_openai.py and tests/agent_features/test_ml_events.py;
newrelic-java-agent, instrumentation/aws-bedrock-runtime README, "Custom LLM Attributes" (read 2026-12).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row
from stillwatch.exchanges.formats.langsmith import ACCOUNT
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.mapping import find_fields, row_of
from stillwatch.exchanges.messages import first

OWN = "llm."  # prefix of what a program adds to these events


def sniff(obj: Json) -> bool:
    return "vendor" in obj and "ingest_source" in obj and (_is_message(obj) or _is_summary(obj))


def _is_message(obj: Json) -> bool:
    return {"completion_id", "role", "sequence"} <= obj.keys()


def _is_summary(obj: Json) -> bool:
    return "request.model" in obj and "response.number_of_messages" in obj


@dataclass
class Completion:
    """The events read so far of one call."""

    place: str
    summary: Json = field(default_factory=dict)
    messages: list[Json] = field(default_factory=list)
    named: Row = field(default_factory=dict)  # values found under the owner's names in any of its events


@dataclass
class NewRelic:
    """The events of one read, by completion."""

    calls: dict[str, Completion] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)  # the owner's: field -> attribute
    seen: set[str] = field(default_factory=set)  # fields found anywhere under these names

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        message = _is_message(obj)
        key = obj.get("completion_id") if message else obj.get("id")
        if not isinstance(key, str):
            yield Refused("has no completion_id; right would be the completion's id, which joins its events")
            return
        call = self.calls.setdefault(key, Completion(place))
        if self.columns:
            call.named |= row_of(find_fields(obj, self.columns))
            self.seen.update(call.named)
        if message:
            call.messages.append(obj)
        else:
            call.summary = obj
        yield ASIDE

    def finish(self) -> Iterator[Item]:
        for key, call in sorted(self.calls.items()):
            yield _join_events(key, call)


def _join_events(key: str, call: Completion) -> Item:
    summary, any_event = call.summary, (call.summary or call.messages[0])
    said = sorted(call.messages, key=_order)
    turns = [
        (m.get("is_response") is True, {"role": m.get("role"), "content": m.get("content")}) for m in said
    ]
    body = {
        "model": first(summary.get("request.model"), any_event.get("response.model")),
        "messages": [turn for answer, turn in turns if not answer and turn["content"] is not None],
        "temperature": summary.get("request.temperature") or None,  # "" if the request has none
        "max_tokens": summary.get("request.max_tokens") or None,
    }
    answers = [{"index": n, "message": turn} for n, (answer, turn) in enumerate(turns) if answer]
    row: Row = exchange(body, {"choices": answers})
    if summary.get("request.temperature") == 0:
        row["temperature"] = 0
    row |= {
        "exchange_id": key,
        "time": first(summary.get("timestamp"), any_event.get("timestamp")),
        "account": first(*(event.get(OWN + name) for event in (summary, any_event) for name in ACCOUNT)),
        "operation": "chat",
        "conversation": first(any_event.get("llm.conversation_id"), any_event.get("conversation_id")),
        "input_tokens": summary.get("response.usage.prompt_tokens"),
        "output_tokens": summary.get("response.usage.completion_tokens"),
        "finish_reason": summary.get("response.choices.finish_reason"),
        "status": 500 if summary.get("error") is True else 200 if summary else None,
        "latency_ms": summary.get("duration"),
        **call.named,
    }
    if row["account"] is None:
        names = ", ".join(OWN + name for name in ACCOUNT)
        why = f"completion {key[:40]}: has no account: none of {names} is on its events (another name: "
        return Refused(
            f"{why}--map account={OWN}NAME; add it with add_custom_attribute)", call.place, row=row
        )
    return row


def _order(message: Json) -> int:
    number = message.get("sequence")
    return number if isinstance(number, int) else 0


FORMAT = Format(name="New Relic AI monitoring", order=46, sniff=sniff, open=NewRelic)
