"""The answers of the tests' own model: a pure function of the request, in the form of each API.

Every piece states how many output tokens it contains.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

CREATED = 1_700_000_000
# Several scripts, so that a stream can be split inside a character.
VOCABULARY = (
    "still water runs deep café naïve 数字 река 🜂 über stone bread letter seven north amber quiet river "
    "glass window garden engine paper copper winter evening signal harbour"
)
WORDS = VOCABULARY.split()
SECRETS = ("because", "therefore", "suppose", "检查", "hence", "первое", "counting", "wait")

Fields = dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """Bytes of a body that are written together, and the output tokens in them."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True)
class Answer:
    """The model's answer, before it gets the form of an API."""

    model: str
    tag: str  # 12 hex characters, of the request alone
    text: tuple[str, ...]
    reasoning: tuple[str, ...] = ()
    tool: tuple[str, str] | None = None  # name, arguments as JSON
    input_tokens: int = 0
    finish: str = "stop"

    @property
    def output_tokens(self) -> int:
        return len(self.text) + len(self.reasoning) + (len(pieces_of(self.tool[1])) if self.tool else 0)


def pieces_of(arguments: str) -> list[str]:
    """A tool call's arguments as they are streamed: one token per eight characters."""
    return [arguments[at : at + 8] for at in range(0, len(arguments), 8)]


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def last_words(body: Fields) -> str:
    """Return the text that the answer depends on: the last message or input, in any form."""
    asked = body.get("messages") or body.get("input") or body.get("prompt") or ""
    if isinstance(asked, list) and asked:
        asked = asked[-1]
    if isinstance(asked, dict):
        asked = asked.get("content", asked)
    return asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False, sort_keys=True)


def count_input(body: Fields) -> int:
    """Return the input tokens: the words of the whole request."""
    asked = [body.get(name) for name in ("system", "instructions", "messages", "input", "prompt", "tools")]
    return max(1, len(json.dumps([part for part in asked if part], ensure_ascii=False).split()))


def tool_wanted(body: Fields) -> str | None:
    """Return the tool to call: if it is forced, or the prompt names it."""
    names = [tool.get("function", tool).get("name") for tool in body.get("tools") or ()]
    choice = body.get("tool_choice")
    forced = isinstance(choice, dict) or choice in ("required", "any")
    if not names or not (forced or "use the tool" in last_words(body)):
        return None
    if isinstance(choice, dict):
        return choice.get("function", choice).get("name") or names[0]
    return names[0]


