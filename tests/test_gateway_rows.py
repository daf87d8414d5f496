"""The recorder's rows for a log change only on purpose: rows of generated and hostile requests are pinned."""

import hashlib
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.record import segments, wal
from stillwatch.gateway.record.entries import ExchangeOutcome, Intent, pack
from stillwatch.gateway.record.recorder import Recorder
from stillwatch.gateway.record.upload_pieces import UploadPieces
from stillwatch.new_file import replace_file

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
US = int(NOW.timestamp()) * 1_000_000
ROWS = "9c1a2449d2dcc76b"  # digest; if it changes, the content of the records has changed
WORDS = (
    "still water runs deep and 12 boats, wait. https://example.org/a?b=c e=mc^2 Straße naïve привет 東京 "
    '한국어 ไทย 🙂 \u200b \ud800 \x00 \\ " ` data:text/plain,hi%20there SGVsbG8gd29ybGQsIHRoaXMgaXMgYmFzZTY0 '
    "anticonstitutionnellement " + "x" * 50
).split(" ")
ROLES = ("user", "assistant", "system", "tool", "USER", "Developer", "nobody", "", 7, None)
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1beta/models/m:generateContent", "/x")


def sentence(drawn: random.Random, most: int = 40) -> str:
    return " ".join(drawn.choices(WORDS, k=drawn.randint(0, most)))


def value(drawn: random.Random, depth: int = 0) -> object:
    """Return any JSON value."""
    kind = drawn.randint(0, 7 if depth < 4 else 4)
    if kind < 5:
        return (sentence(drawn), drawn.randint(-9, 1 << 70), drawn.random(), None, drawn.random() < 0.5)[kind]
    if kind == 5:
        return [value(drawn, depth + 1) for _ in range(drawn.randint(0, 4))]
    keys = ("role", "content", "text", "type", "url", "data", "arguments", "Role", "parts", "messages", "id")
    return {drawn.choice(keys): value(drawn, depth + 1) for _ in range(drawn.randint(0, 4))}


def message(drawn: random.Random) -> object:
    if drawn.random() < 0.1:
        return value(drawn)
    said: dict[str, object] = {"role": drawn.choice(ROLES), "content": sentence(drawn)}
    if drawn.random() < 0.2:
        said["content"] = [{"type": "text", "text": sentence(drawn)}, value(drawn)]
    if drawn.random() < 0.1:
        said["name"] = drawn.choice(WORDS)
    return said


def bodies(drawn: random.Random) -> Iterator[bytes]:
    """Conversations that grow, repeated texts, any JSON, and bytes that are no JSON."""
    talk: list[object] = []
    for number in range(160):
        if number % 12 == 0:
            talk = [{"role": "system", "content": ". ".join(sentence(drawn) for _ in range(5))}]
        talk = [*talk, message(drawn)]
        asked = {"model": "m", "messages": talk, "temperature": drawn.choice((0.7, "1", [], -1))}
        asked |= {"max_tokens": drawn.choice((5, "6", 1 << 80, None)), "user": drawn.choice(WORDS)}
        raw = json.dumps(asked).encode()
        yield raw
        if number % 5 == 0:
            yield raw
        if number % 7 == 0:
            yield json.dumps(value(drawn)).encode()
        if number % 9 == 0:
            yield raw[: drawn.randint(0, len(raw))] + drawn.randbytes(8)
    lines = [{"custom_id": str(k), "url": PATHS[0], "body": {"messages": [message(drawn)]}} for k in range(9)]
    yield "\n".join(map(json.dumps, lines)).encode()
    yield json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "deep water " * 4_000}]}
    ).encode()


def write_log(folder: Folder) -> None:
    """Write one worker's log in three groups; the last exchange has no end."""
    drawn = random.Random(11)
    writer = wal.Writer(folder.wal, 0, folder.secret(), durable=lambda *_: None, failed=lambda *_: None)
    for number, body in enumerate(bodies(drawn), 1):
        asked = Intent(
            US + number, f"acct_{number // 40}", "key", "10.0.0.1", "agent/1",
            drawn.choice(("chat", "other")), drawn.choice(PATHS) if number % 3 else PATHS[0], "m", "m", None,
            "allowed", keep_text=number % 4 == 0,
        )  # fmt: skip
        ended = ExchangeOutcome(US + 2 * number, "complete", 200, 5, 900, "m", 3, drawn.choice((7, None)))
        reply = b'{"choices":[{"message":{"content":%s}}]}' % json.dumps(sentence(drawn)).encode()
        writer.append(wal.frame(wal.INTENT, number, pack(asked), body))
        if body:
            writer.append(wal.frame(wal.OUTCOME, number, pack(ended), reply if number % 4 == 0 else b""))
        if number % 100 == 0:
            writer.flush()
    writer.append(wal.frame(wal.INTENT, number + 1, pack(asked), body))
    writer.close()


@pytest.mark.slow
def test_a_logs_rows_are_what_they_were(tmp_path: Path) -> None:
    (tmp_path / "serve").mkdir()
    replace_file(tmp_path / "serve" / "secret", [bytes(range(32))])
    folder = open_folder(tmp_path / "serve")
    write_log(folder)
    recorder = Recorder(folder, lambda: NOW)
    while recorder.step(flush=True):
        pass
    assert not recorder.quarantined
    digest = hashlib.sha256()
    for one in segments.all_segments(folder):
        for row in pq.read_table(one.path).to_pylist():
            digest.update(repr(sorted(row.items())).encode())
    assert recorder.written > 200
    assert digest.hexdigest()[:16] == ROWS


def test_a_body_whose_pieces_cannot_be_put_together_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any pieces that a client sends: its row is written without them, and all others are recorded."""
    (tmp_path / "serve").mkdir()
    replace_file(tmp_path / "serve" / "secret", [bytes(range(32))])
    folder = open_folder(tmp_path / "serve")
    writer = wal.Writer(folder.wal, 0, folder.secret(), durable=lambda *_: None, failed=lambda *_: None)
    for number, body in enumerate((b"poison", b'{"messages":[{"role":"user","content":"Why?"}]}'), 1):
        asked = Intent(
            US + number, "acct", "key", None, None, "chat", PATHS[0], "m", "m", None, "allowed"
        )  # fmt: skip
        ended = ExchangeOutcome(US + 2 * number, "complete", 200, 5, 900, "m", 3, 7)
        writer.append(wal.frame(wal.INTENT, number, pack(asked), body))
        writer.append(wal.frame(wal.OUTCOME, number, pack(ended), b""))
    writer.close()
    read = UploadPieces.read

    def read_unless_poisoned(
        pieces: UploadPieces, intent: Intent, body: bytes, ended: ExchangeOutcome
    ) -> Any:
        if body == b"poison":
            raise ValueError("no such piece")
        return read(pieces, intent, body, ended)

    monkeypatch.setattr(UploadPieces, "read", read_unless_poisoned)
    recorder = Recorder(folder, lambda: NOW)
    while recorder.step(flush=True):
        pass
    assert recorder.quarantined == 1
    rows = [row for one in segments.all_segments(folder) for row in pq.read_table(one.path).to_pylist()]
    assert [row["account"] for row in rows] == ["acct", "acct"]
