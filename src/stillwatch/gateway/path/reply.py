"""The facts in an upstream's reply: served model, tokens, why it ended. It changes no byte.

A stream that the client leaves reports no usage: its tokens are estimated from what was delivered, with the
ratio of this model's complete streams.
"""

import json
import math
import re
from collections import deque
from collections.abc import Iterator
from ctypes import c_int64
from typing import Annotated, NamedTuple

import msgspec

from stillwatch.compiled_code.library import constant, kernels
from stillwatch.gateway.path.references import values_at

FOLD = 32 << 10  # bytes of a stream that are kept before they are counted
TAIL = 16 << 10
HEAD_LIMIT = 64 << 10  # a first event longer than this names no model
JSON_LIMIT = 8 << 20
MODELS = 4096  # with ratios
LONGEST_NAME = 512  # of such a model
LEARN = 64  # complete streams from which a model's ratio is taken
MOST_BYTES = 64  # of text per token, on average of an answer: fewer reported tokens are not believed
FALLBACK_BYTES = 4.0  # text bytes per token, for a model without a complete stream


def _field_pattern(*names: bytes) -> bytes:
    """Return a pattern for a field of one of these names and its colon, not inside a text.

    The name precedes the lookbehind: a pattern that begins with a literal is four times faster.
    """
    return rb'"(?:' + b"|".join(name + rb'(?<!\\"' + name + b")" for name in names) + rb')"\s*:\s*'


class Fields:
    """A pattern for fields of any of these names, and what follows them.

    It is narrowed to the names that occur in the bytes: one name is found ten times faster than alternatives,
    and a stream has few.
    """

    def __init__(self, *names: bytes, then: bytes) -> None:
        self._names, self._then = tuple((name, b'"' + name + b'"') for name in names), then
        self._patterns: dict[tuple[bytes, ...], re.Pattern[bytes]] = {}

    def _pattern(self, data: bytes) -> re.Pattern[bytes] | None:
        held = tuple(name for name, quoted in self._names if quoted in data)
        if not held:
            return None
        if held not in self._patterns:
            self._patterns[held] = re.compile(_field_pattern(*held) + self._then)
        return self._patterns[held]

    def search(self, data: bytes) -> re.Match[bytes] | None:
        pattern = self._pattern(data)
        return pattern.search(data) if pattern else None

    def findall(self, data: bytes) -> list[bytes]:
        pattern = self._pattern(data)
        return pattern.findall(data) if pattern else []

    def finditer(self, data: bytes) -> Iterator[re.Match[bytes]]:
        pattern = self._pattern(data)
        return pattern.finditer(data) if pattern else iter(())


class FieldsFound(NamedTuple):
    """The fields of one kind in some bytes. Positions are within the bytes; 0 if there is none."""

    many: int
    size: int  # total bytes of their values
    first_quote: int  # start of the first one's name
    first: int
    first_end: int
    last: int  # the last one's value
    last_end: int


class FieldSearch:
    """Fields of up to five kinds, found in one pass; each kind as its `Fields` would find them."""

    def __init__(self, **names: tuple[bytes, ...]) -> None:
        """Take the names of each kind: `text`, `begun`, `word`, `name`, `object`, as in `kernels.h`."""
        kinds = [(constant(f"FIELD_{kind.upper()}"), name) for kind, of in names.items() for name in of]
        self._names = b"".join(bytes((kind, len(name))) + name for kind, name in kinds)

    def __call__(self, data: bytes) -> list[FieldsFound]:
        """Return the fields found, by kind."""
        fields = _Found()
        kernels.find_fields(data, len(data), self._names, len(self._names), fields)
        return [FieldsFound(*fields[k : k + _FIGURES]) for k in range(0, len(fields), _FIGURES)]


class TextFields(Fields):
    """Fields that contain a text, which is found without its quotes."""

    def __init__(self, *names: bytes) -> None:
        super().__init__(*names, then=_TEXT)
        self.survey = FieldSearch(
            text=names, begun=_REASONING_FIELDS, word=_FINISH_FIELDS, name=_MODEL_FIELDS, object=_USAGE_FIELDS
        )


