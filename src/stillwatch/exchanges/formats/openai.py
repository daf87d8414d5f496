"""Raw OpenAI request and response pairs, and Batch API lines; also Anthropic bodies in the same wrapping.

`exchange()` maps one request body and one response body; other formats with the same bodies use it.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import itemgetter

from stillwatch.exchanges import gemini
from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.own import ALIASES, columns_of, plan_of, short_list
from stillwatch.exchanges.mapping import list_columns, paths_of
from stillwatch.exchanges.messages import (
    count,
    dig,
    first,
    format_name,
    from_text,
    join_texts,
    text_of,
)
from stillwatch.exchanges.python_text import body_of
from stillwatch.exchanges.request_text import only_places, recognise, request_text

OPERATIONS = (
    ("/chat/completions", "chat"),
    ("/completions", "text_completion"),
    ("/responses", "chat"),
    ("/messages", "chat"),
    ("/embeddings", "embeddings"),
)
BESIDE = (  # what logs write beside the pair, under its usual names
    "exchange_id", "time", "account", "end_user", "client_ip", "asn", "user_agent", "operation",
    "conversation", "turn", "status", "latency_ms",
)  # fmt: skip
RESULT = ("model", "completion", "input_tokens", "output_tokens", "reasoning_tokens", "finish_reason")
REQUESTS = ("request", "request_body", "requestBody", "req", "request_json", "body")
RESPONSES = ("response", "response_body", "responseBody", "res", "resp", "response_json")
NO_BODY = ("response", "time", "account", "user")
AMBIGUOUS = (
    "id",
    "created",
    "input",
    "text",
    "date",
)  # in these logs such keys are the bodies' own, not the line's


ALSO = {  # other names for it beside the pair: Databricks, Portkey, Kong and more
    "time": ("request_time", "timestamp_ms", "started_at"),
    "account": ("requester", "consumer", "virtual_key", "api_key_hash", "tenant", "tenant_id"),
    "exchange_id": ("databricks_request_id",),
    "status": ("response_status_code", "response_status"),
    "latency_ms": ("execution_duration_ms", "execution_time_ms", "response_time"),
    "model": ("ai_model",),  # Portkey
    "input_tokens": ("req_units",),
    "output_tokens": ("res_units",),
}


NAMES_BESIDE = {
    name: tuple(key for key in (name, *ALIASES.get(name, ()), *ALSO.get(name, ())) if key not in AMBIGUOUS)
    for name in BESIDE
}


def sniff(obj: Json) -> bool:
    if "messages" in obj or "contents" in obj:  # the line is itself the request
        if isinstance(obj.get("messages"), dict):
            return False  # a page of an export, in which answers look like questions
        names = columns_of(list(obj))
        return "request" not in obj and "time" in names and "account" in names
    if "params" in obj and "custom_id" in obj:
        return True
    if "request" in obj and ("response" in obj or recognise(_body(obj.get("request"))) is not None):
        return True
    if isinstance(asked := obj.get("input"), dict) and "messages" in asked:
        return True
    if "receiptHandle" in obj:
        return False  # an SQS message, whose body may be any record
    if not obj.keys().isdisjoint(REQUESTS[1:]) and "prompt" not in columns_of(list(obj)):
        asked = first(*(obj.get(name) for name in REQUESTS))
        if (isinstance(asked, str) and "body" not in obj) or recognise(_body(asked)) is not None:
            return True
    return "custom_id" in obj and any(name in obj for name in ("body", "response", "result"))


def _body(value: object) -> dict[str, object]:
    """Return the API body in a request or response: itself, its `body`, or either as JSON text."""
    value = body_of(from_text(value))
    inner = body_of(from_text(dig(value, "body")))
    body = inner if isinstance(inner, dict) else value
    return body if isinstance(body, dict) else {}


def _bodies(obj: Json) -> tuple[dict[str, object], object, bool]:
    """Return the request, the answer as written, and whether the line itself is the request.

    Raises: Refused if there is no request.
    """
    batch, inside = "custom_id" in obj, isinstance(obj.get("input"), dict) and "messages" not in obj
    asked = first(*(obj.get(name) for name in REQUESTS), obj.get("input") if inside else None)
    request = _body(first(obj.get("body"), obj.get("params")) if batch else asked)
    flat = not request and not batch and asked is None
    if flat:
        request = {name: body_of(from_text(value)) for name, value in obj.items() if name not in NO_BODY}
    if not request:
        raise Refused(
            "has no request body: a Batch API result names its question only in the input file; right would "
            "be lines that hold both, body and response"
        )
    answer = first(*(obj.get(name) for name in RESPONSES), dig(obj, "result", "message"))  # of Anthropic
    return request, first(answer, obj.get("output") if inside else None), flat


def rows(obj: Json) -> Iterator[Item]:
    request, answer, flat = _bodies(obj)
    response = answer_of(answer)
    if not response.get("usage") and isinstance(usage := from_text(obj.get("usage")), dict):
        response = response | {"usage": usage}
    row = exchange(request, response)
    if flat:  # the line's other fields are not part of the body
        row |= request_text(only_places(request)).row()
    written = dict(plan_of(tuple(obj))[0])  # includes those in another case: apiKeyId
    for name, names in NAMES_BESIDE.items():
        line_value = first(*map(obj.get, names))
        if line_value is None and (other := written.get(name)) is not None and other not in AMBIGUOUS:
            line_value = first(obj.get(other))
        if line_value is not None:
            row[name] = line_value
    if row["completion"] is None and isinstance(answer, str):
        row["completion"] = None if answer_of(answer) else text_of(answer)
    for name in RESULT:
        if row.get(name) is None:
            names = (name, *ALIASES.get(name, ()), *ALSO.get(name, ()))
            line_value = first(*(obj.get(key) for key in names))
            row[name] = text_of(line_value) if name == "completion" else line_value
    row["exchange_id"] = first(
        row.get("exchange_id"), obj.get("request_id"), obj.get("id"), response.get("id")
    )
    row["status"] = first(
        row.get("status"), dig(obj, "response", "status_code"), dig(obj, "response", "status"),
        200 if any(response.get(name) for name in ("choices", "output", "content")) else None,
    )  # fmt: skip
    url = first(obj.get("url"), obj.get("path"), obj.get("endpoint"), dig(obj, "request", "url"))
    if row.get("operation") is None or "/" in str(row["operation"]):
        row["operation"] = operation_of(url, request)
    if row.get("time") is None:
        row["time"] = first(obj.get("date"), response.get("created"), response.get("created_at"))
    if row.get("account") is None:
        row["account"] = first(dig(obj, "metadata", "account"), dig(obj, "metadata", "user_api_key_hash"))
    for name in ("time", "account"):
        if row.get(name) is None:
            columns = sorted(paths_of(obj), key=lambda path: path.split(".")[0] in (*REQUESTS, *RESPONSES))
            raise Refused(
                f"has no {name} beside request and response (accepted: {name}, {short_list(name)}; "
                f"another: --map {name}=COLUMN, of {list_columns(columns)})",
                row=row,
            )
    yield row


def operation_of(url: object, request: Json) -> str | None:
    if isinstance(url, str):
        for ending, name in OPERATIONS:
            if url.split("?")[0].endswith(ending):
                return name
    return "chat" if "messages" in request or "instructions" in request else None


def exchange(request: Json, response: Json) -> Row:
    """Return the record's fields found in an OpenAI, Anthropic or Gemini request and response body."""
    if "contents" in request:
        return dict.fromkeys(request_fields({})) | gemini.exchange(request, response)
    row = request_fields(request)
    if row["model"] is None:
        row["model"] = first(response.get("model"))
    return row | response_fields(response)


