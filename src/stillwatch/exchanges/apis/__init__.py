"""The shape of a request to a model: where its text lies, and whose voice it is. One file an API.

An API is one file in this folder with an `API` in it; `request_text.py` beside this folder reads bodies by
it. A table says only what it must: a key that no table knows is read all the same, so that a table which is
too short makes text count as the user's, and never as nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from stillwatch.plugins import modules_of

Voice = Literal["user", "tool", "model", "system"]

USER: Voice = "user"  # who asks
TOOL: Voice = "tool"  # what a tool, or a search, gave back
MODEL: Voice = "model"  # what the client says that the model answered
SYSTEM: Voice = "system"  # the application: instructions, and what tools it offers

# What is written alike in most APIs. Compared in small letters: upstreams differ in what they forgive.
ROLES: Mapping[str, Voice] = {
    "user": USER, "human": USER, "system": SYSTEM, "developer": SYSTEM, "assistant": MODEL, "model": MODEL,
    "ai": MODEL, "chatbot": MODEL, "tool": TOOL, "function": TOOL, "ipython": TOOL,
}  # fmt: skip
TYPES: Mapping[str, Voice] = {  # of an object that is a message, or a part of one
    "output_text": MODEL, "reasoning": MODEL, "thinking": MODEL, "function_call": MODEL, "tool_use": MODEL,
    "custom_tool_call": MODEL, "mcp_call": MODEL, "server_tool_use": MODEL,
    "tool_result": TOOL, "function_call_output": TOOL, "custom_tool_call_output": TOOL,
    "computer_call_output": TOOL, "local_shell_call_output": TOOL, "shell_call_output": TOOL,
    "web_search_tool_result": TOOL, "code_execution_tool_result": TOOL, "mcp_tool_result": TOOL,
    "tool_call_response": TOOL, "tool_call": MODEL,
}  # fmt: skip
KEYS: Mapping[str, Voice] = {  # of what lies under a key, wherever it stands
    "tool_calls": MODEL, "function_call": MODEL, "functioncall": MODEL, "tooluse": MODEL, "tool_use": MODEL,
    "reasoning_content": MODEL, "reasoningcontent": MODEL,
    "toolresult": TOOL, "functionresponse": TOOL, "function_response": TOOL, "tool_results": TOOL,
}  # fmt: skip
# A string here is text, however short; under any other key only what looks like text is
TEXTS = frozenset(
    ("text", "content", "parts", "input", "output", "prompt", "message", "arguments", "thinking", "refusal",
     "description", "instructions", "query", "documents", "data", "file_data", "bytes", "result", "summary",
     "title", "context", "snippet", "reasoning_content", "tokens", "token_ids", "input_ids",
     "prompt_token_ids")
)  # fmt: skip
# Here the keys are the client's own, and as much text as the values
FREE = frozenset(
    ("arguments", "args", "input", "response", "json", "variables", "parameters", "input_schema", "schema",
     "inputschema", "properties", "structured_content", "result", "$defs", "definitions",
     "patternproperties", "dependentschemas", "default", "const", "examples", "input_examples", "env",
     "attributes")
)  # fmt: skip
# Names of things. Some chat templates show them to the model (Kimi's the ids of calls): a sentence is text
NAMES = frozenset(
    ("id", "call_id", "tool_call_id", "tool_use_id", "tooluseid", "item_id", "file_id", "conversation",
     "object", "status", "user", "detail", "finish_reason")
)  # fmt: skip
# What no model reads: names, settings, and seals of a provider's own
SILENT = NAMES | frozenset(
    ("type", "role", "model", "metadata", "safety_identifier", "prompt_cache_key", "cache_control",
     "signature", "thoughtsignature", "thought_signature", "encrypted_content", "encrypted_index",
     "redactedcontent", "media_type", "mimetype", "mime_type", "fileuri", "file_uri", "stop",
     "stop_sequences", "stopsequences", "logit_bias", "previous_response_id")
)  # fmt: skip


@dataclass(frozen=True)
class Api:
    """One API's requests. Keys and values in small letters."""

    name: str
    order: int  # asked in this order: the more particular first
    paths: tuple[str, ...]  # endings of the paths to which its requests go
    marks: tuple[str, ...]  # where the path says nothing: a body with one of these keys is this API's
    places: Mapping[str, Voice]  # keys of the body under which text lies
    stored: tuple[str, ...] = ()  # keys that name a text which lies at the provider
    turns: tuple[str, ...] = ()  # lists whose elements are turns: earlier ones come again with each request
    roles: Mapping[str, Voice] = field(default_factory=lambda: ROLES)
    types: Mapping[str, Voice] = field(default_factory=lambda: TYPES)
    keys: Mapping[str, Voice] = field(default_factory=lambda: KEYS)
    texts: frozenset[str] = TEXTS
    free: frozenset[str] = FREE
    silent: frozenset[str] = SILENT


@cache
def all_apis() -> tuple[Api, ...]:
    """Every API that has a file here, the more particular first."""
    return tuple(
        sorted((module.API for module in modules_of(__name__)), key=lambda api: (api.order, api.name))
    )
