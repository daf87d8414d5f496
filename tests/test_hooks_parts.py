"""The pure parts of the hooks, with any input: parsed or refused, never an error."""

import asyncio
import random
import string
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.formats.otlp import PendingCall
from stillwatch.gateway.hooks import ReportedRequest, TermsJudgement, answering, dialects, litellm, otlp
from stillwatch.gateway.hooks.intake import digest_id
from stillwatch.gateway.hooks.joins import Joins
from stillwatch.gateway.path.request import BadRequest
from stillwatch.terms import Decision, ModelVerdict

Row = dict[str, Any]

ANY_TEXT = st.text(alphabet=string.printable + "é\u202e\ud7ff", max_size=60)


def status(call: Callable[[], object]) -> int:
    """Return the status with which a call is refused; 200 if it is not."""
    try:
        call()
    except BadRequest as why:
        return why.status
    return 200


@pytest.mark.slow
@given(target=ANY_TEXT)
def test_any_path_is_taken_apart_or_refused(target: str) -> None:
    def whole() -> None:
        way = dialects.way_of("/decide" + target)
        assert way.dialect in dialects.SPOKEN
        assert set(way.options) <= set(dialects.OPTIONS)

    assert status(whole) in (200, 404)


@given(body=st.binary(max_size=400) | ANY_TEXT.map(str.encode))
def test_any_batch_is_read_or_refused(body: bytes) -> None:
    def whole() -> None:
        for raw, one in litellm.records(body):
            assert isinstance(raw, bytes)
            if isinstance(one, dict):
                list_or_refused(one)

    assert status(whole) in (200, 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["startTime", "metadata", "messages", "response", "model_parameters", "status", "stillwatch", "call_type",
     "user_api_key_hash", "id", "outcome", "asked", "content", "role", "model", "error_information"]
)  # fmt: skip


@pytest.mark.slow
@given(found=st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=4), max_size=8))
def test_any_record_is_a_row_or_refused(found: Row) -> None:
    list_or_refused(found)


def list_or_refused(found: Row) -> None:
    try:
        for row in litellm.rows(dict(found), 1_800_000_000_000_000):
            assert isinstance(row["time"], int)
            assert isinstance(row["account"], str)
    except Refused:
        pass


@given(body=st.binary(max_size=300), kind=st.sampled_from(otlp.KINDS))
def test_any_export_is_read_or_refused(body: bytes, kind: str) -> None:
    assert status(lambda: otlp.read(kind, body, 1_800_000_000_000_000)) in (200, 400, 415)


def field(number: int, raw: bytes, count: int = 1) -> bytes:
    """Return a field of protobuf that contains bytes, repeated this many times."""
    size, parts = len(raw), bytearray([number << 3 | 2])
    while size > 127:
        parts.append(size & 127 | 128)
        size >>= 7
    return (bytes([*parts, size]) + raw) * count


@pytest.mark.slow
def test_small_values_in_protobuf_take_no_multiple_of_its_bytes() -> None:
    """Each took up to 800 bytes of memory: 30 MB of empty spans 12 GB, of empty blocks 152 s of CPU."""
    otlp_protobuf = pytest.importorskip("stillwatch.exchanges.formats.otlp_protobuf")
    many, named = 1_200_001, field(1, b"\1" * 16) + field(2, b"\2" * 8)
    a_list = field(9, field(2, field(5, field(1, b"", many))))
    bodies = {
        "blocks": field(1, b"", many),
        "scopes": field(1, field(2, b"", many)),
        "spans": field(1, field(2, field(2, b"", many))),
        "attributes": field(1, field(2, field(2, named + field(9, b"", many)))),
        "a list": field(1, field(2, field(2, named + a_list))),
        "texts of an entity": field(1, field(1, field(3, field(3, b"", many)))),
        "a body of logs": field(1, field(2, field(2, field(5, field(6, field(1, b"", many)))))),
        "nested": bytes.fromhex("0a12222a0a") * 200_000,
    }

    def read(body: bytes) -> int:
        return status(lambda: otlp.read(otlp.PROTOBUF, body, 1_800_000_000_000_000))

    for what, body in bodies.items():
        began_s = time.process_time()
        assert read(body) in ((400, 413) if what == "nested" else (413,)), what
        assert time.process_time() - began_s < 0.5, what
    attribute = field(9, field(1, b"key") + field(2, field(1, b"value")), 58)
    batch = field(1, field(2, field(2, named + attribute, 8_192)))
    assert kernels.message_weight(batch, len(batch), otlp_protobuf._KINDS[0], 1 << 40) < 1_200_000
    assert read(batch[:-1]) == 400, (
        "a collector's whole batch is not refused for its size, but for what lacks"
    )