def request_fields(request: Json) -> Row:
    """Return the fields found in the request."""
    return settings(request) | request_text(request).row()


def settings(request: Json) -> Row:
    """Return the fields found in the request, except its texts."""
    return dict.fromkeys(SETTINGS) | given_settings(request)


def given_settings(request: Json) -> Row:
    """Return the fields for which the request has a key. Most requests have two or three."""
    return {name: read(request) for name, read in _readers_for(_KEYS.intersection(request))}


@lru_cache(1024)  # by set of known keys: clients choose among many
def _readers_for(keys: frozenset[str]) -> tuple[tuple[str, Callable[[Json], object]], ...]:
    return tuple((name, read) for name, (names, read) in SETTINGS.items() if not keys.isdisjoint(names))


def _first_of(*keys: str) -> tuple[tuple[str, ...], Callable[[Json], object]]:
    return keys, lambda request: first(*map(request.get, keys))


def _conversation(request: Json) -> object:
    conversation = request.get("conversation")
    return dig(conversation, "id") if isinstance(conversation, dict) else first(conversation)


# field -> the request's keys that it is read from, and how
SETTINGS: dict[str, tuple[tuple[str, ...], Callable[[Json], object]]] = {
    "model": _first_of("model"),
    "end_user": (
        ("safety_identifier", "user", "metadata"),
        lambda request: first(
            request.get("safety_identifier"), request.get("user"), dig(request.get("metadata"), "user_id")
        ),
    ),
    "conversation": (("conversation",), _conversation),
    "tools": (
        ("tools", "functions"),
        lambda request: count(first(request.get("tools"), request.get("functions"))),
    ),
    "temperature": (("temperature",), itemgetter("temperature")),
    "top_p": (("top_p",), itemgetter("top_p")),
    "max_tokens": _first_of("max_completion_tokens", "max_output_tokens", "max_tokens"),
    "n": (("n",), itemgetter("n")),
    "seed": (("seed",), itemgetter("seed")),
    "top_logprobs": (
        ("top_logprobs", "logprobs"),
        lambda request: first(request.get("top_logprobs"), *_logprobs(request)),
    ),
    "stream": (("stream",), itemgetter("stream")),
    "response_format": (
        ("response_format", "text"),
        lambda request: format_name(first(request.get("response_format"), request.get("text"))),
    ),
}
_KEYS = frozenset(key for keys, _ in SETTINGS.values() for key in keys)