def answer(body: Fields, tokens: int | None = None, index: int = 0) -> Answer:
    """Return the answer to a request; `index` distinguishes the choices of one request."""
    model = str(body.get("model", "mira"))
    seed = f"{model}\0{last_words(body)}\0{index}".encode()
    digest = hashlib.blake2b(seed, digest_size=32).digest()
    limit = (
        body.get("max_completion_tokens")
        or body.get("max_tokens")
        or body.get("max_output_tokens")
        or 1 << 30
    )
    wanted = tokens if tokens is not None else 5 + digest[0] % 40
    count = min(wanted, int(limit))
    text = tuple((" " if at else "") + WORDS[(digest[at % 32] + at) % len(WORDS)] for at in range(count))
    thinks = (
        "think" in model
        or bool(body.get("reasoning_effort") or body.get("reasoning"))
        or (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    )
    reasoning = tuple(f"{SECRETS[(digest[at] + at) % len(SECRETS)]} " for at in range(3 + digest[1] % 9))
    tool = tool_wanted(body)
    made = Answer(
        model=model,
        tag=digest.hex()[:12],
        text=text,
        reasoning=reasoning if thinks else (),
        input_tokens=count_input(body),
        finish="length" if count < wanted else "stop",
    )
    if tool is None:
        return made
    arguments = json.dumps({"place": WORDS[digest[2] % len(WORDS)], "reasoning": "kept", "n": digest[3]})
    return replace(made, text=(), tool=(tool, arguments), finish="tool_calls")


def answers(body: Fields, tokens: int | None) -> list[Answer]:
    return [answer(body, tokens, index) for index in range(int(body.get("n") or 1))]


def logprob(token: str, top: int) -> Fields:
    value = -0.25 - len(token) / 100
    others = [
        {"token": word, "logprob": value - at - 1, "bytes": None} for at, word in enumerate(WORDS[:top])
    ]
    return {
        "token": token,
        "logprob": value,
        "bytes": list(token.encode()),
        "top_logprobs": [{"token": token, "logprob": value, "bytes": None}, *others][:top],
    }


def reasoning_fields(style: str, text: str) -> Fields:
    """Return the three forms in which OpenAI-compatible servers write reasoning."""
    if style == "open":
        detail = {"type": "reasoning.text", "text": text, "format": "mira-v1", "index": 0}
        return {"reasoning": text, "reasoning_details": [detail]}
    return {"reasoning": text} if style == "plain" else {"reasoning_content": text}


def style_of(body: Fields) -> str:
    return str(body.get("x_reasoning_style", "content"))


# --- chat completions ------------------------------------------------------------------------------------


def chat_usage(said: list[Answer]) -> Fields:
    output = sum(one.output_tokens for one in said)
    reasoning = sum(len(one.reasoning) for one in said)
    return {
        "prompt_tokens": said[0].input_tokens,
        "completion_tokens": output,
        "total_tokens": said[0].input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def tool_call(one: Answer, arguments: str) -> Fields:
    assert one.tool is not None
    return {
        "id": f"call_{one.tag}",
        "type": "function",
        "function": {"name": one.tool[0], "arguments": arguments},
    }


def chat(body: Fields, tokens: int | None) -> list[Piece]:
    said = answers(body, tokens)
    choices = []
    for index, one in enumerate(said):
        message: Fields = {"role": "assistant", "content": None if one.tool else "".join(one.text)}
        if one.reasoning:
            message |= reasoning_fields(style_of(body), "".join(one.reasoning))
        if one.tool:
            message["tool_calls"] = [tool_call(one, one.tool[1])]
        top = int(body.get("top_logprobs") or 0)
        probs = {"content": [logprob(token, top) for token in one.text]} if body.get("logprobs") else None
        choices.append({"index": index, "message": message, "logprobs": probs, "finish_reason": one.finish})
    whole = {
        "id": f"chatcmpl-{said[0].tag}",
        "object": "chat.completion",
        "created": CREATED,
        "model": said[0].model,
        "choices": choices,
        "usage": chat_usage(said),
    }
    return [Piece(dumps(whole), sum(one.output_tokens for one in said))]


def sse(value: Any, tokens: int = 0, event: str = "") -> Piece:
    name = f"event: {event}\n".encode() if event else b""
    return Piece(name + b"data: " + dumps(value) + b"\n\n", tokens)


def chat_deltas(body: Fields, one: Answer) -> Iterator[tuple[Fields, Any, int]]:
    """Yield each delta of one choice: the delta, its log-probabilities, its tokens."""
    yield {"role": "assistant", "content": "" if not one.tool else None}, None, 0
    for token in one.reasoning:
        yield reasoning_fields(style_of(body), token), None, 1
    for token in one.text:
        probs = {"content": [logprob(token, int(body.get("top_logprobs") or 0))]}
        yield {"content": token}, probs if body.get("logprobs") else None, 1
    if one.tool:
        yield {"tool_calls": [{"index": 0, **tool_call(one, "")}]}, None, 0
        for part in pieces_of(one.tool[1]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}, None, 1


def chat_stream(body: Fields, tokens: int | None) -> list[Piece]:
    said = answers(body, tokens)
    frame = {"id": f"chatcmpl-{said[0].tag}", "object": "chat.completion.chunk", "created": CREATED}
    frame["model"] = said[0].model
    pieces = []
    for index, one in enumerate(said):
        for delta, probs, count in chat_deltas(body, one):
            choice = {"index": index, "delta": delta, "logprobs": probs, "finish_reason": None}
            pieces.append(sse({**frame, "choices": [choice]}, count))
        last = {"index": index, "delta": {}, "logprobs": None, "finish_reason": one.finish}
        pieces.append(sse({**frame, "choices": [last]}))
    if (body.get("stream_options") or {}).get("include_usage"):
        pieces.append(sse({**frame, "choices": [], "usage": chat_usage(said)}))
    return [*pieces, Piece(b"data: [DONE]\n\n")]


# --- completions -----------------------------------------------------------------------------------------


def old_logprobs(texts: tuple[str, ...], top: int) -> Fields:
    return {
        "tokens": list(texts),
        "token_logprobs": [-0.25 - len(text) / 100 for text in texts],
        "top_logprobs": [dict.fromkeys((token, *WORDS[: top - 1]), -0.25) for token in texts],
        "text_offset": [0 for _ in texts],
    }


def plain_answers(body: Fields, tokens: int | None) -> list[Answer]:
    """The old API has neither tools nor reasoning."""
    return [replace(one, reasoning=()) for one in answers({**body, "tools": None}, tokens)]


def completion(body: Fields, tokens: int | None) -> list[Piece]:
    said = plain_answers(body, tokens)
    top = body.get("logprobs")
    choices = [
        {
            "index": index,
            "text": "".join(one.text),
            "logprobs": old_logprobs(one.text, int(top)) if top is not None else None,
            "finish_reason": one.finish,
        }
        for index, one in enumerate(said)
    ]
    whole = {"id": f"cmpl-{said[0].tag}", "object": "text_completion", "created": CREATED}
    whole |= {"model": said[0].model, "choices": choices, "usage": chat_usage(said)}
    return [Piece(dumps(whole), sum(one.output_tokens for one in said))]


def completion_stream(body: Fields, tokens: int | None) -> list[Piece]:
    said = plain_answers(body, tokens)
    frame = {"id": f"cmpl-{said[0].tag}", "object": "text_completion", "created": CREATED}
    frame["model"] = said[0].model
    top = body.get("logprobs")
    pieces = []
    for index, one in enumerate(said):
        for token in one.text:
            probs = old_logprobs((token,), int(top)) if top is not None else None
            choice = {"index": index, "text": token, "logprobs": probs, "finish_reason": None}
            pieces.append(sse({**frame, "choices": [choice]}, 1))
        last = {"index": index, "text": "", "logprobs": None, "finish_reason": one.finish}
        pieces.append(sse({**frame, "choices": [last]}))
    if (body.get("stream_options") or {}).get("include_usage"):
        pieces.append(sse({**frame, "choices": [], "usage": chat_usage(said)}))
    return [*pieces, Piece(b"data: [DONE]\n\n")]


# --- embeddings and models -------------------------------------------------------------------------------


def embeddings(body: Fields, tokens: int | None) -> list[Piece]:
    asked = body.get("input", "")
    texts = asked if isinstance(asked, list) else [asked]
    data = []
    for index, text in enumerate(texts):
        digest = hashlib.blake2b(json.dumps(text).encode(), digest_size=8).digest()
        vector = [round(math.cos(byte), 6) for byte in digest]
        data.append({"object": "embedding", "index": index, "embedding": vector})
    count = count_input(body)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return [Piece(dumps({"object": "list", "data": data, "model": body.get("model"), "usage": usage}))]


MODELS = ("mira", "mira-mini", "mira-think", "deepseek-chat")


def models() -> list[Piece]:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "tests"} for name in MODELS]
    return [Piece(dumps({"object": "list", "data": data}))]


