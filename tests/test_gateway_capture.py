"""The recorder's rows for requests: any body, in any shape; unknown ones are counted."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import sketch_batch
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.record import entries, rows, segments
from stillwatch.gateway.record.sent_before import SentBefore

AT_US = 1_790_000_000_000_000
QUESTION = "Which three rivers meet below the old bridge, and who measured their depth first?"
ENDED = entries.ExchangeOutcome(AT_US, "complete", 200, 1, 90, output_tokens=30)


def intent(target: str, operation: str = "chat", kind: str = "application/json") -> entries.Intent:
    return entries.Intent(AT_US, "acct", "k", None, None, operation, target, "m", None, None, "allowed",
                          kind=kind)  # fmt: skip


def row(target: str, body: object, operation: str = "chat", kind: str = "application/json"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return rows.row(0, 1, intent(target, operation, kind), raw, ENDED, b"", SentBefore(b"k" * 32, 1 << 10))


def test_the_table_by_which_it_was_read_stands_in_the_row() -> None:
    known = row("/v1/messages", {"messages": [{"role": "user", "content": QUESTION}]})
    assert (known["prompt"], known["shape"]) == (QUESTION, "Anthropic messages")
    unknown = row("/v9/ponder", {"ponder": {"what": QUESTION}}, "other")
    assert (unknown["prompt"], unknown["shape"]) == (QUESTION, "unknown")
    assert row("/v1/models", b"", "models")["shape"] is None


def test_a_list_a_form_and_a_plain_text_are_no_empty_rows() -> None:
    assert row("/embed", [QUESTION], "other")["prompt"] == QUESTION
    form = f'--B\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n{QUESTION}\r\n--B--\r\n'.encode()
    assert row("/v1/images/edits", form, "other", "multipart/form-data; boundary=b")["prompt"] == QUESTION
    assert row("/complete", QUESTION.encode(), "other", "text/plain")["prompt"] == QUESTION


def test_a_batch_is_its_questions_and_its_upload_has_none() -> None:
    asks = [{"role": "user", "content": QUESTION}, {"role": "user", "content": "go on"}]
    line = {"custom_id": "1", "url": "/v1/chat/completions", "body": {"messages": asks}}
    raw = json.dumps(line).encode() + b"\n"
    upload = intent("/v1/files", "other", "application/jsonl")
    assert rows.row(0, 1, upload, raw, ENDED, b"").get("prompt") is None
    (asked,) = rows.batch_rows(0, 1, upload, raw, ENDED, SentBefore(b"k" * 32, 1 << 10))
    assert asked["prompt"] == f"{QUESTION}\ngo on"


def test_a_batch_s_name_for_a_question_hides_nothing_beside_it() -> None:
    """A `custom_id` elsewhere makes no batch: the rest of the request is still read."""
    line = json.dumps({"custom_id": "1", "url": "/v1/chat/completions", "body": {"messages": []}}).encode()
    message = {"role": "user", "content": QUESTION, "metadata": {"custom_id": "1"}}
    assert row("/v1/threads/t/messages", message, "other")["prompt"] == QUESTION
    alone = {**message, "custom_id": "1", "body": {"x": 1}}
    assert row("/v1/threads/t/messages", alone, "other")["prompt"] == QUESTION
    hidden = {**message, "requests": [{"custom_id": "1", "body": {"x": 1}}]}
    assert row("/v1/threads/t/messages", hidden, "other")["prompt"] == QUESTION
    both = line + b"\n" + QUESTION.encode() + b"\n" + line
    assert row("/v1/files", both, "other", "text/plain")["prompt"] == QUESTION
    form = b'--B\r\nContent-Disposition: form-data; name="file"; filename="f.jsonl"\r\n\r\n%b\r\n--B--\r\n'
    kind = "multipart/form-data; boundary=b"
    assert row("/v1/files", form % both, "other", kind)["prompt"] == QUESTION
    assert row("/v1/files", form % line, "other", kind).get("prompt") is None
    mentions = b"custom_id stands here\n" + QUESTION.encode()
    assert QUESTION in row("/v1/files", form % mentions, "other", kind)["prompt"]


def test_questions_of_a_batch_that_is_one_object_are_rows_whoever_s_api_it_is() -> None:
    asks = {"messages": [{"role": "user", "content": QUESTION}]}
    for target, field in (("/v1/messages/batches", "params"), ("/v1/batch/jobs", "body")):
        whole = {"endpoint": "/v1/chat/completions", "requests": [{"custom_id": "1", field: asks}]}
        raw, upload = json.dumps(whole).encode(), intent(target, "other")
        (asked,) = rows.batch_rows(0, 1, upload, raw, ENDED, SentBefore(b"k" * 32, 1 << 10))
        assert (asked["prompt"], asked["operation"]) == (QUESTION, "chat")
        assert rows.row(0, 1, upload, raw, ENDED, b"").get("prompt") is None


def test_what_came_along_is_counted_and_its_text_is_let_go_with_the_others(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Nobody did."},
            {"role": "user", "content": "Why?"}]  # fmt: skip
    found = rows.row(
        0, 1, intent("/v1/chat/completions"), json.dumps({"messages": talk}).encode(), ENDED, b""
    )
    assert (found["prompt"], found["earlier"]) == ("Why?", f"{QUESTION}\nNobody did.")
    sketcher = Sketcher(b"a key of at least sixteen bytes")
    made = sketch_batch(rows.batch([found | {"prompt": None}]), sketcher, keep_text=True)
    assert made.column("earlier_words").to_pylist() == [19]  # marks are tokens
    folder = open_folder(tmp_path / "serve")
    at = datetime.fromtimestamp(AT_US / 1e6, UTC)
    segments.write(folder, 1, made, b"{}", at)
    segments.forget(folder, at + timedelta(days=9), 7, 400)
    (kept,) = tmp_path.rglob("*.parquet")
    assert pq.read_table(kept)["earlier"].to_pylist() == [None]


def test_segments_of_before_are_merged_with_those_of_now(tmp_path: Path) -> None:
    sketcher = Sketcher(b"a key of at least sixteen bytes")
    folder, at = open_folder(tmp_path / "serve"), datetime.fromtimestamp(AT_US / 1e6, UTC)
    for number in (1, 2):
        found = rows.row(0, number, intent("/v1/completions"), json.dumps({"prompt": QUESTION}).encode(),
                         ENDED, b"")  # fmt: skip
        made = sketch_batch(rows.batch([found]), sketcher)
        if number == 1:
            made = made.drop_columns(["earlier_words", "shape", "earlier"])
        segments.write(folder, number, made, b"{}", at)
    assert segments.merge(folder, at + timedelta(hours=3))
    (merged,) = tmp_path.rglob("*.parquet")
    table: pa.Table = pq.read_table(merged)
    assert table["shape"].to_pylist() == [None, "OpenAI completions"]
    assert table.num_rows == 2


@pytest.mark.parametrize(
    ("operation", "reply"),
    [
        (
            "generate_content",
            b'data: {"candidates": [{"content": {"parts": [{"text": "three "}]}}]}\r\n\r\n'
            b'data: {"candidates": [{"content": {"parts": [{"text": "rivers"}]}}]}\r\n\r\n',
        ),
        ("ollama_generate", b'{"response": "three ", "done": false}\n{"response": "rivers", "done": true}\n'),
        ("ollama_chat", b'{"message": {"content": "three "}}\n{"message": {"content": "rivers"}}\n'),
        (
            "generate",
            b'data: {"text": "three ", "meta_info": {}}\n\n'
            b'data: {"text": "three rivers", "meta_info": {}}\n\ndata: [DONE]\n\n',
        ),
        ("cohere_chat", b'data: {"delta": {"message": {"content": {"text": "three rivers"}}}}\n\n'),
    ],
)
def test_what_a_stream_answered_is_kept_whoever_s_events_they_are(operation: str, reply: bytes) -> None:
    ended = entries.ExchangeOutcome(AT_US, "complete", 200, 1, 90, output_tokens=3, stream=True)
    found = rows.row(0, 1, intent("/x", operation), b"{}", ended, reply, SentBefore(b"k" * 32, 1 << 10))
    assert found["completion"] == "three rivers"
