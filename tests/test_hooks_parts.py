"""The pure parts of the hooks, with anything that can come in: taken apart or refused, never an error."""

import asyncio
import string
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.formats.otlp import PendingCall
from stillwatch.gateway.hooks import ReportedRequest, TermsJudgement, dialects, litellm, otlp
from stillwatch.gateway.hooks.intake import digest_id
from stillwatch.gateway.hooks.joins import Joins
from stillwatch.gateway.path.request import BadRequest
from stillwatch.terms import Decision, ModelVerdict

Row = dict[str, Any]

ANY_TEXT = st.text(alphabet=string.printable + "é\u202e\ud7ff", max_size=60)


def status(call: Callable[[], object]) -> int:
    """The status a call is refused with; 200 where it is not."""
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
    """They may have come meanwhile, and are read after the next look."""

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