# --- responses -------------------------------------------------------------------------------------------


def reasoning_item(one: Answer) -> Fields:
    text = "".join(one.reasoning)
    return {
        "id": f"rs_{one.tag}",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text}],
        "content": [{"type": "reasoning_text", "text": text}],
        "encrypted_content": f"sealed {text}",
    }


def wants_probs(body: Fields) -> bool:
    return "message.output_text.logprobs" in (body.get("include") or ())


def text_part(body: Fields, one: Answer, text: str | None = None) -> Fields:
    probs = [logprob(token, 2) for token in one.text] if wants_probs(body) and text is None else []
    said = "".join(one.text) if text is None else text
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": probs}


def response_items(body: Fields, one: Answer) -> list[Fields]:
    items = [reasoning_item(one)] if one.reasoning else []
    if one.tool:
        call = {"id": f"fc_{one.tag}", "type": "function_call", "status": "completed"}
        call |= {"call_id": f"call_{one.tag}", "name": one.tool[0], "arguments": one.tool[1]}
        return [*items, call]
    message = {"id": f"msg_{one.tag}", "type": "message", "role": "assistant", "status": "completed"}
    return [*items, {**message, "content": [text_part(body, one)]}]


def response(body: Fields, one: Answer, status: str) -> Fields:
    done = status == "completed"
    usage = {
        "input_tokens": one.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": one.output_tokens,
        "output_tokens_details": {"reasoning_tokens": len(one.reasoning)},
        "total_tokens": one.input_tokens + one.output_tokens,
    }
    return {
        "id": f"resp_{one.tag}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": one.model,
        "output": response_items(body, one) if done else [],
        "parallel_tool_calls": True,
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
        "top_logprobs": body.get("top_logprobs") or 0,
        "usage": usage if done else None,
    }


