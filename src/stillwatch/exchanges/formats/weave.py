"""W&B Weave: calls as its API streams them and its SDK and pages export them, one a line.

Calls that Weave's integrations traced of an SDK are read. Other ops are skipped, as is the second op of a
call that LiteLLM passes to an SDK that is traced too. Weave names no billing account (`wb_user_id` runs the
program), so attributes that the application sets are used.

Source: docs.wandb.ai/weave/guides/tracking/call-schema-reference and docs.wandb.ai/weave/guides/integrations
(read 2026-11).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row
from stillwatch.exchanges.formats.langsmith import ACCOUNT
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.formats.own import USAGE
from stillwatch.exchanges.messages import as_object, dig, first, text_of

MODEL_CALL = re.compile(  # an op of these SDKs, at the end of a reference: weave:///TEAM/PROJECT/op/NAME:VERSION
    r"(?:^|/op/)((?:openai|anthropic|google|vertexai|mistralai|cohere|groq|cerebras|litellm|huggingface_hub|Bedrock)"
    r"\w*\.[\w.]+)(?::|$)",
    re.IGNORECASE,
)
ANOTHER_WRAPPED = "litellm."


def sniff(obj: Json) -> bool:
    return {"op_name", "trace_id", "started_at", "inputs"} <= obj.keys()


@dataclass
class Weave:
    """The calls already read, to recognise another op of the same call."""

    wrappers: set[str] = field(default_factory=set)
    parents: set[str] = field(default_factory=set)

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        op = MODEL_CALL.search(str(obj.get("op_name")))
        call, parent = str(obj.get("id")), str(obj.get("parent_id"))
        if op is None or parent in self.wrappers:
            yield ASIDE
            return
        if op[1].startswith(ANOTHER_WRAPPED):
            if call in self.parents:
                yield ASIDE
                return
            self.wrappers.add(call)
        elif obj.get("parent_id") is not None:
            self.parents.add(parent)
        yield _row(obj)

    def finish(self) -> Iterator[Item]:
        return iter(())


def _row(obj: Json) -> Item:
    attributes, summary = as_object(obj.get("attributes")), as_object(obj.get("summary"))
    usage = next(iter(as_object(summary.get("usage")).values()), None)
    failed = obj.get("exception") is not None
    row: Row = exchange(as_object(obj.get("inputs")), answer_of(obj.get("output")))
    row |= {
        "exchange_id": obj.get("id"),
        "time": obj.get("started_at"),
        "account": first(*(attributes.get(name) for name in ACCOUNT)),
        "operation": "embeddings" if "embed" in str(obj.get("op_name")).lower() else "chat",
        "conversation": first(obj.get("thread_id"), attributes.get("session_id"), row.get("conversation")),
        "status": 500 if failed else 200 if obj.get("ended_at") is not None else None,
        "latency_ms": dig(summary, "weave", "latency_ms"),
        "completion": first(row.get("completion"), text_of(obj.get("output"))),
    }
    for name, keys in USAGE.items():
        row[name] = first(row.get(name), *(dig(usage, key) for key in keys))
    if row["account"] is None:
        return Refused(
            f"has no account: attributes has none of {', '.join(ACCOUNT)} (another name: "
            "--map account=attributes.NAME)",
            row=row,
        )
    return row


FORMAT = Format(name="W&B Weave", order=43, sniff=sniff, open=Weave)
