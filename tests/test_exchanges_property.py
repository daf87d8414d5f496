"""For any bytes: no traceback, and every line is read, refused or set aside."""

import gzip
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from growth import grows_with_the_text
from stillwatch.errors import StillwatchError
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.read import Rejects, read
from stillwatch.exchanges.strict_json import decode
from stillwatch.exchanges.values import Clock, tidy

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EPOCH = datetime(2015, 1, 2, tzinfo=UTC)
GOOD = json.dumps({"time": "2026-03-02T08:00:00Z", "account": "a", "prompt": "p"}).encode()
LIGHT = settings(max_examples=80, deadline=None)


def outcome(raw: bytes) -> tuple[int, Rejects]:
    """Return the rows read from a file of these bytes, and the refused lines."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(raw)
        rejects = Rejects()
        try:
            return sum(batch.num_rows for batch in read([path], rejects=rejects, now=NOW)), rejects
        except StillwatchError:
            return 0, rejects


magic = [b"\x0a\x05\x0a", b"\x1f\x8b\x08\x00", b"(\xb5/\xfd", b"PAR1", b"\xef\xbb\xbf"]
texts = [b"", b"{", b"[", b"\n", b"time,account,prompt\n", GOOD + b"\n", b"[" + GOOD + b","]
starts = st.sampled_from(magic + texts)


@pytest.mark.slow
@LIGHT
@given(start=starts, raw=st.binary(max_size=400))
def test_arbitrary_bytes_are_read_or_refused(start, raw):
    rows, rejects = outcome(start + raw)
    assert rows or rejects.count or rejects.aside


@pytest.mark.slow
@LIGHT
@given(
    st.lists(
        st.one_of(
            st.just(GOOD), st.binary(min_size=1, max_size=60).filter(lambda b: b"\n" not in b and b.strip())
        ),
        min_size=1,
    )
)
@example([GOOD, GOOD, b"\0" * (256 - 3 * len(GOOD + b"\n")), b"ustar"])  # as in a tar archive's head
def test_every_line_after_a_good_one_is_counted_once(lines):
    rows, rejects = outcome(b"\n".join([GOOD, *lines]) + b"\n")
    assert rows + rejects.count + rejects.aside == 1 + len(lines)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
foreign = (
    "request response messages resourceSpans resourceLogs metadata startTime call_type CorrelationId "
    "SequenceNumber RequestMessages schemaType message input body custom_id records Type category properties "
    "contents params result started_at ai consumer traceId type request_created_at request_body remote_addr "
    "jsonPayload log hits data event"
)
names = st.sampled_from([*RECORD.names, *foreign.split()])


@pytest.mark.slow
@LIGHT
@given(st.lists(st.dictionaries(names, values, max_size=8), min_size=1, max_size=4))
def test_objects_of_known_keys_and_wild_values_never_break_a_reader(objects):
    rows, _ = outcome(b"\n".join(json.dumps(o).encode() for o in objects) + b"\n" + GOOD)
    assert rows >= 1


def _as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    rows = [{"time": EPOCH + timedelta(days=i), "account": "a", "prompt": "p" * i} for i in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=5)
    return sink.getvalue().to_pybytes()


samples = [path.read_bytes() for path in sorted((Path(__file__).parent / "data" / "formats").iterdir())]
samples += [_as_parquet()] * 4


@pytest.mark.slow
@LIGHT
@given(
    sample=st.sampled_from(samples),
    at=st.floats(0, 1),
    junk=st.binary(max_size=6),
    drop=st.integers(0, 40),
    packed=st.booleans(),
)
def test_damaged_examples_of_every_format(sample, at, junk, drop, packed):
    place = int(at * len(sample))
    damaged = sample[:place] + junk + sample[place + drop :]
    rows, rejects = outcome(gzip.compress(damaged, 1) if packed else damaged)
    assert rows or rejects.count or rejects.aside


@pytest.mark.parametrize(
    "raw", [b'[{"a":1,"a":2},0]', b'[{"a":1,"b":{"c":1,"c":2}},[],0,0]', b'{"a":{"b":1,"b":2}}']
)
def test_a_key_twice_is_seen_beside_whatever_else(raw):
    with pytest.raises(Refused, match="twice"):
        decode(raw)


@pytest.mark.slow
@LIGHT
@given(values)
def test_strict_json_agrees_with_the_standard_library(value):
    raw = json.dumps(value).encode()
    assert json.loads(raw) == decode(raw)


@LIGHT
@given(st.lists(st.tuples(st.sampled_from("ab"), st.text("ab", max_size=2)), max_size=5))
def test_a_key_given_twice_is_always_found(pairs):
    raw = (
        b"{"
        + b" ,".join(json.dumps(k).encode() + b" : " + json.dumps(v + '":').encode() for k, v in pairs)
        + b"}"
    )
    twice = len({k for k, _ in pairs}) != len(pairs)
    try:
        decode(raw)
        assert not twice
    except Refused:
        assert twice


record_rows = st.fixed_dictionaries(
    {
        "time": st.timedeltas(timedelta(0), timedelta(days=4000)).map(lambda after: EPOCH + after),
        "account": st.text("ab", min_size=1),
    },
    optional={
        "prompt": st.text(max_size=30),
        "system": st.text(max_size=10),
        "n": st.integers(0, 9),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "temperature": st.floats(0, 2),
        "stream": st.booleans(),
        "latency_ms": st.integers(0, 10**12),
    },
)


@pytest.mark.slow
@LIGHT
@given(st.lists(record_rows, min_size=1, max_size=6))
def test_ids_and_rows_are_the_same_from_parquet_and_jsonl(rows):
    with tempfile.TemporaryDirectory() as folder:
        rows = [{"prompt": None} | row for row in rows]
        table = pa.Table.from_pylist(
            rows, schema=pa.schema([f for f in RECORD if any(f.name in row for row in rows)])
        )
        pq.write_table(table, Path(folder) / "p")
        lines = [json.dumps({k: v.isoformat() if k == "time" else v for k, v in row.items()}) for row in rows]
        (Path(folder) / "j").write_text("\n".join(lines), encoding="utf-8")
        one, two = (
            pa.Table.from_batches(read([Path(folder) / name], rejects=Rejects(), now=NOW), schema=RECORD)
            for name in "pj"
        )
        assert one.equals(two)


def test_tidy_is_idempotent():
    row = {"time": "2026-03-02T08:00:00Z", "account": "a", "n": "3", "stream": "true", "temperature": "0.5"}
    once = tidy(dict(row), Clock(NOW))
    assert tidy(dict(once), Clock(NOW)) == once


def _parts(text: str) -> object:
    """A span with one content part per character of the text, and as many keys, the last one twice."""
    shown = {f"llm.input_messages.0.message.contents.{k}.text": "some words" for k in range(len(text))}
    shown |= {"account.id": "a", "llm.model_name": "m", "llm.input_messages.0.message.role": "user"}
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in shown.items()]
    span = {"traceId": "t", "spanId": "s", "startTimeUnixNano": "1772438400000000000", "attributes": pairs}
    line = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    keys = json.dumps(shown)[:-1] + ', "account.id": "b"}'
    return outcome(f"{line}\n{keys}\n".encode())


@pytest.mark.slow
def test_many_parts_and_a_key_twice_among_many_cost_like_their_number():
    rows, rejects = _parts("xx")
    assert (rows, rejects.count) == (1, 1)
    assert grows_with_the_text(_parts, "x", 8_000)