def responses(body: Fields, tokens: int | None) -> list[Piece]:
    one = answer(body, tokens)
    return [Piece(dumps(response(body, one, "completed")), one.output_tokens)]


def reasoning_events(index: int, item: Fields, one: Answer) -> Iterator[tuple[str, Fields, int]]:
    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    empty = {**item, "summary": [], "content": [], "encrypted_content": None}
    yield "output_item.added", {"output_index": index, "item": empty}, 0
    part = {"type": "summary_text", "text": ""}
    yield "reasoning_summary_part.added", {**where, "part": part}, 0
    for token in one.reasoning:
        yield "reasoning_summary_text.delta", {**where, "delta": token}, 1
    text = "".join(one.reasoning)
    yield "reasoning_summary_text.done", {**where, "text": text}, 0
    yield "reasoning_summary_part.done", {**where, "part": {**part, "text": text}}, 0
    deep = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield "reasoning_text.delta", {**deep, "delta": text}, 0
    yield "reasoning_text.done", {**deep, "text": text}, 0
    yield "output_item.done", {"output_index": index, "item": item}, 0


def message_events(body: Fields, index: int, item: Fields, one: Answer) -> Iterator[tuple[str, Fields, int]]:
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    yield "output_item.added", {"output_index": index, "item": begun}, 0
    yield "content_part.added", {**where, "part": text_part(body, one, "")}, 0
    for token in one.text:
        probs = [logprob(token, 2)] if wants_probs(body) else []
        yield "output_text.delta", {**where, "delta": token, "logprobs": probs}, 1
    part = text_part(body, one)
    yield "output_text.done", {**where, "text": part["text"], "logprobs": part["logprobs"]}, 0
    yield "content_part.done", {**where, "part": part}, 0
    yield "output_item.done", {"output_index": index, "item": item}, 0


def call_events(index: int, item: Fields) -> Iterator[tuple[str, Fields, int]]:
    where = {"item_id": item["id"], "output_index": index}
    begun = {**item, "status": "in_progress", "arguments": ""}
    yield "output_item.added", {"output_index": index, "item": begun}, 0
    for part in pieces_of(item["arguments"]):
        yield "function_call_arguments.delta", {**where, "delta": part}, 1
    done = {"name": item["name"], "arguments": item["arguments"]}
    yield "function_call_arguments.done", {**where, **done}, 0
    yield "output_item.done", {"output_index": index, "item": item}, 0


