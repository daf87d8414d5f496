"""The texts in an OpenTelemetry span or its events, in each dialect."""

from collections.abc import Iterable

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.messages import dig, first, from_cut_text, from_text, message_text, text_of, whole
from stillwatch.exchanges.request_text import RequestText, is_conversation, messages_text

Attributes = dict[str, object]
Events = Iterable[tuple[int, str, Attributes, object]]

INPUT = ("gen_ai.input.messages", "gen_ai.prompt", "llm.prompts", "traceloop.entity.input", "input.value")
OUTPUT = ("gen_ai.output.messages", "gen_ai.completion", "output.value")
SYSTEM = ("gen_ai.system_instructions", "gen_ai.system.instructions", "llm.system")
TOOLS = ("gen_ai.tool.definitions", "gen_ai.request.tools", "llm.tools")
NUMBERED_TOOLS = ("llm.tools.", "llm.request.functions.")
NUMBERED_INPUT = (("gen_ai.prompt.", ""), ("llm.prompts.", ""), ("llm.input_messages.", "message."))
NUMBERED_OUTPUT = (("gen_ai.completion.", ""), ("llm.completions.", ""), ("llm.output_messages.", "message."))
MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
}


def request_of(attrs: Attributes, events: Events) -> tuple[RequestText, int | None]:
    """Return the request's texts, and how many tools were offered."""
    events = list(events)
    all_attrs = _with_events(attrs, events)
    system = first(*(from_text(all_attrs.get(name)) for name in SYSTEM[:2]))
    messages: object = from_cut_text(all_attrs.get(INPUT[0]))
    if messages is None:
        messages = _numbered_messages(all_attrs, NUMBERED_INPUT) or _from_events(events) or None
    if messages is None:
        raw = first(*(all_attrs.get(name) for name in INPUT[1:]))
        messages = _parts(raw)
        if not is_conversation(messages):  # the prompt itself is JSON, not messages in JSON
            messages = raw
    tools = from_text(first(*(all_attrs.get(name) for name in TOOLS)))
    offered = len(tools) if isinstance(tools, list) else _count_offered(all_attrs)
    return messages_text(messages, system, tools), offered


def completion_of(attrs: Attributes, events: Events) -> tuple[str | None, object]:
    """Return the answer's text, and why it ended."""
    events = list(events)
    all_attrs = _with_events(attrs, events)
    messages: object = from_cut_text(all_attrs.get(OUTPUT[0]))
    if messages is None:
        messages = _numbered_messages(all_attrs, NUMBERED_OUTPUT) or None
    if isinstance(messages, list) and messages:
        present = [text for text in map(message_text, messages) if text is not None]
        return "\n".join(present) if present else None, dig(messages, 0, "finish_reason")
    for _, name, attributes, body in events:
        if name == "gen_ai.choice":
            choice = body if isinstance(body, dict) else attributes
            message = first(from_text(choice.get("message")), choice)
            return message_text(message), choice.get("finish_reason")
    value = first(*(from_text(all_attrs.get(name)) for name in OUTPUT[1:]))
    if isinstance(value, dict):
        value = first(dig(value, "choices", 0, "message"), value)
        return message_text(value), None
    return text_of(value), None


def _with_events(attrs: Attributes, events: Events) -> Attributes:
    """Return span attributes, and as a fallback those of events that hold whole messages."""
    merged = dict(attrs)
    for _, name, attributes, body in events:
        if name in ("gen_ai.content.prompt", "gen_ai.content.completion") or name.endswith(
            "operation.details"
        ):
            for key, value in (attributes | (body if isinstance(body, dict) else {})).items():
                merged.setdefault(key, value)
    return merged


def _from_events(events: Events) -> list[object]:
    """Return the conversation in events of one message each (conventions up to 1.36)."""
    messages: list[object] = []
    for _, name, attributes, body in events:
        if name in MESSAGE_EVENTS:
            content = body if isinstance(body, dict) else attributes
            text = body if isinstance(body, str) else content.get("content")
            messages.append({"role": MESSAGE_EVENTS[name], "content": text})
    return messages


def _numbered_messages(attrs: Attributes, shapes: tuple[tuple[str, str], ...]) -> list[object]:
    """Return messages flattened into `prefix.N.[message.]role` and `.content` (or `.contents.M....text`)."""
    for prefix, inner in shapes:
        messages: dict[int, dict[str, object]] = {}
        pieces: dict[int, list[str]] = {}  # joined at the end: a client may send ten thousand parts
        for key, value in attrs.items():
            if not key.startswith(prefix):
                continue
            number, _, rest = key[len(prefix) :].partition(".")
            index = whole(number)
            if index is None or not rest.startswith(inner):
                continue
            message = messages.setdefault(index, {})
            name = rest[len(inner) :]
            if name in ("role", "finish_reason"):
                message[name] = value
            elif name == "content":
                message["content"] = value if text_of(_parts(value)) is None else _parts(value)
            elif name.startswith("contents.") and name.endswith(".text"):
                pieces.setdefault(index, []).append(str(value))
        for index, texts in pieces.items():
            present = [text_of(messages[index].get("content")), *texts]
            messages[index]["content"] = "\n".join(filter(None, present))
        if messages:
            for message in messages.values():
                message.setdefault("role", "user" if prefix in ("gen_ai.prompt.", "llm.prompts.") else None)
            return [messages[number] for number in sorted(messages)]
    return []


def _parts(value: object) -> object:
    """Decode content parts in a JSON text, if that is what it is; a prompt may be any JSON, valid or not."""
    try:
        return from_text(value)
    except Refused:
        return value


def _count_offered(attrs: Attributes) -> int | None:
    """Return how many tools are given as one numbered attribute each."""
    for prefix in NUMBERED_TOOLS:
        numbers = {key[len(prefix) :].partition(".")[0] for key in attrs if key.startswith(prefix)}
        if numbers:
            return len(numbers)
    return None
