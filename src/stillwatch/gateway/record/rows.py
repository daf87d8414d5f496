"""One captured exchange as a row of the record, with the gateway's own data about it.

An invalid value from a client is left out; the exchange is kept.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice

import msgspec
import pyarrow as pa

from stillwatch.exchanges import RECORD
from stillwatch.exchanges.batches import columns_of
from stillwatch.exchanges.formats import UNREAD_DOCUMENTS, Refused, Row
from stillwatch.exchanges.formats.openai import SETTINGS, completion, exchange, given_settings
from stillwatch.exchanges.operations import OPERATIONS
from stillwatch.exchanges.plain_chat import plain_chat
from stillwatch.exchanges.request_text import NOTHING, RequestText, bytes_text, pieces_only, request_text
from stillwatch.exchanges.sketched import EXTRA
from stillwatch.exchanges.values import CONVERT, INTS, Clock, as_text, as_time, tidy
from stillwatch.gateway.path.batch import (
    MOST_LINES,
    google_question,
    google_questions,
    is_batch,
    lines_of,
)
from stillwatch.gateway.path.reply import ANY_TEXT, TEXTS
from stillwatch.gateway.path.request import BadRequest, inflate, operation_of
from stillwatch.gateway.record.entries import ExchangeOutcome, Intent, exchange_id
from stillwatch.gateway.record.sent_before import SentBefore, room_of

UNKNOWN = ExchangeOutcome(0, "unknown", 0, 0, 0)  # the worker died before it reported an outcome
RECORDED_AS = {line.name: "chat" for line in OPERATIONS.lines if line.does == "generates"} | {
    "completions": "text_completion"
}
ANY_TIME = Clock(datetime(9999, 1, 1, tzinfo=UTC))  # a gateway's own clock is trusted
FIRST_US, LAST_US = ANY_TIME.first_us, 10**17  # a greater number counts as nanoseconds
INFLATED = 256 << 20
UNKNOWN_SHAPE = "unknown"  # no known API format: all its text was taken unchanged
LONGEST_NAME = 512  # values that clients and upstreams invent are kept for weeks where exchanges are watched
REQUEST = "request"  # of a hook's row, not a column: a request that is still unparsed
# likewise: a body other than a single request, in base64; its content type; its target
BODY, BODY_KIND, BODY_TARGET = "body", "body_kind", "body_target"
GOOGLE = "generate_content"  # the operation of each question in its batches
_ASKS = ("body", "params", "request")  # fields of a batch question that may hold the request itself
_NAMES = ("model", "end_user", "conversation", "response_format", "finish_reason", "served_model")
_NO_INT = (1, 0)  # bounds that contain nothing
_SCHEMA = pa.schema([*RECORD, *EXTRA])
_DATA = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)


def row(
    worker: int,
    number: int,
    intent: Intent,
    body: bytes,
    outcome: ExchangeOutcome,
    reply: bytes,
    before: SentBefore | None = None,
) -> Row:
    """Return the record's fields and EXTRA's, without invalid values.

    `before` decides what is new in the request; without it, everything after the model's last answer is.
    """
    row, text = _read_body(intent, body, before is None) if body else (dict.fromkeys(SETTINGS), NOTHING)
    unread = text.unread
    if before is not None:
        room = room_of(outcome.output_tokens, outcome.delivered_bytes)
        text = before.text(intent.account, text, room)
    time_us = intent.time_us
    row["completion"] = completion(_reply(intent, outcome, reply)) if reply else None
    row["latency_ms"] = None
    if outcome is not UNKNOWN:
        row["latency_ms"], row["stream"] = outcome.latency_ms, outcome.stream
    row |= {
        "exchange_id": exchange_id(worker, number),
        "time": time_us if FIRST_US <= time_us < LAST_US else as_time(time_us, ANY_TIME),
        "account": intent.account,
        "end_user": row.get("end_user") or intent.end_user,
        "client_ip": intent.ip,
        "user_agent": intent.agent,
        "operation": RECORDED_AS.get(intent.operation, intent.operation),
        "model": intent.model or row.get("model"),
        "status": outcome.status or None,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "reasoning_tokens": outcome.reasoning_tokens,
        "finish_reason": outcome.finish_reason,
        "served_model": outcome.served_model,
        "outcome": outcome.outcome,
        "rule": outcome.rule or intent.rule,
        "key_id": intent.key_id,
        "delivered_bytes": outcome.delivered_bytes,
        "sequence": number,
        "worker": worker,
        "received": time_us,
        "family": intent.family,
        "shape": text.api or (UNKNOWN_SHAPE if text.new else None),
        "turn": text.turn,
        "system": text.system,
        "prompt": text.new,
        "earlier": text.earlier,
    }
    if unread:
        row[UNREAD_DOCUMENTS] = unread
    return _cut_names(row)


def _cut_names(row: Row) -> Row:
    for name in _NAMES:
        value = row.get(name)
        if value is not None and isinstance(value, str) and len(value) > LONGEST_NAME:
            row[name] = value[:LONGEST_NAME]
    return row


def _tidy_values(values: Row) -> Row:
    """Convert a client's values to the types of their columns; values of other types are left out."""
    tidied: Row = {}
    for name, value in values.items():
        if value is None:
            continue
        kind = type(value)
        if kind is str and name not in CONVERT:
            tidied[name] = value
            continue
        low, high = INTS.get(name, _NO_INT)
        if kind is int and low <= value <= high:  # type: ignore[operator]
            tidied[name] = value
            continue
        with suppress(Refused):
            tidied[name] = CONVERT.get(name, as_text)(value)
    return tidied


