"""MLflow's traces with their spans, as `Trace.to_json`, its REST API and `search_traces` give them.

Each attribute of a span is JSON in a text; request and answer are whole in it. Spans that are not model calls
are skipped. The account is the user that the application gave the trace; `mlflow.user` is the person who ran
the process, not an account.

Source: mlflow/entities/trace.py and span.py, mlflow/tracing/constant.py (3.17.2).
"""

from collections.abc import Iterator

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.messages import as_object, dig, first, from_text

MODEL_SPANS = ("CHAT_MODEL", "LLM", "EMBEDDING")
USER, SESSION = "mlflow.trace.user", "mlflow.trace.session"


def sniff(obj: Json) -> bool:
    if "trace" in obj and "trace_metadata" in obj:  # a row of mlflow.search_traces
        return True
    return isinstance(dig(obj, "data", "spans"), list) and isinstance(obj.get("info"), dict)


def rows(obj: Json) -> Iterator[Item]:
    if "trace" in obj:
        obj = as_object(obj["trace"])
    spans = dig(obj, "data", "spans")
    if not isinstance(spans, list):
        raise Refused("its trace has no spans: right would be mlflow.search_traces(include_spans=True)")
    metadata = first(dig(obj, "info", "trace_metadata"), dig(obj, "info", "request_metadata"))
    for span in spans:
        kind = _attribute(span, "mlflow.spanType")
        if kind not in MODEL_SPANS:
            yield ASIDE
            continue
        request, answer = (_attribute(span, f"mlflow.span{name}") for name in ("Inputs", "Outputs"))
        row: Row = exchange(
            request if isinstance(request, dict) else {}, answer if isinstance(answer, dict) else {}
        )
        usage = _attribute(span, "mlflow.chat.tokenUsage")
        start, end = dig(span, "start_time_unix_nano"), dig(span, "end_time_unix_nano")
        nanoseconds = end - start if isinstance(start, int) and isinstance(end, int) else -1
        row |= {
            "exchange_id": f"{dig(obj, 'info', 'trace_id')}:{dig(span, 'span_id')}",
            "time": start,
            "account": dig(metadata, USER),
            "conversation": first(row["conversation"], dig(metadata, SESSION)),
            "operation": "embeddings" if kind == "EMBEDDING" else "chat",
            "model": first(row["model"], _attribute(span, "mlflow.llm.model")),
            "input_tokens": first(row["input_tokens"], dig(usage, "input_tokens")),
            "output_tokens": first(row["output_tokens"], dig(usage, "output_tokens")),
            "status": 500 if dig(span, "status", "code") == "STATUS_CODE_ERROR" else 200,
            "latency_ms": nanoseconds // 1_000_000 if nanoseconds >= 0 else None,
        }
        if row["account"] is None:
            yield Refused(
                f"has no account: the trace's metadata has no {USER} (another name: "
                "--map account=info.trace_metadata.NAME)",
                row=row,
            )
        else:
            yield row


def _attribute(span: object, name: str) -> object:
    """Return an attribute of a span, decoded; even plain text is JSON, in quotes."""
    value = dig(span, "attributes", name)
    if isinstance(value, str) and value.startswith('"') and value.endswith('"') and len(value) > 1:
        return value[1:-1]
    return from_text(value)


FORMAT = Format(name="MLflow", order=43, sniff=sniff, open=lambda: Stateless(rows))