# Possessive: otherwise a text of megabytes costs the regex engine seconds, and a gigabyte of memory.
_TEXT = rb'"((?:[^"\\]++|\\.)++)"'
_REASONING_FIELDS = (b"reasoning_content", b"reasoning", b"thinking")
_MODEL_FIELDS = (b"model", b"modelVersion")
_MODEL = Fields(*_MODEL_FIELDS, then=rb'("(?:[^"\\]++|\\.)*+")')
_USAGE_FIELDS = (b"usage", b"usageMetadata", b"meta_info")
_USAGE = Fields(*_USAGE_FIELDS, then=rb"\{")
_FINISH_FIELDS = (b"finish_reason", b"stop_reason", b"finishReason", b"stopReason", b"done_reason")
_FINISH = Fields(*_FINISH_FIELDS, then=rb'"([^"\\]{1,64})"')
_DONE = (b'"usage', b'"eval_count"', b'"tokens_predicted"', b'"generated_tokens"')  # in a line with usage
_INCOMPLETE = Fields(b"incomplete_details", then=rb'\{[^{}]*"reason"\s*:\s*"([^"\\]{1,64})"')
_EVENT_END = re.compile(rb"\n\n|\r\n\r\n|\r\r|\n\r\n?|\r\n\n")
_LINE_END = re.compile(rb"\r\n|\r|\n")
TEXTS = {  # fields of generated text in a stream's events
    "chat": TextFields(b"content", b"reasoning_content", b"reasoning", b"arguments", b"refusal"),
    "completions": TextFields(b"text"),
    "responses": TextFields(b"delta"),
    "messages": TextFields(b"text", b"thinking", b"partial_json"),
}
ANY_TEXT = TextFields(b"content", b"text", b"response", b"thinking", b"reasoning", b"arguments")
_DECODER = json.JSONDecoder()
_FIGURES = constant("FIELD_FIGURES")
_Found = c_int64 * (constant("FIELD_KINDS") * _FIGURES)


class ReplyFacts(msgspec.Struct, frozen=True, gc=False):
    """The facts of a reply. Tokens are None if unknown."""

    served_model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False  # the output tokens were estimated here
    finish_reason: str | None = None
    chunks: int = 0  # events that carried text
    others: tuple[str, ...] = ()  # further models that a body names that is not a plain JSON object
    background: bool = False  # it is, or was, processed after its request was answered
    at_work: bool = False  # it is not finished
    answer_id: str = ""  # under which it is fetched, if it comes later