def batch_rows(
    worker: int,
    number: int,
    intent: Intent,
    body: bytes,
    outcome: ExchangeOutcome,
    before: SentBefore | None = None,
) -> list[Row]:
    """Return the questions in a batch, each as a row of its own with the time of the upload.

    OpenAI's batch is an uploaded file of lines, Anthropic's is one request. Their answers are fetched later,
    so tokens are unknown. A refused upload has no questions.
    """
    if outcome.status // 100 not in (0, 2):
        return []
    try:
        body = inflate(body, intent.coding, INFLATED) if intent.coding else body
    except BadRequest:
        return []
    if not is_batch(body):
        return []
    ended = ExchangeOutcome(outcome.time_us, outcome.outcome, outcome.status, outcome.latency_ms, 0)
    rows = []
    for k, (operation, asks) in enumerate(_questions(intent, body)[:MOST_LINES]):
        single = msgspec.structs.replace(intent, operation=operation, model=None, coding="")
        rows.append(row(worker, number, single, msgspec.json.encode(asks), ended, b"", before))
        rows[-1]["exchange_id"] = f"{exchange_id(worker, number)}.{k}"
    return rows


def _questions(intent: Intent, body: bytes) -> list[tuple[str, dict[str, object]]]:
    """Return (operation, request) of each question in a batch: requests of one object, or lines of a file."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        decoded = None
    if isinstance(decoded, dict) and isinstance(requests := decoded.get("requests"), list):
        anthropic = intent.target.partition("?")[0].rstrip("/").endswith("/messages/batches")
        usual = "messages" if anthropic else operation_of(str(decoded.get("endpoint")))
        return [question for entry in requests if (question := _question(entry, usual))]
    if google := google_questions(decoded):
        return [(GOOGLE, question) for question in google]
    lines = islice(lines_of(body), MOST_LINES)
    return [question for line in lines if (question := _question_in(line))]


def _question_in(line: bytes) -> tuple[str, dict[str, object]] | None:
    try:
        return _question(msgspec.json.decode(line), "other")
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _question(line: object, usual: str) -> tuple[str, dict[str, object]] | None:
    """Return (operation, request) of a question; `usual` if it names no path of its own."""
    if (google := google_question(line)) is not None:
        return GOOGLE, google
    if not isinstance(line, dict) or "custom_id" not in line:
        return None
    for field in _ASKS:
        if isinstance(asks := line.get(field), dict):
            return operation_of(str(line["url"])) if "url" in line else usual, asks
    return None


def _beside_questions(body: bytes) -> bytes:
    """Return an upload without the lines that are questions: these are rows of their own."""
    return b"\n".join(line for line in body.split(b"\n") if b"{" not in line or not _question_in(line))


def read_request(values: Row) -> Row:
    """Return a hook's row with the fields of its request, if that is still unparsed."""
    request = values.pop(REQUEST, None)
    with suppress(Refused):
        fields = exchange(request, {}) if isinstance(request, dict) else {}
        return _cut_names(fields | values | {"end_user": fields.get("end_user") or values.get("end_user")})
    return values


