"""LangSmith's runs: bulk export (Parquet, texts as JSON), the runs API, and what its SDK sends.

Runs that are not model calls (chains, tools) are skipped. LangSmith names no billing account, so metadata
that the application sets is used. LangChain's messages are constructors with their arguments; of several
conversations in one run the first is read.

Source: docs.langchain.com/langsmith/run-data-format (read 2026-11); what langsmith 0.15.1 (`wrap_openai`) and
langchain-core 1.8.3 send.
"""

from collections.abc import Iterator

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.litellm import utc
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.messages import as_object, dig, first, from_text, text_of

ACCOUNT = (
    "account", "account_id", "tenant", "tenant_id", "customer_id", "org_id", "organization_id",
    "user_api_key_hash", "user_id",
)  # fmt: skip

ROLES = {"human": "user", "ai": "assistant"}  # LangChain's message type -> the role; others are the same
ASKED = (
    "model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "seed", "stream", "user",
)  # fmt: skip


def sniff(obj: Json) -> bool:
    return "run_type" in obj and "inputs" in obj and "start_time" in obj


def rows(obj: Json) -> Iterator[Item]:
    if obj.get("run_type") not in ("llm", "embedding"):
        yield ASIDE
        return
    request, answer = as_object(obj.get("inputs")), as_object(obj.get("outputs"))
    extra = from_text(obj.get("extra"))
    metadata = dig(extra, "metadata")
    generated = first(dig(answer, "generations", 0, 0), dig(answer, "generations", 0))
    usage = first(
        dig(answer, "usage_metadata"),
        dig(metadata, "usage_metadata"),
        dig(generated, "message", "kwargs", "usage_metadata"),
    )
    row: Row = exchange(_merged_request(request, dig(extra, "invocation_params")), answer)
    row["completion"] = first(row["completion"], text_of(dig(generated, "text")))
    row["finish_reason"] = first(row["finish_reason"], dig(generated, "generation_info", "finish_reason"))
    row |= {
        "exchange_id": obj.get("id"),
        "time": utc(obj.get("start_time")),
        "account": first(*(dig(metadata, name) for name in ACCOUNT)),
        "operation": "embeddings" if obj.get("run_type") == "embedding" else "chat",
        "model": first(row["model"], dig(metadata, "ls_model_name")),
        "conversation": first(
            *(dig(metadata, name) for name in ("thread_id", "conversation_id", "session_id"))
        ),
        "input_tokens": first(row["input_tokens"], dig(usage, "input_tokens"), obj.get("prompt_tokens")),
        "output_tokens": first(
            row["output_tokens"], dig(usage, "output_tokens"), obj.get("completion_tokens")
        ),
        "temperature": first(row["temperature"], dig(metadata, "ls_temperature")),
        "max_tokens": first(row["max_tokens"], dig(metadata, "ls_max_tokens")),
        "status": 500 if obj.get("error") else 200,
    }
    if row["account"] is None:
        raise Refused(
            f"has no account: extra.metadata has none of {', '.join(ACCOUNT)} (another name: "
            "--map account=extra.metadata.NAME)",
            row=row,
        )
    yield row


def _merged_request(inputs: Json, parameters: object) -> dict[str, object]:
    """Return a request's body: LangChain keeps messages or prompts in the inputs, settings elsewhere."""
    request = dict(inputs)
    messages = inputs.get("messages")
    if isinstance(messages, list):
        conversation = messages[0] if messages and isinstance(messages[0], list) else messages
        request["messages"] = [_plain_message(message) for message in conversation]
    elif (prompt := dig(inputs, "prompts", 0)) is not None:
        request["messages"] = [{"role": "user", "content": prompt}]
    for name in ASKED:
        value = dig(parameters, name)
        if value is not None:
            request.setdefault(name, value)
    return request


def _plain_message(message: object) -> object:
    """Return a message as the APIs write it, including where LangChain wrote its constructor."""
    arguments = dig(message, "kwargs")
    if not isinstance(arguments, dict) or dig(message, "lc") is None or dig(message, "content") is not None:
        return message  # fields that a client adds to its message must not replace it
    kind = str(arguments.get("type"))
    return {"role": first(arguments.get("role"), ROLES.get(kind, kind)), "content": arguments.get("content")}


FORMAT = Format(name="LangSmith", order=46, sniff=sniff, open=lambda: Stateless(rows))