@given(st.integers(0, 2**32), st.binary(max_size=200))
def test_what_protobuf_holds_is_weighed_as_it_is_read(seed: int, junk: bytes) -> None:
    otlp_protobuf = pytest.importorskip("stillwatch.exchanges.formats.otlp_protobuf")
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    draw = random.Random(seed)

    def fill(message: Any, depth: int) -> int:
        weight = 0
        for one in message.DESCRIPTOR.fields if depth < 7 else ():
            if one.message_type is not None:
                common = one.message_type.full_name.startswith("opentelemetry.proto.common.")
                if one.containing_oneof and message.WhichOneof(one.containing_oneof.name):
                    continue
                for _ in range(draw.randrange(2)):
                    inner = getattr(message, one.name)
                    inner = inner.add() if one.is_repeated else inner
                    inner.SetInParent()
                    weight += (1 if common else otlp_protobuf.SPAN_WEIGHT) + fill(inner, depth + 1)
            elif one.is_repeated:
                getattr(message, one.name).append("text")
                weight += 1
            elif one.type == one.TYPE_STRING and not one.containing_oneof:
                setattr(message, one.name, "*" * draw.randrange(200))
            elif one.cpp_type == one.CPPTYPE_UINT32:
                setattr(message, one.name, draw.randrange(2**32))
        return weight

    for kind, kinds in zip(
        (ExportTraceServiceRequest, ExportLogsServiceRequest), otlp_protobuf._KINDS, strict=True
    ):
        export = kind()
        weight, raw = fill(export, 0), export.SerializeToString()
        assert kernels.message_weight(raw, len(raw), kinds, 1 << 40) == weight
        assert 0 <= kernels.message_weight(junk, len(junk), kinds, 10) <= 16


def test_decisions_do_not_wait_for_many_ended_answers() -> None:
    """11 MB of Envoy's log delayed them by 1.4 s."""
    line = b"stream=a-1 answer=- status=0 sent=0 events=- comes=- "
    taken: list[str] = []
    held = SimpleNamespace(let_go_stream=lambda hook, stream: taken.append(stream))
    world: Any = SimpleNamespace(held=held)
    request: Any = SimpleNamespace(body=line * 1_000)
    turns: list[int] = []

    async def read() -> None:
        reading = asyncio.create_task(answering._ended(world, request, "hook"))
        while not reading.done():
            await asyncio.sleep(0)
            turns.append(len(taken))

    asyncio.run(read())
    assert len(taken) == 1_000
    assert max(after - before for before, after in pairwise([0, *turns])) <= answering.AT_ONCE


@given(message=ANY_TEXT, code=ANY_TEXT, status=st.sampled_from([400, 401, 403, 413, 429]))
def test_no_header_carries_a_line_break(message: str, code: str, status: int) -> None:
    judged = TermsJudgement(
        Decision(False, "rule\r\nx: y", status, code, message, 3), ModelVerdict(False, "", None)
    )
    for dialect in ("envoy", "nginx", "forward"):
        reply = dialects.answer(dialects.DecidePath(dialect), ReportedRequest("a"), judged)
        assert all(not set(value) & set(b"\r\n\0") for _, value in reply.headers)
        assert reply.status == (status if dialect != "nginx" or status in (401, 403) else 403)


def test_an_id_by_content_is_the_same_whatever_the_order() -> None:
    now = datetime.now(UTC).timestamp()
    assert digest_id("x", {"a": now, "b": [1]}) == digest_id("x", {"b": [1], "a": now})
    assert digest_id("x", {"a": 1}) != digest_id("x", {"a": 2})


def test_a_pause_of_the_process_does_not_pass_for_words_that_never_came(tmp_path: Path) -> None:
    """They may have arrived meanwhile, and are read after the next check."""

    async def wait_for_words(pause_s: float) -> list[list[str]]:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        with_pause = SimpleNamespace(
            time=lambda: now_s, is_closed=loop.is_closed, create_future=loop.create_future,
            call_soon_threadsafe=loop.call_soon_threadsafe,
        )  # fmt: skip
        gate: Any = SimpleNamespace(loop=with_pause, secret=bytes(32))
        calls = Joins(gate, tmp_path / "joins")
        await calls.take(otlp.Read(pieces={"call": PendingCall("otlp", {}, {}, [])}), 0)
        found = []
        for _ in range(31):
            now_s += pause_s
            pause_s = 1.0
            found.append(calls.due(0)[2])
        calls.close()
        return found

    found = asyncio.run(wait_for_words(60.0))
    assert found[:3] == [[], [], []]
    assert found[-1] == ["call"]