class Ratios:
    """Tokens per chunk and per byte of text, by model, from streams that reported their usage."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[tuple[int, int, int]]] = {}

    def learn(self, model: str, operation: str, tokens: int, chunks: int, text_bytes: int) -> None:
        if tokens <= 0 or chunks <= 0 or len(model) > LONGEST_NAME:
            return
        if len(self._seen) > MODELS and (model, operation) not in self._seen:
            del self._seen[next(iter(self._seen))]  # names that a client invents must not keep others out
        self._seen.setdefault((model, operation), deque(maxlen=LEARN)).append((tokens, chunks, text_bytes))

    def per_chunk(self, model: str, operation: str) -> float:
        """Return the tokens per event with text; 1.0 if unknown."""
        seen = self._seen.get((model, operation))
        return max(sum(t for t, _, _ in seen) / sum(c for _, c, _ in seen), 0.01) if seen else 1.0

    def tokens(self, model: str, operation: str, chunks: int, text_bytes: int) -> int:
        """Estimate the tokens in what was delivered, by the one of the two ratios that varies less."""
        if not chunks:
            return 0
        seen = self._seen.get((model, operation))
        if not seen:
            by_bytes = text_bytes / FALLBACK_BYTES
            return max(chunks, round(by_bytes)) if by_bytes > 2 * chunks else chunks
        total = sum(t for t, _, _ in seen)
        a_chunk, a_byte = total / sum(c for _, c, _ in seen), total / max(sum(b for _, _, b in seen), 1)
        off_chunk = sum(abs(t - a_chunk * c) for t, c, _ in seen)
        off_byte = sum(abs(t - a_byte * b) for t, _, b in seen)
        return max(1, round(a_chunk * chunks if off_chunk <= off_byte else a_byte * text_bytes))


class Stream:
    """Facts of a streamed reply, from its bytes as they pass. Memory: `FOLD` plus the current event."""

    def __init__(self, operation: str, lines: bool = False) -> None:
        self.operation = operation
        self._lines = lines  # of JSON, instead of events
        self._texts = TEXTS.get(operation, ANY_TEXT)
        self._parts: list[bytes] = []
        self._size = 0
        self._fold_at = FOLD
        self._chunks = self._text_bytes = 0
        self._reasoning_seen = False
        self._usage: dict[str, object] = {}
        self._written: dict[object, object] = {}  # tokens of each of several answers
        self._finish: bytes | None = None
        self._model: bytes | None = None  # as written, with its quotes
        self._needle = b""

    def feed(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._fold_at:
            self._fold(last=False)
            # an event of megabytes is not searched again at each piece
            self._fold_at = max(FOLD, 2 * self._size)

    def count(self) -> tuple[int, int]:
        """Return (chunks, bytes of text) delivered so far."""
        self._fold(last=True, keep=True)
        return self._chunks, self._text_bytes

    def _fold(self, last: bool, keep: bool = False) -> None:
        """Count the whole events among the kept bytes and discard them."""
        data = b"".join(self._parts)
        end = len(data)
        if not last or keep:
            end = data.rfind(b"\n") + 1 if self._lines else last_end(data)
            end = end or (0 if len(data) < JSON_LIMIT else len(data))
        complete = data[:end]
        self._parts = [data[end:]]
        self._size = len(data) - end
        if not complete:
            return
        texts, reasoning, finish, model, usage = self._texts.survey(complete)
        self._chunks += texts.many
        self._text_bytes += texts.size
        self._reasoning_seen = self._reasoning_seen or reasoning.many > 0
        if self._lines:
            for line in complete.split(b"\n"):
                if any(word in line for word in _DONE):
                    self._usage.update(_usage_of(line))
        elif usage.many:
            for event in _events_with_usage(complete[complete.rfind(b"\n\n", 0, usage.first_quote) + 1 :]):
                self._note_usage(_usage_of_event(event))
        if finish.many:
            self._finish = complete[finish.last : finish.last_end]
        elif reasons := _INCOMPLETE.findall(complete):
            self._finish = reasons[-1]
        elif b"response.completed" in complete:
            self._finish = b"stop"
        if self._model is None and model.many:
            self._model = complete[model.first - 1 : model.first_end + 1]

    def _note_usage(self, usage: dict[str, object]) -> None:
        """Add a usage: later values win, and the tokens of separate answers are summed."""
        if (answer := usage.pop(_ANSWER, None)) is not None:
            self._written[answer] = usage.get("completion_tokens")
            usage["completion_tokens"] = _sum(list(self._written.values()))
        self._usage.update(usage)

    def facts(self, ratios: Ratios, wanted: str, complete: bool) -> ReplyFacts:
        """Return the facts of the stream. `complete`: the upstream ended it and the client took all of it."""
        self._fold(last=True)
        served = _text(self._model)
        usage = _usage(self._usage)
        model = served or wanted
        output, estimated = usage[1], False
        left = not complete and self.operation == "messages" and self._finish is None
        # not for SGLang, whose events repeat the text
        is_too_few = not self._written and (output or 0) * MOST_BYTES < self._text_bytes
        if output is None or left or is_too_few:
            output, estimated = ratios.tokens(model, self.operation, self._chunks, self._text_bytes), True
        elif complete and self._chunks:
            hidden = 0 if self._reasoning_seen else (usage[2] or 0)
            ratios.learn(model, self.operation, output - hidden, self._chunks, self._text_bytes)
        finish = self._finish.decode("utf-8", "replace") if self._finish else None
        return ReplyFacts(served, usage[0], output, usage[2], estimated, finish, self._chunks)


MOST_COUNT = 1 << 40  # larger counts are not believed
_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_COUNT)]


class _Details(msgspec.Struct):
    reasoning_tokens: _Count | None = None
    cached_tokens: _Count | None = None


class _TokenPair(msgspec.Struct):
    """Cohere's `tokens`, Replicate's `metrics`, Text Generation Inference's `details`."""

    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    input_token_count: _Count | None = None
    output_token_count: _Count | None = None
    generated_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    total_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    connector_tokens: _Count | None = None  # Mistral: what its tools gave the model to read
    iterations: object = None  # Anthropic: the answers that make up a reply, an adviser's among them
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    inputTokens: _Count | None = None  # Bedrock
    outputTokens: _Count | None = None
    promptTokenCount: _Count | None = None  # Gemini
    candidatesTokenCount: _Count | None = None
    thoughtsTokenCount: _Count | None = None
    toolUsePromptTokenCount: _Count | None = None
    totalTokenCount: _Count | None = None
    total_input_tokens: _Count | None = None  # Gemini's interactions
    total_output_tokens: _Count | None = None
    total_thought_tokens: _Count | None = None
    prompt_token_count: _Count | None = None  # Llama on Bedrock
    generation_token_count: _Count | None = None
    prompt_eval_count: _Count | None = None  # Ollama
    eval_count: _Count | None = None
    tokens_evaluated: _Count | None = None  # llama.cpp
    tokens_predicted: _Count | None = None
    tokens: _TokenPair | None = None


