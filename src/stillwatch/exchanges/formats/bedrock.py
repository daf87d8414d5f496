"""AWS Bedrock model invocation logs (ModelInvocationLog 1.0), from S3 or CloudWatch.

Bodies over 100 KB are in separate files beside the log (`inputBodyS3Path`, as
`…/data/REQUEST_input.json.gz`). Their rows wait for these files, which are read after the logs. Without them
a row has no prompt. The account is the caller's ARN without its session name, which the caller chooses; the
session is the end user.

Source: docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html (read 2026-11).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stillwatch.exchanges.formats import ASIDE, BODY_ELSEWHERE, Format, Item, Json, Refused, Row
from stillwatch.exchanges.formats.openai import completion, first_text
from stillwatch.exchanges.mapping import find_fields, row_of
from stillwatch.exchanges.messages import as_object, count, dig, first, from_text, join_texts, text_of
from stillwatch.exchanges.request_text import request_text

SIDES = ("input", "output")
BODIES = re.compile(r"/data/[^/]+_(?:input|output)\.json(?:\.gz)?$")


def sniff(obj: Json) -> bool:
    return obj.get("schemaType") == "ModelInvocationLog"


@dataclass
class Bedrock:
    """The records of one read that wait for their bodies."""

    records: dict[str, Json] = field(default_factory=dict)  # by the file of their first body
    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)  # a body's file -> record, side of it
    columns: Mapping[str, str] = field(default_factory=dict)  # the owner's: field -> column

    def wants(self, file: str) -> bool:
        return _name(file) in self.waiting

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        files = {_name(path): side for side in SIDES if isinstance(path := _elsewhere(obj, side), str)}
        if not files:
            yield from rows(obj)
            return
        key = next(iter(files))
        self.records[key] = obj
        self.waiting |= {name: (key, side) for name, side in files.items()}
        yield ASIDE

    def take_body(self, file: str, body: object) -> Iterator[Item]:
        key, side = self.waiting[_name(file)]
        record = self.records[key]
        record = {**record, side: {**as_object(record[side]), f"{side}BodyJson": body}}
        if all(_elsewhere(record, other) is None for other in SIDES):
            yield from self._rows(record)
            del self.records[key]
        else:
            self.records[key] = record
            yield ASIDE
        del self.waiting[_name(file)]

    def finish(self) -> Iterator[Item]:
        for record in self.records.values():
            for item in self._rows(record):
                yield item | {BODY_ELSEWHERE: True} if isinstance(item, dict) else item

    def _rows(self, record: Json) -> Iterator[Item]:
        """Yield the row of a record that waited, with the owner's column names applied."""
        named = row_of(find_fields(record, self.columns))
        for item in rows(record):
            row = item.row if isinstance(item, Refused) and "account" in named else item
            yield row | named if isinstance(row, dict) else item


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".gz")


def _elsewhere(record: Json, side: str) -> object:
    """Return the location of a body that is not in the record."""
    there = as_object(record.get(side))
    return there.get(f"{side}BodyS3Path") if there.get(f"{side}BodyJson") is None else None


def rows(obj: Json) -> Iterator[Item]:
    body = from_text(dig(obj, "input", "inputBodyJson"))
    answer = from_text(dig(obj, "output", "outputBodyJson"))
    chunks = answer if isinstance(answer, list) else None
    account, session = _who(dig(obj, "identity", "arn"), obj.get("accountId"))
    config = dig(body, "inferenceConfig")
    operation = obj.get("operation")
    metadata = obj.get("requestMetadata")
    row: Row = {
        "exchange_id": obj.get("requestId"),
        "time": obj.get("timestamp"),
        "account": account,
        "end_user": first(
            *(dig(metadata, key) for key in ("end_user", "user_id", "userId", "user")), session,
        ),
        "operation": "embeddings" if "embed" in str(obj.get("modelId")) else "chat",
        "model": obj.get("modelId"),
        "conversation": first(
            *(dig(metadata, key) for key in ("conversation_id", "session_id", "sessionId")),
        ),
        **request_text(body).row(),
        "tools": count(first(dig(body, "toolConfig", "tools"), dig(body, "tools"))),
        "input_tokens": first(dig(obj, "input", "inputTokenCount"), dig(answer, "usage", "inputTokens")),
        "output_tokens": first(dig(obj, "output", "outputTokenCount"), dig(answer, "usage", "outputTokens")),
        "temperature": first(
            dig(body, "temperature"), dig(config, "temperature"), _titan(body, "temperature")
        ),
        "top_p": first(dig(body, "top_p"), dig(config, "topP"), _titan(body, "topP")),
        "max_tokens": first(
            dig(body, "max_tokens"), dig(body, "max_tokens_to_sample"), dig(body, "max_gen_len"),
            dig(config, "maxTokens"), _titan(body, "maxTokenCount"),
        ),
        "stream": isinstance(operation, str) and "Stream" in operation,
        "status": _status(obj.get("errorCode")),
        "finish_reason": _final_answer(answer, chunks),
        "latency_ms": first(dig(answer, "metrics", "latencyMs"), _chunk_latency(chunks)),
        "completion": _join_stream(chunks) if chunks is not None else _answer(answer),
    }  # fmt: skip
    if row["account"] is None:
        yield Refused("has no account: identity.arn and accountId are both empty", row=row)
    else:
        yield row


def _who(arn: object, account_id: object) -> tuple[object, str | None]:
    if isinstance(arn, str) and ":assumed-role/" in arn:
        role, _, session = arn.rpartition("/")
        if not role.endswith(":assumed-role"):
            return role, session
    return first(arn, account_id), None


def _titan(body: object, key: str) -> object:
    return dig(body, "textGenerationConfig", key)


def _status(error: object) -> int | None:
    codes = {"ThrottlingException": 429, "AccessDeniedException": 403, "ValidationException": 400,
             "ModelTimeoutException": 408, "ServiceQuotaExceededException": 400}  # fmt: skip
    return 200 if error is None else codes.get(str(error), 500)


def _answer(answer: object) -> str | None:
    if not isinstance(answer, dict):
        return None
    converse = dig(answer, "output", "message", "content")
    if converse is not None:
        return text_of(converse)
    titan = dig(answer, "results", 0, "outputText")
    return first_text(answer.get("completion"), answer.get("generation"), titan) or completion(answer)


def _join_stream(chunks: list[object]) -> str | None:
    """Join a streamed answer, logged as the list of its events with the text in the deltas."""
    return join_texts(
        first_text(
            dig(chunk, "delta", "text"), dig(chunk, "contentBlockDelta", "delta", "text"),
            dig(chunk, "generation"), dig(chunk, "outputText"), dig(chunk, "completion"),
        )
        for chunk in chunks
    )  # fmt: skip


def _final_answer(answer: object, chunks: list[object] | None) -> object:
    reasons: list[object] = []
    for part in chunks if chunks is not None else [answer]:
        reasons.append(
            first(
                dig(part, "stop_reason"), dig(part, "stopReason"), dig(part, "delta", "stop_reason"),
                dig(part, "messageStop", "stopReason"), dig(part, "completionReason"),
                dig(part, "results", 0, "completionReason"),
            )
        )  # fmt: skip
    return first(*reversed(reasons))


def _chunk_latency(chunks: list[object] | None) -> object:
    if not chunks:
        return None
    return first(
        dig(chunks[-1], "amazon-bedrock-invocationMetrics", "invocationLatency"),
        dig(chunks[-1], "metadata", "metrics", "latencyMs"),
    )


FORMAT = Format(name="AWS Bedrock", order=20, sniff=sniff, open=Bedrock, bodies=BODIES)
