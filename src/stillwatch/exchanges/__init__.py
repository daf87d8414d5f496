"""The exchange record: one request and its response, as one Arrow row, the same everywhere.

Names follow OpenTelemetry's GenAI conventions, flattened. A reader maps each source into `RECORD`; what a
source does not say is null, never invented. Only `time`, `account` and `prompt` are needed.
"""

import pyarrow as pa

RECORD = pa.schema(
    [
        ("exchange_id", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("account", pa.string()),
        ("end_user", pa.string()),
        ("client_ip", pa.string()),
        ("asn", pa.int64()),
        ("user_agent", pa.string()),
        ("operation", pa.string()),
        ("model", pa.string()),
        ("conversation", pa.string()),
        ("turn", pa.int32()),
        ("system", pa.string()),
        ("prompt", pa.string()),  # the last user message
        ("tools", pa.int32()),  # how many tools the request offered
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("reasoning_tokens", pa.int64()),
        ("temperature", pa.float64()),
        ("top_p", pa.float64()),
        ("max_tokens", pa.int64()),
        ("n", pa.int32()),
        ("seed", pa.int64()),
        ("top_logprobs", pa.int32()),
        ("stream", pa.bool_()),
        ("response_format", pa.string()),
        ("status", pa.int32()),
        ("finish_reason", pa.string()),
        ("latency_ms", pa.int64()),
        ("completion", pa.string()),
        # what else the request held: earlier turns, tool results. Only where there is a completion
        ("other_input", pa.string()),
    ]
)

ACCOUNTS = pa.schema(
    [
        ("account", pa.string()),
        ("org", pa.string()),
        ("created", pa.timestamp("us", tz="UTC")),
        ("tier", pa.string()),
        ("country", pa.string()),
        ("email_domain", pa.string()),
        ("payment", pa.string()),  # opaque: a fingerprint of the instrument, never the instrument
        ("declared_use", pa.string()),
        ("permissions", pa.list_(pa.string())),
    ]
)

NEEDED = ("time", "account", "prompt")