class _Meta(msgspec.Struct):
    tokens: _TokenPair | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    usage: _Usage | None = None
    choices: list[_Choice] = []
    stop_reason: str | None = None
    status: str | None = None
    background: bool | None = None
    object: str | None = None
    modelVersion: str | None = None
    usageMetadata: _Usage | None = None
    meta: _Meta | None = None
    metrics: _TokenPair | None = None
    details: _TokenPair | None = None
    meta_info: _Usage | None = None  # SGLang
    results: msgspec.Raw = msgspec.Raw(b"null")  # Titan
    prompt_token_count: _Count | None = None
    generation_token_count: _Count | None = None
    eval_count: _Count | None = None
    prompt_eval_count: _Count | None = None
    tokens_predicted: _Count | None = None
    tokens_evaluated: _Count | None = None


class _Within(msgspec.Struct):
    """The part of an event that may hold the usage: Anthropic's `message`, Responses' `response`, Gemini's
    `interaction`."""

    usage: dict[str, object] | None = None


class _Event(msgspec.Struct):
    """The places of an event's own usage. The event may also repeat what a client sent: a tool's schema may
    have a field of that name."""

    usage: dict[str, object] | None = None
    usageMetadata: dict[str, object] | None = None
    message: _Within | None = None
    response: _Within | None = None
    delta: _Within | None = None
    interaction: _Within | None = None
    meta_info: dict[str, object] | None = None
    index: int = 0
    eval_count: _Count | None = None
    prompt_eval_count: _Count | None = None
    tokens_predicted: _Count | None = None
    tokens_evaluated: _Count | None = None


class _Counted(msgspec.Struct):
    usage: _Usage | None = None


class _Later(msgspec.Struct):
    """An answer that comes later: xAI's has a `request_id`; Perplexity's is in `response`."""

    id: str = ""
    request_id: str = ""
    task_status: str = ""  # Zhipu's
    response: _Body | None = None
    choices: msgspec.Raw | None = None


