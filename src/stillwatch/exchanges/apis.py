"""What a request to a model looks like: where its text lies, and whose voice it is. One table an API.

`request_text.py` reads bodies by them. A table says only what it must: a key that no table knows is looked
into all the same, so that a table which is too short makes text count as the user's, and never as nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
     "title", "context", "snippet", "reasoning_content")
)  # fmt: skip
# Here the keys are the client's own, and as much text as the values
FREE = frozenset(
    ("arguments", "args", "input", "response", "json", "variables", "parameters", "input_schema", "schema",
     "inputschema", "properties", "structured_content", "result")
)  # fmt: skip
# What no model reads: names, settings, and seals of a provider's own
SILENT = frozenset(
    ("id", "type", "role", "model", "user", "object", "status", "metadata", "safety_identifier",
     "prompt_cache_key", "cache_control", "call_id", "tool_call_id", "tool_use_id", "tooluseid", "item_id",
     "signature", "thoughtsignature", "thought_signature", "encrypted_content", "encrypted_index",
     "redactedcontent", "media_type", "mimetype", "mime_type", "detail", "file_id", "fileuri",
     "file_uri", "stop", "stop_sequences", "stopsequences", "logit_bias", "previous_response_id",
     "conversation", "finish_reason")
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


APIS = (
    # Gemini and Vertex AI: generateContent, countTokens, embedContent, predict.
    # Source: ai.google.dev/api/generate-content, ai.google.dev/api/embeddings (read 2026-11).
    Api(
        name="Gemini",
        order=10,
        paths=(":generatecontent", ":streamgeneratecontent", ":counttokens", ":embedcontent",
               ":batchembedcontents", ":predict"),
        marks=("contents", "instances", "generatecontentrequest"),
        places={
            "contents": USER, "content": USER, "instances": USER, "requests": USER, "tools": SYSTEM,
            "systeminstruction": SYSTEM, "system_instruction": SYSTEM, "generationconfig": SYSTEM,
            "generation_config": SYSTEM,
        },
        turns=("contents",),
        keys={**KEYS, "codeexecutionresult": TOOL, "code_execution_result": TOOL},
    ),
    # AWS Bedrock Converse, and agents.
    # Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (read 2026-11).
    Api(
        name="Bedrock Converse",
        order=20,
        paths=("/converse", "/converse-stream"),
        marks=("inferenceconfig", "toolconfig", "promptvariables", "additionalmodelrequestfields",
               "guardrailconfig", "requestmetadata", "sessionstate"),
        places={"messages": USER, "promptvariables": USER, "inputtext": USER, "system": SYSTEM,
                "toolconfig": SYSTEM, "additionalmodelrequestfields": USER, "sessionstate": USER},
        turns=("messages",),
        free=FREE | {"promptvariables", "additionalmodelrequestfields"},
    ),
    # Amazon Titan's own bodies on Bedrock's invoke: text and embeddings. Llama's are completions in shape.
    # Source: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html (read 2026-11).
    Api(
        name="Bedrock Titan",
        order=25,
        paths=(),
        marks=("inputtext",),
        places={"inputtext": USER},
        texts=TEXTS | {"inputtext"},
    ),
    # Cohere: chat (its first version; the second is OpenAI's in shape), embed, rerank.
    # Source: docs.cohere.com/v1/reference/chat, /reference/embed, /reference/rerank (read 2026-11).
    Api(
        name="Cohere",
        order=28,
        paths=("/v1/chat", "/v2/chat", "/v1/embed", "/v2/embed", "/v1/rerank", "/v2/rerank", "/rerank"),
        marks=("message", "chat_history", "preamble", "texts", "query"),
        places={"chat_history": USER, "message": USER, "documents": USER, "tool_results": USER, "texts": USER,
                "query": USER, "messages": USER, "preamble": SYSTEM, "tools": SYSTEM,
                "response_format": SYSTEM},
        turns=("chat_history", "messages"),
        texts=TEXTS | {"texts", "preamble", "outputs"},
        free=FREE | {"documents", "outputs", "data"},
    ),
    # OpenAI's assistants: threads, their messages, and runs.
    # Source: developers.openai.com/api/reference/resources/beta/threads (read 2026-11).
    Api(
        name="OpenAI threads",
        order=30,
        paths=("/threads", "/runs", "/assistants", "/submit_tool_outputs"),
        marks=("thread", "assistant_id", "additional_messages", "additional_instructions", "tool_outputs",
               "role"),
        places={"thread": USER, "additional_messages": USER, "content": USER, "tool_outputs": USER,
                "instructions": SYSTEM, "additional_instructions": SYSTEM, "tools": SYSTEM,
                "response_format": SYSTEM},
        stored=("assistant_id",),
        turns=("messages", "additional_messages"),
    ),
    # Ollama's generate; its chat is OpenAI's in shape.
    # Source: docs.ollama.com/api/generate (read 2026-11).
    Api(
        name="Ollama",
        order=34,
        paths=("/api/generate", "/api/chat", "/api/embed", "/api/embeddings"),
        marks=("template", "keep_alive", "raw", "num_predict"),
        places={"messages": USER, "prompt": USER, "suffix": USER, "input": USER, "system": SYSTEM,
                "template": SYSTEM, "tools": SYSTEM, "format": SYSTEM},
        turns=("messages",),
        texts=TEXTS | {"suffix", "system", "template"},
    ),
    # Anthropic's messages and its older text completions, also as Bedrock and Vertex take them.
    # Source: platform.claude.com/docs/en/api/messages (read 2026-11).
    Api(
        name="Anthropic messages",
        order=35,
        paths=("/messages", "/messages/count_tokens", "/complete", ":rawpredict", ":streamrawpredict"),
        marks=("anthropic_version", "system", "thinking", "stop_sequences", "max_tokens_to_sample"),
        places={"messages": USER, "prompt": USER, "system": SYSTEM, "tools": SYSTEM, "output_format": SYSTEM,
                "output_config": SYSTEM, "mcp_servers": SYSTEM},
        turns=("messages",),
        texts=TEXTS | {"source", "cited_text", "system"},
    ),
    # OpenAI chat completions, and what speaks like it: Azure, Mistral, vLLM, Together, Groq, Databricks.
    # Source: developers.openai.com/api/reference/resources/chat (read 2026-11).
    Api(
        name="OpenAI chat",
        order=40,
        paths=("/chat/completions",),
        marks=("messages",),
        places={
            "messages": USER, "tools": SYSTEM, "functions": SYSTEM, "response_format": SYSTEM,
            "prediction": MODEL,  # what the client expects as the answer; no model is asked by it
            "documents": USER,  # vLLM's chat templates
        },
        turns=("messages",),
    ),
    # Hugging Face inference, Replicate and KServe: `inputs`, or `input` as an object.
    # Source: huggingface.co/docs/inference-providers/tasks (read 2026-11).
    Api(
        name="Hugging Face",
        order=45,
        paths=(),
        marks=("inputs",),
        places={"inputs": USER},
        texts=TEXTS | {"inputs", "question", "sentences", "source_sentence"},
    ),
    # OpenAI Responses and the items of its conversations.
    # Source: developers.openai.com/api/reference/resources/responses, .../conversations (read 2026-11).
    Api(
        name="OpenAI Responses",
        order=50,
        paths=("/responses", "/items", "/conversations", "/input_tokens"),
        marks=("input", "items", "instructions"),
        places={"input": USER, "items": USER, "prompt": USER, "instructions": SYSTEM, "tools": SYSTEM,
                "text": SYSTEM},
        stored=("prompt",),
        turns=("input", "items"),
        texts=TEXTS | {"code", "logs", "queries", "variables"},
    ),
    # OpenAI completions and embeddings, images and speech: one text or a list of texts, without turns.
    # Source: developers.openai.com/api/reference/resources/completions, .../embeddings (read 2026-11).
    Api(
        name="OpenAI completions",
        order=60,
        paths=("/completions", "/embeddings", "/images/generations", "/audio/speech"),
        marks=("prompt",),
        places={"prompt": USER, "suffix": USER, "images": USER, "template": USER, "context": USER},
        texts=TEXTS | {"suffix"},
    ),
)  # fmt: skip


def all_apis() -> tuple[Api, ...]:
    """Every API, the more particular first."""
    return APIS
