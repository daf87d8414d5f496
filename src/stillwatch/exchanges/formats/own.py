"""Our own record, as JSONL or CSV rows (Parquet is read by column in `columnar.py`, under the same names).

Each column's own name has priority, then its usual aliases.
"""

from collections.abc import Iterator
from functools import lru_cache

from stillwatch.exchanges import NEEDED, RECORD
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Row, Stateless
from stillwatch.exchanges.messages import dig, first, from_text, message_text, text_of
from stillwatch.exchanges.request_text import messages_text

ALIASES: dict[str, tuple[str, ...]] = {
    "exchange_id": ("request_id", "id", "requestid"),
    "time": (
        "timestamp", "ts", "created", "created_at", "start_time", "@timestamp", "datetime", "event_time",
        "request_timestamp", "received_at", "logged_at", "occurred_at", "requested_at", "started_at",
        "request_start_time",
        "timestamp_utc", "timestamp_ms", "ts_ms",
        "time_generated", "@t", "date",
    ),
    "account": (
        "account_id", "customer", "customer_id", "org_id", "organization", "api_key", "api_key_id",
        "api_key_hash", "key_id", "tenant", "tenant_id", "organization_id", "subscription_id",
        "workspace_id", "team_id", "client_id", "key_hash", "consumer", "consumer_id", "billing_account",
        "billing_account_id", "org",
    ),
    "end_user": ("user", "user_id", "enduser", "safety_identifier"),
    "client_ip": ("ip", "ip_address", "remote_addr", "source_ip", "remote_ip", "client_address"),
    "asn": ("as_number",),
    "user_agent": ("ua", "useragent", "http_user_agent"),
    "operation": ("endpoint", "call_type"),
    "model": ("model_id", "model_name", "requested_model"),
    "conversation": ("conversation_id", "session_id", "thread_id", "chat_id"),
    "system": ("system_prompt", "instructions", "system_message"),
    "prompt": (
        "user_prompt", "input", "question", "text", "prompt_text", "user_message", "user_input", "query",
    ),
    "tools": ("tool_count", "num_tools"),
    "input_tokens": ("prompt_tokens", "tokens_in", "input_token_count", "prompt_token_count"),
    "output_tokens": ("completion_tokens", "tokens_out", "output_token_count", "completion_token_count"),
    "max_tokens": ("max_output_tokens", "max_completion_tokens"),
    "stream": ("streaming",),
    "status": ("status_code", "http_status", "http_status_code", "response_code"),
    "finish_reason": ("stop_reason",),
    "latency_ms": ("duration_ms", "response_time_ms", "elapsed_ms"),
    "completion": ("output", "answer", "response_text", "completion_text", "response", "assistant_response"),
}  # fmt: skip
COLUMN_OF: dict[str, str] = {name: name for name in RECORD.names} | {
    alias: name for name, aliases in ALIASES.items() for alias in aliases
}
# a spreadsheet's CSV or another tool's Parquet: "Account ID" and "accountId" are equivalent
_FOLD = str.maketrans("", "", " _-.")


def fold_name(written: str) -> str:
    """Return a name without case, blanks and punctuation."""
    return written.lower().translate(_FOLD)


SHOWN = 6  # aliases in a message: more would hide what to type
RANK = {  # by folded name: the column's own name, then its aliases in their order
    fold_name(written): 2 * place
    for name, aliases in ALIASES.items()
    for place, written in reversed(list(enumerate((name, *aliases))))
}
FOLDED: dict[str, str] = {}
for _written, _name in COLUMN_OF.items():
    FOLDED.setdefault(fold_name(_written), _name)


def column_of(written: str) -> str | None:
    """Return the record's column that a name means, or None."""
    return COLUMN_OF.get(written) or FOLDED.get(fold_name(written))


def columns_of(names: list[str]) -> dict[str, str]:
    """Return record column -> written name: the exact name, else the alias listed first above.

    The columns' order is irrelevant, so that two lines of one log cannot name different payers.
    """
    columns: dict[str, str] = {}
    for written in sorted(names, key=_rank):
        name = column_of(written)
        if name:
            columns.setdefault(name, written)
    return columns


def _rank(written: str) -> tuple[int, str]:
    return RANK.get(fold_name(written), 0) + (COLUMN_OF.get(written) is None), written


def short_list(name: str) -> str:
    """Return the first aliases of a column, for a message."""
    left_out = len(ALIASES[name]) - SHOWN
    return ", ".join(ALIASES[name][:SHOWN]) + (f" and {left_out} more" if left_out > 0 else "")


def missing(names: list[str]) -> str | None:
    """Return what is wrong with these column names, as a sentence, or None."""
    name = missing_column(names)
    if name is None:
        return None
    also = short_list(name)
    hint = "; end users are not who pays" if name == "account" and "end_user" in columns_of(names) else ""
    return f"has no column '{name}', without which nothing can be scanned (accepted too: {also}{hint})"


def missing_column(names: list[str]) -> str | None:
    """Return the first required column that none of these names means, or None."""
    columns = columns_of(names)
    return next((name for name in NEEDED if name not in columns), None)


def textless(names: list[str]) -> bool:
    """Return whether these are columns of a log written without texts: only a prompt is missing.

    An unknown name could be the prompt's, and `created` suggests an accounts table: then false.
    """
    columns = columns_of(names)
    return (
        {"time", "account"} <= columns.keys()
        and "prompt" not in columns
        and all(column_of(written) for written in names)
        and "created" not in map(fold_name, names)
    )


@lru_cache(maxsize=64)
def plan_of(names: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Return each record column with its written name, and what is wrong with these names."""
    return tuple(columns_of(list(names)).items()), missing(list(names))


def sniff(obj: Json) -> bool:
    """Return whether at least two of the three required columns are present, so as to name a missing one."""
    columns = dict(plan_of(tuple(obj))[0])
    return sum(name in columns for name in NEEDED) >= 2


def rows(obj: Json) -> Iterator[Item]:
    columns, wrong = plan_of(tuple(obj))
    if wrong:
        raise Refused(wrong)
    row = plain({name: obj[written] for name, written in columns})
    if "usage" in obj and isinstance(usage := from_text(obj["usage"]), dict):  # as the APIs return it
        for name, keys in USAGE.items():
            row.setdefault(name, first(*(usage.get(key) for key in keys)))
    yield row


USAGE = {
    "input_tokens": ("prompt_tokens", "input_tokens"),
    "output_tokens": ("completion_tokens", "output_tokens"),
}


def plain(row: Row) -> Row:
    """Normalise a row whose texts may be messages, tools a list, and response format an object."""
    tools, shape = row.get("tools"), row.get("response_format")
    if isinstance(tools, list):  # the request's own list of tools
        row["tools"] = len(tools)
    if isinstance(shape, dict):
        row["response_format"] = shape.get("type")
    if isinstance(row.get("prompt"), list | dict):  # messages, or the parts of one
        texts = messages_text(row["prompt"]).row()
        row |= {name: value for name, value in texts.items() if name == "prompt" or name not in row}
    for name in ("system", "completion", "earlier"):
        if isinstance(row.get(name), list | dict):
            answer = dig(row[name], "choices", 0, "message")  # a complete API body
            row[name] = message_text(row[name]) or text_of(row[name]) or message_text(answer)
    return row


FORMAT = Format(name="Stillwatch record", order=90, sniff=sniff, open=lambda: Stateless(rows))
