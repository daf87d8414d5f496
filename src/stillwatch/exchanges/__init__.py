"""The exchange record: one request and its response, as one Arrow row, the same everywhere.

Names follow OpenTelemetry's GenAI conventions, flattened. A reader maps each source into `RECORD`. What a
source does not state is null, never invented. Only `time`, `account` and `prompt` are required.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    RECORD: pa.Schema
    ACCOUNTS: pa.Schema

NEEDED = ("time", "account", "prompt")
_RECORD = (
    ("exchange_id", "string"),
    ("time", "time"),
    ("account", "string"),
    ("end_user", "string"),
    ("client_ip", "string"),
    ("asn", "int64"),
    ("user_agent", "string"),
    ("operation", "string"),
    ("model", "string"),
    ("conversation", "string"),
    ("turn", "int32"),
    ("system", "string"),
    ("prompt", "string"),  # the new part of the request: all that the model has to answer now
    ("tools", "int32"),  # how many tools the request offered
    ("input_tokens", "int64"),
    ("output_tokens", "int64"),
    ("reasoning_tokens", "int64"),
    ("temperature", "float64"),
    ("top_p", "float64"),
    ("max_tokens", "int64"),
    ("n", "int32"),
    ("seed", "int64"),
    ("top_logprobs", "int32"),
    ("stream", "bool_"),
    ("response_format", "string"),
    ("status", "int32"),
    ("finish_reason", "string"),
    ("latency_ms", "int64"),
    ("completion", "string"),
    ("earlier", "string"),  # context: earlier turns; last, so that existing ids stay the same
)
_ACCOUNTS = (
    ("account", "string"),
    ("org", "string"),
    ("created", "time"),
    ("tier", "string"),
    ("country", "string"),
    ("email_domain", "string"),
    ("payment", "string"),  # opaque: a fingerprint of the instrument, never the instrument
    ("declared_use", "string"),
    ("permissions", "strings"),
)


def __getattr__(name: str) -> "pa.Schema":
    """Create `RECORD` and `ACCOUNTS` on first use: a gateway's worker needs no Arrow."""
    columns = {"RECORD": _RECORD, "ACCOUNTS": _ACCOUNTS}.get(name)
    if columns is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pyarrow as pa

    types = {"time": pa.timestamp("us", tz="UTC"), "strings": pa.list_(pa.string())}
    schema = pa.schema([(column, types.get(kind) or getattr(pa, kind)()) for column, kind in columns])
    globals()[name] = schema
    return schema