def responses_events(body: Fields, one: Answer) -> Iterator[tuple[str, Fields, int]]:
    yield "created", {"response": response(body, one, "in_progress")}, 0
    yield "in_progress", {"response": response(body, one, "in_progress")}, 0
    for index, item in enumerate(response_items(body, one)):
        if item["type"] == "reasoning":
            yield from reasoning_events(index, item, one)
        elif item["type"] == "message":
            yield from message_events(body, index, item, one)
        else:
            yield from call_events(index, item)
    yield "completed", {"response": response(body, one, "completed")}, 0


def responses_stream(body: Fields, tokens: int | None) -> list[Piece]:
    one = answer(body, tokens)
    return [
        sse({"type": f"response.{name}", "sequence_number": at, **fields}, count, event=f"response.{name}")
        for at, (name, fields, count) in enumerate(responses_events(body, one))
    ]


# --- Anthropic messages ----------------------------------------------------------------------------------

ENDS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def blocks(one: Answer) -> list[Fields]:
    found: list[Fields] = []
    if one.reasoning:
        text = "".join(one.reasoning)
        found.append({"type": "thinking", "thinking": text, "signature": f"sig {text}"})
        found.append({"type": "redacted_thinking", "data": f"sealed {text}"})
    if one.tool:
        block = {"type": "tool_use", "id": f"toolu_{one.tag}", "name": one.tool[0]}
        found.append({**block, "input": json.loads(one.tool[1])})
    else:
        found.append({"type": "text", "text": "".join(one.text)})
    return found


def message(one: Answer) -> Fields:
    return {
        "id": f"msg_{one.tag}",
        "type": "message",
        "role": "assistant",
        "model": one.model,
        "content": blocks(one),
        "stop_reason": ENDS[one.finish],
        "stop_sequence": None,
        "usage": {"input_tokens": one.input_tokens, "output_tokens": one.output_tokens},
    }


def messages(body: Fields, tokens: int | None) -> list[Piece]:
    one = answer(body, tokens)
    return [Piece(dumps(message(one)), one.output_tokens)]


def block_deltas(block: Fields, one: Answer) -> Iterator[tuple[Fields, int]]:
    if block["type"] == "thinking":
        for token in one.reasoning:
            yield {"type": "thinking_delta", "thinking": token}, 1
        yield {"type": "signature_delta", "signature": block["signature"]}, 0
    elif block["type"] == "tool_use":
        assert one.tool is not None
        for part in pieces_of(one.tool[1]):
            yield {"type": "input_json_delta", "partial_json": part}, 1
    elif block["type"] == "text":
        for token in one.text:
            yield {"type": "text_delta", "text": token}, 1


EMPTY = {"thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}, "text": {"text": ""}}


def messages_stream(body: Fields, tokens: int | None) -> list[Piece]:
    one = answer(body, tokens)
    begun = {**message(one), "content": [], "stop_reason": None}
    begun["usage"] = {"input_tokens": one.input_tokens, "output_tokens": 1}
    events: list[tuple[str, Fields, int]] = [("message_start", {"message": begun}, 0), ("ping", {}, 0)]
    for index, block in enumerate(blocks(one)):
        start = {**block, **EMPTY.get(block["type"], {})}
        events.append(("content_block_start", {"index": index, "content_block": start}, 0))
        for delta, count in block_deltas(block, one):
            events.append(("content_block_delta", {"index": index, "delta": delta}, count))
        events.append(("content_block_stop", {"index": index}, 0))
    end = {"stop_reason": ENDS[one.finish], "stop_sequence": None}
    events.append(("message_delta", {"delta": end, "usage": {"output_tokens": one.output_tokens}}, 0))
    events.append(("message_stop", {}, 0))
    return [sse({"type": name, **fields}, count, event=name) for name, fields, count in events]


WHOLE = {
    "/chat/completions": chat,
    "/completions": completion,
    "/responses": responses,
    "/embeddings": embeddings,
    "/messages": messages,
}
STREAMED = {
    "/chat/completions": chat_stream,
    "/completions": completion_stream,
    "/responses": responses_stream,
    "/messages": messages_stream,
}