_AT_WORK = frozenset(  # the requested result comes later
    ("queued", "in_progress", "starting", "processing", "created", "pending", "running", "requires_action",
     "cancelling")
)  # fmt: skip
_BARE = ("eval_count", "prompt_eval_count", "tokens_predicted", "tokens_evaluated")
_NO_PAIR = _TokenPair()
_WRITTEN = ("*", "output_tokens")
_ANSWER = "answer"  # key in a usage: which of several answers it belongs to
_EVENT = msgspec.json.Decoder(_Event)
_COUNTED = msgspec.json.Decoder(_Counted)
_BODY = msgspec.json.Decoder(_Body)
_BODIES = msgspec.json.Decoder(list[_Body])  # llama.cpp and SGLang: for several prompts
_LATER = msgspec.json.Decoder(_Later)


def facts_of_whole(body: bytes, operation: str, does: str, *, later: bool) -> ReplyFacts:
    """Return the facts of a reply in one piece. `later`: the request starts or fetches a later answer."""
    facts = facts_of_json(body)
    if later or facts.background:
        facts = facts_of_later(body, facts)
    if does != "generates":
        return facts
    if facts.output_tokens is None:
        tokens = None if facts.background else 1 + int(len(body) / FALLBACK_BYTES)
    else:
        tokens = untold_tokens(operation, body, facts.output_tokens)
    return facts if tokens is None else msgspec.structs.replace(facts, output_tokens=tokens, estimated=True)


def unread_facts(facts: ReplyFacts | None, does: str, method: str, sent: int, most: int) -> ReplyFacts | None:
    """Charge a reply without token counts by the bytes `sent`: four bytes are one token, as in text.

    For an unknown operation all bytes count. For a known one, the reply was too long to be read, and costs no
    more than the `most` that it may bring.
    """
    guessed = facts is not None and facts.estimated and does == "unknown"
    if facts is not None and (facts.output_tokens or (facts.output_tokens == 0 and not guessed)):
        return facts
    if method in ("GET", "HEAD") or does not in ("generates", "unknown") or not sent:
        return facts
    tokens = math.ceil(sent / FALLBACK_BYTES)
    tokens = min(tokens, most or tokens) if does == "generates" else tokens
    return msgspec.structs.replace(facts or ReplyFacts(), output_tokens=tokens, estimated=True)


def facts_of_json(body: bytes) -> ReplyFacts:
    """Return the facts of a whole JSON reply, or what can be found in another body."""
    try:
        if body[:1] == b"[":
            return _facts_of_several([_facts_of(reply) for reply in _BODIES.decode(body)])
        return _facts_of(_BODY.decode(body))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _loosely(body)


def _facts_of_several(replies: list[ReplyFacts]) -> ReplyFacts:
    """Return the facts of a list of answers to separate prompts: their tokens are summed."""
    first = replies[0] if replies else ReplyFacts()
    read_in = [facts.input_tokens for facts in replies if facts.input_tokens is not None]
    written = [facts.output_tokens for facts in replies if facts.output_tokens is not None]
    return msgspec.structs.replace(
        first,
        input_tokens=sum(read_in) if read_in else None,
        output_tokens=sum(written) if written else None,
        others=tuple(dict.fromkeys(facts.served_model for facts in replies[1:] if facts.served_model)),
    )


def facts_of_later(body: bytes, facts: ReplyFacts) -> ReplyFacts:
    """Return the facts of a reply that starts or fetches a later answer. Once the answer is there, four bytes
    are a token if it reports none."""
    try:
        later = _LATER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        later = _Later()
    if later.response is not None:
        facts = _facts_of(later.response)
    deferred = bool(later.request_id) and later.choices is None and later.task_status in ("", "PROCESSING")
    at_work = facts.at_work or deferred
    if facts.output_tokens is None and not at_work:
        estimate = 1 + int(len(body) / FALLBACK_BYTES)
        facts = msgspec.structs.replace(facts, output_tokens=estimate, estimated=True)
    answer_id = later.id or (later.request_id if deferred else "")
    return msgspec.structs.replace(facts, background=True, at_work=at_work, answer_id=answer_id)


