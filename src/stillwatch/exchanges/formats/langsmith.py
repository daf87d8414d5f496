"""LangSmith's runs: bulk export (Parquet, texts as JSON), the runs API, and what its SDK sends.

A run that is no call of a model (a chain, a tool) is set aside. LangSmith names no billing account: the
metadata that the application sets counts. It does not read messages that LangChain serialised as
constructors.

Source: docs.langchain.com/langsmith/run-data-format (read 2026-11); langsmith 0.15.1 (`wrap_openai`).
"""

from collections.abc import Iterator

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.litellm import utc
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.messages import dig, first, from_text

ACCOUNT = (
    "account", "account_id", "tenant", "tenant_id", "customer_id", "org_id", "organization_id",
    "user_api_key_hash", "user_id",
)  # fmt: skip


def sniff(obj: Json) -> bool:
    return "run_type" in obj and "inputs" in obj and "start_time" in obj


def rows(obj: Json) -> Iterator[Item]:
    if obj.get("run_type") not in ("llm", "embedding"):
        yield ASIDE
        return
    request, answer = from_text(obj.get("inputs")), from_text(obj.get("outputs"))
    request = request if isinstance(request, dict) else {}
    answer = answer if isinstance(answer, dict) else {}
    about = dig(from_text(obj.get("extra")), "metadata")
    usage = first(dig(answer, "usage_metadata"), dig(about, "usage_metadata"))
    row: Row = exchange(request, answer)
    row |= {
        "exchange_id": obj.get("id"),
        "time": utc(obj.get("start_time")),
        "account": first(*(dig(about, name) for name in ACCOUNT)),
        "operation": "embeddings" if obj.get("run_type") == "embedding" else "chat",
        "model": first(row["model"], dig(about, "ls_model_name")),
        "conversation": first(*(dig(about, name) for name in ("thread_id", "conversation_id", "session_id"))),
        "input_tokens": first(row["input_tokens"], dig(usage, "input_tokens"), obj.get("prompt_tokens")),
        "output_tokens": first(
            row["output_tokens"], dig(usage, "output_tokens"), obj.get("completion_tokens")
        ),
        "temperature": first(row["temperature"], dig(about, "ls_temperature")),
        "max_tokens": first(row["max_tokens"], dig(about, "ls_max_tokens")),
        "status": 500 if obj.get("error") else 200,
    }
    if row["account"] is None:
        raise Refused(
            f"has no account: extra.metadata has none of {', '.join(ACCOUNT)} (another name: "
            "--map account=extra.metadata.NAME)",
            row=row,
        )
    yield row


FORMAT = Format(name="LangSmith", order=46, sniff=sniff, open=lambda: Stateless(rows))
