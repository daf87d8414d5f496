"""The shape of a request to a model: where its text is, and who is speaking. One file per API.

An API is one file in this folder that defines `API`; `request_text.py` beside this folder reads bodies with
it. Keys in no table are read all the same: an incomplete table can attribute text to the user, but never lose
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from stillwatch.plugins import modules_of

Voice = Literal["user", "tool", "model", "system"]

USER: Voice = "user"  # the person or program that asks
TOOL: Voice = "tool"  # results of a tool or a search
MODEL: Voice = "model"  # what the client claims that the model answered
SYSTEM: Voice = "system"  # the application: instructions, and the tools that it offers

# Spelled the same in most APIs. Compared in lower case, since upstreams differ in what they accept.
ROLES: Mapping[str, Voice] = {
    "user": USER, "human": USER, "system": SYSTEM, "developer": SYSTEM, "assistant": MODEL, "model": MODEL,
    "ai": MODEL, "chatbot": MODEL, "tool": TOOL, "function": TOOL, "ipython": TOOL,
}  # fmt: skip
TYPES: Mapping[str, Voice] = {  # of an object that is a message, or part of one
    "output_text": MODEL, "reasoning": MODEL, "thinking": MODEL, "function_call": MODEL, "tool_use": MODEL,
    "custom_tool_call": MODEL, "mcp_call": MODEL, "server_tool_use": MODEL,
    "tool_result": TOOL, "function_call_output": TOOL, "custom_tool_call_output": TOOL,
    "computer_call_output": TOOL, "local_shell_call_output": TOOL, "shell_call_output": TOOL,
    "web_search_tool_result": TOOL, "code_execution_tool_result": TOOL, "mcp_tool_result": TOOL,
    "tool_call_response": TOOL, "tool_call": MODEL,
}  # fmt: skip
KEYS: Mapping[str, Voice] = {  # of the value under a key, at any depth
    "tool_calls": MODEL, "function_call": MODEL, "functioncall": MODEL, "tooluse": MODEL, "tool_use": MODEL,
    "reasoning_content": MODEL, "reasoningcontent": MODEL,
    "toolresult": TOOL, "functionresponse": TOOL, "function_response": TOOL, "tool_results": TOOL,
}  # fmt: skip
# A string under these keys is text, however short; under other keys only if it looks like text
TEXTS = frozenset(
    ("text", "content", "parts", "input", "output", "prompt", "message", "arguments", "thinking", "refusal",
     "description", "instructions", "query", "documents", "data", "file_data", "bytes", "result", "summary",
     "title", "context", "snippet", "reasoning_content", "tokens", "token_ids", "input_ids",
     "prompt_token_ids")
)  # fmt: skip
# Under these keys the client chooses the keys inside, which are text as much as the values
FREE = frozenset(
    ("arguments", "args", "input", "response", "json", "variables", "parameters", "input_schema", "schema",
     "inputschema", "properties", "structured_content", "result", "$defs", "definitions",
     "patternproperties", "dependentschemas", "default", "const", "examples", "input_examples", "env",
     "attributes")
)  # fmt: skip
# Names. Some chat templates show them to the model (Kimi's the ids of calls): a sentence in one is text
NAMES = frozenset(
    ("id", "call_id", "tool_call_id", "tool_use_id", "tooluseid", "item_id", "file_id", "conversation",
     "object", "status", "user", "detail", "finish_reason")
)  # fmt: skip
# Not read by any model: names, settings, and a provider's signatures
SILENT = NAMES | frozenset(
    ("type", "role", "model", "metadata", "safety_identifier", "prompt_cache_key", "cache_control",
     "signature", "thoughtsignature", "thought_signature", "encrypted_content", "encrypted_index",
     "redactedcontent", "media_type", "mimetype", "mime_type", "fileuri", "file_uri", "stop",
     "stop_sequences", "stopsequences", "logit_bias", "previous_response_id")
)  # fmt: skip


@dataclass(frozen=True)
class Api:
    """The requests of one API. Keys and values in lower case."""

    name: str
    order: int  # tried in this order: the more specific first
    paths: tuple[str, ...]  # endings of its request paths
    marks: tuple[str, ...]  # if the path is inconclusive: a body with one of these keys is this API's
    places: Mapping[str, Voice]  # keys of the body that contain text
    stored: tuple[str, ...] = ()  # keys that refer to a text stored at the provider
    turns: tuple[str, ...] = ()  # lists of turns; earlier turns are repeated in each request
    roles: Mapping[str, Voice] = field(default_factory=lambda: ROLES)
    types: Mapping[str, Voice] = field(default_factory=lambda: TYPES)
    keys: Mapping[str, Voice] = field(default_factory=lambda: KEYS)
    texts: frozenset[str] = TEXTS
    free: frozenset[str] = FREE
    silent: frozenset[str] = SILENT


@cache
def all_apis() -> tuple[Api, ...]:
    """Return every API that has a file here, the more specific first."""
    return tuple(
        sorted((module.API for module in modules_of(__name__)), key=lambda api: (api.order, api.name))
    )