def _facts_of(reply: _Body) -> ReplyFacts:
    tokens = _tokens(reply.usage or reply.usageMetadata)
    if tokens == (None, None, None):
        counted = reply.meta.tokens if reply.meta else reply.metrics or reply.details
        counts = _Usage(
            prompt_eval_count=reply.prompt_eval_count, eval_count=reply.eval_count,
            tokens_evaluated=reply.tokens_evaluated, tokens_predicted=reply.tokens_predicted, tokens=counted,
            prompt_token_count=reply.prompt_token_count, generation_token_count=reply.generation_token_count,
        )  # fmt: skip
        tokens = _tokens(reply.meta_info or counts)
        if tokens[1] is None and bytes(reply.results) != b"null":
            counted_results = values_at(msgspec.json.decode(reply.results), ("*", "tokenCount"))
            tokens = tokens[0], _sum(counted_results), None
    reason = reply.choices[0].finish_reason if reply.choices else reply.stop_reason
    if reason is None and reply.status is not None:
        reason = "stop" if reply.status == "completed" else reply.status
    at_work = reply.status is not None and reply.status.lower() in _AT_WORK
    later = reply.background is True or reply.object == "thread.run" or at_work
    later = later or reply.metrics is not None  # Replicate's
    model = reply.model or reply.modelVersion
    return ReplyFacts(model, *tokens, finish_reason=reason, background=later, at_work=at_work)


def _loosely(body: bytes) -> ReplyFacts:
    """Read what is possible from a reply whose fields have unexpected types."""
    models = models_in(body)
    try:
        usage = _tokens(_COUNTED.decode(body).usage)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        usages = [m.end() - 1 for m in _USAGE.finditer(body)]  # not a JSON object
        usage = _usage(_object_at(body, usages[-1])) if usages else (None, None, None)
    finish = _FINISH.findall(body)
    return ReplyFacts(
        models[0] if models else None,
        *usage,
        finish_reason=finish[-1].decode("utf-8", "replace") if finish else None,
        others=tuple(models[1:]),
    )


def untold_tokens(operation: str, body: bytes, usage_tokens: int) -> int | None:
    """Return the tokens of a reply whose text is too long for its reported tokens; None if it is not."""
    if usage_tokens * MOST_BYTES >= len(body):
        return None
    text = TEXTS.get(operation, ANY_TEXT).survey(body)[0].size
    return None if usage_tokens * MOST_BYTES >= text else round(text / FALLBACK_BYTES)


def model_field(data: bytes) -> bytes:
    """Return the field that names the model, byte for byte; empty if the name contains escapes."""
    matched = _MODEL.search(data)
    return matched[0] if matched and b"\\" not in matched[0] else b""


def models_in(data: bytes) -> list[str]:
    """Return every model that some bytes of JSON name."""
    return [name for raw in dict.fromkeys(_MODEL.findall(data)) if (name := _text(raw))]


def last_end(data: bytes) -> int:
    """Return the end of the last whole event, or 0; if line ends are mixed, of one of the last."""
    end = max(data.rfind(b"\n\n") + 2, data.rfind(b"\r\n\r\n") + 4)
    if end >= 4:
        return end
    ends = [matched.end() for matched in _EVENT_END.finditer(data)]  # a hundred times slower
    return ends[-1] if ends else 0