def response_fields(response: Json) -> Row:
    """Return the fields found in the response."""
    usage = response.get("usage")
    return {
        "input_tokens": first(dig(usage, "prompt_tokens"), dig(usage, "input_tokens")),
        "output_tokens": first(dig(usage, "completion_tokens"), dig(usage, "output_tokens")),
        "reasoning_tokens": first(
            dig(usage, "completion_tokens_details", "reasoning_tokens"),
            dig(usage, "output_tokens_details", "reasoning_tokens"),
        ),
        "finish_reason": first(
            dig(response, "choices", 0, "finish_reason"),
            response.get("stop_reason"),
            dig(response, "incomplete_details", "reason"),
        ),
        "completion": completion(response),
    }


def _logprobs(request: Json) -> list[object]:
    """Read `logprobs`: a number in the old completions API and a switch in chat."""
    wanted = request.get("logprobs")
    return [] if isinstance(wanted, bool) else [wanted]


def completion(response: Json) -> str | None:
    """Return the answer's text: chat, completions, Responses, Anthropic; the first of `n` choices."""
    choice = dig(response, "choices", 0)
    if isinstance(choice, dict):
        return first_text(dig(choice, "message", "content"), choice.get("text"))
    output = response.get("output")
    if isinstance(output, list):
        return join_texts(text_of(dig(item, "content")) for item in output if dig(item, "type") == "message")
    return first_text(response.get("output_text"), response.get("content"))


def first_text(*values: object) -> str | None:
    return next((text for text in map(text_of, values) if text is not None), None)


FORMAT = Format(name="OpenAI request and response", order=60, sniff=sniff, open=lambda: Stateless(rows))