def hook_rows(worker: int, number: int, values: Row) -> list[Row]:
    """Return the rows of a hook's report: the exchange itself, and each question of a batch in it.

    Raises: Refused if it has no time or no account.
    """
    raw, kind, target = (values.pop(name, None) for name in (BODY, BODY_KIND, BODY_TARGET))
    if not isinstance(raw, str):
        return [foreign(worker, number, read_request(values))]
    body, told = b64decode(raw), foreign(worker, number, dict(values))
    time_us = told["time"]
    assert isinstance(time_us, int)  # `foreign` has converted it

    def text(name: str) -> str | None:
        value = told.get(name)
        return value if isinstance(value, str) else None

    intent = Intent(
        time_us, str(told["account"]), text("key_id") or "", text("client_ip"), text("user_agent"),
        text("operation") or "other", str(target or ""), None, None, text("family"), text("rule") or "",
        kind=str(kind or ""), end_user=text("end_user"),
    )  # fmt: skip
    read = row(worker, number, intent, body, UNKNOWN, b"")
    known = {name: value for name, value in told.items() if value is not None}
    rows = [read | known, *batch_rows(worker, number, intent, body, UNKNOWN)]
    for each in rows:
        each["keep_text"] = told["keep_text"]
    return rows


def foreign(worker: int, number: int, values: Row) -> Row:
    """Return a hook's row: the record's fields, and those of EXTRA's that it knows.

    Raises: Refused if it has no time or no account.
    """
    extra = {UNREAD_DOCUMENTS, *(field.name for field in EXTRA)}
    checked = _check_row({name: value for name, value in values.items() if name not in extra | {"keep_text"}})
    checked.setdefault("exchange_id", exchange_id(worker, number))
    known = {name: value for name, value in values.items() if name in extra}
    return checked | {"outcome": "complete"} | known | {
        "sequence": number, "worker": worker, "keep_text": bool(values.get("keep_text")),
    }  # fmt: skip


def _read_body(intent: Intent, body: bytes, is_parted: bool) -> tuple[Row, RequestText]:
    """Return the request's settings and its text: divided into new and earlier, or only its pieces."""
    if not (is_parted or intent.coding) and (chat := plain_chat(body, intent.target)) is not None:
        return chat
    request, text = _request(intent, body, request_text if is_parted else pieces_only)
    return dict.fromkeys(SETTINGS) | _tidy_values(given_settings(request)), text


def _request(
    intent: Intent, body: bytes, read: Callable[[object, str], RequestText]
) -> tuple[dict[str, object], RequestText]:
    """Return the request's own fields and its text, even if it is not a JSON object."""
    try:
        if intent.coding:
            body = inflate(body, intent.coding, INFLATED)
    except BadRequest:  # refused by the worker
        return {}, NOTHING
    try:
        document = msgspec.json.decode(body)  # the worker has validated it
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):  # an upload, a form
        return {}, bytes_text(_beside_questions(body) if is_batch(body) else body, intent.kind)
    if not isinstance(document, dict):
        return {}, read(document, intent.target)
    if intent.operation == "other" and is_batch(body) and _questions(intent, body):
        document = {key: value for key, value in document.items() if key not in ("requests", "batch", *_ASKS)}
    return document, read(document, intent.target)


def _reply(intent: Intent, outcome: ExchangeOutcome, reply: bytes) -> dict[str, object]:
    """Return the reply's body as one object; the texts of a stream are joined."""
    if not reply:
        return {}
    if not outcome.stream:
        try:
            document = msgspec.json.decode(reply)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return {}
        return document if isinstance(document, dict) else {}
    pattern = TEXTS.get(intent.operation, ANY_TEXT)
    events = [data for data in _DATA.findall(reply) if data != b"[DONE]"] or [reply]  # Ollama: lines of JSON
    if b'"meta_info"' in events[-1]:  # SGLang: each event repeats all text so far
        events = events[-1:]
    parts = []
    for raw in pattern.findall(b"\n".join(events)):
        try:
            parts.append(msgspec.json.decode(b'"' + raw + b'"', type=str))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            parts.append(raw.decode("utf-8", "replace"))
    return {"output_text": "".join(parts)}


def _check_row(values: Row) -> Row:
    try:
        return tidy(values, ANY_TIME)  # in place: values converted before a refusal stay converted
    except Refused:
        pass
    checked: Row = {"time": as_time(values.get("time"), ANY_TIME), "account": values.get("account")}
    tidy(checked, ANY_TIME)
    for name, value in values.items():
        if name in checked or value is None:
            continue
        try:
            checked[name] = tidy(
                {"time": checked["time"], "account": checked["account"], name: value}, ANY_TIME
            )[name]
        except Refused:
            continue
    return checked


def batch(rows: list[Row]) -> pa.RecordBatch:
    """Return rows as one batch of the record and EXTRA's columns. Text with invalid Unicode is repaired."""
    try:
        columns = columns_of(rows, _SCHEMA)
    except UnicodeError:
        for entry in rows:
            for name, value in entry.items():
                if isinstance(value, str):
                    entry[name] = value.encode("utf-8", "replace").decode("utf-8")
        columns = columns_of(rows, _SCHEMA)
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)