def _text(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return raw.strip(b'"').decode("utf-8", "replace")


def _object_at(data: bytes, at: int) -> dict[str, object]:
    """Return the JSON object that begins at a position, or an empty one."""
    try:
        value, _ = _DECODER.raw_decode(data[at : at + TAIL].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def events_in(data: bytes) -> list[bytes]:
    """Split bytes into events."""
    return _EVENT_END.split(data)


def _events_with_usage(data: bytes) -> list[bytes]:
    """Return the whole events that contain a usage, each once."""
    if b"\r" in data:
        return [event for event in events_in(data) if _USAGE.search(event)]
    events, end = [], -1
    for match in _USAGE.finditer(data):
        if match.start() < end:
            continue
        begin = data.rfind(b"\n\n", 0, match.start())
        end = data.find(b"\n\n", match.start())
        end = end if end >= 0 else len(data)
        events.append(data[begin + 2 if begin >= 0 else 0 : end])
    return events


def data_of(event: bytes) -> bytes:
    """Return an event's data, which may span several lines."""
    return b"\n".join(line[5:] for line in _LINE_END.split(event) if line.startswith(b"data:"))


def _usage_of_event(event: bytes) -> dict[str, object]:
    """Return an event's usage from its usual place."""
    return _usage_of(data_of(event))


def _usage_of(data: bytes) -> dict[str, object]:
    try:
        event_object = _EVENT.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return {}
    usage: dict[str, object] = {}
    inner = (event_object.response, event_object.message, event_object.delta, event_object.interaction)
    for within in (*inner, event_object):
        if within is not None and within.usage is not None:
            usage.update((key, value) for key, value in within.usage.items() if value is not None)
    usage |= event_object.usageMetadata or {}
    if event_object.meta_info is not None:
        usage |= event_object.meta_info | {_ANSWER: event_object.index}
    for name in _BARE:
        if (count := getattr(event_object, name)) is not None:
            usage[name] = count
    return usage


def _usage(usage: dict[str, object]) -> tuple[int | None, int | None, int | None]:
    if not usage:
        return None, None, None
    try:
        return _tokens(msgspec.convert(usage, _Usage))
    except msgspec.MsgspecError:
        return None, None, None


def _first(*counts: int | None) -> int | None:
    for count in counts:  # a loop takes a third of a generator's time
        if count is not None:
            return count
    return None


def _sum(counts: list[object]) -> int | None:
    """Return the sum of the valid counts; None if there are none."""
    numbers = [count for count in counts if type(count) is int and 0 <= count <= MOST_COUNT]
    return sum(numbers) if numbers else None


def _tokens(usage: _Usage | None) -> tuple[int | None, int | None, int | None]:
    """Return (input, output, reasoning) tokens, under any API's names. Cached input counts as input."""
    if usage is None:
        return None, None, None
    pair = usage.tokens or _NO_PAIR
    read_in, written = usage.prompt_tokens, usage.completion_tokens
    if read_in is None:
        read_in = _first(
            usage.inputTokens, usage.promptTokenCount, usage.prompt_eval_count, usage.tokens_evaluated,
            pair.input_tokens, pair.input_token_count, usage.total_input_tokens, usage.prompt_token_count,
        )  # fmt: skip
    if read_in is None and usage.input_tokens is not None:
        read_in = usage.input_tokens + (usage.cache_read_input_tokens or 0)
        read_in += usage.cache_creation_input_tokens or 0
    if written is None:
        written = _first(
            usage.output_tokens, usage.outputTokens, usage.candidatesTokenCount, usage.eval_count,
            usage.tokens_predicted, pair.output_tokens, pair.output_token_count, pair.generated_tokens,
            usage.total_output_tokens, usage.generation_token_count,
        )  # fmt: skip
    if usage.iterations is not None and (of_all := _sum(values_at(usage.iterations, _WRITTEN))):
        written = max(written or 0, of_all)
    thoughts = _first(usage.thoughtsTokenCount, usage.total_thought_tokens)
    if thoughts is not None:  # Gemini counts them separately
        return read_in, (written or 0) + thoughts, thoughts
    details = usage.completion_tokens_details or usage.output_tokens_details
    return read_in, _with_untold(usage, read_in, written), details.reasoning_tokens if details else None


def _with_untold(usage: _Usage, read_in: int | None, written: int | None) -> int | None:
    """Return output tokens, with those that only the total contains: thoughts, at xAI and Google."""
    total = usage.total_tokens if usage.prompt_tokens is not None else usage.totalTokenCount
    if total is None or read_in is None or (written is None and usage.totalTokenCount is None):
        return written
    untold = total - read_in - (written or 0) - (usage.connector_tokens or 0)
    untold -= usage.toolUsePromptTokenCount or 0
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    if untold <= 0 or untold == cached:  # counted in addition to the prompt
        return written
    return (written or 0) + untold
