"""Reading logs: what is accepted, what is refused and how, and that nothing is lost."""

import bz2
import gzip
import json
import os
import re
import resource
import struct
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import InputError
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.read import Limits, Rejects, read, read_accounts
from stillwatch.exchanges.values import Clock, as_time
from stillwatch.units import us

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
US = pa.timestamp("us", tz="UTC")
GOOD = {"time": "2026-03-02T08:00:00Z", "account": "a", "prompt": "hello"}


def line(**more: object) -> str:
    return json.dumps(GOOD | more)


def take(*paths: Path, rejects: Rejects | None = None, **more) -> pa.Table:
    return pa.Table.from_batches(read(paths, rejects=rejects or Rejects(), now=NOW, **more), schema=RECORD)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(path: Path, **more) -> list[str]:
    """The examples of logs in which one good line must survive."""
    rejects = Rejects()
    table = take(path, rejects=rejects, **more)
    assert table.num_rows == 1
    assert rejects.count == len(rejects.examples)
    return rejects.examples


BAD_LINES = {
    "truncated": (line()[:-9], "not JSON"),
    "nan": (line(temperature=0).replace(": 0}", ': -Infinity, "n": NaN}'), "NaN or Infinity"),
    "infinity": (line(temperature=0).replace(": 0}", ": -Infinity}"), "NaN or Infinity"),
    "huge number": (line(temperature=0).replace(": 0}", ": 1e999}"), "not JSON"),
    "duplicate key": ('{"account": "b", ' + line()[1:], "key 'account' appears twice"),
    "duplicate, escaped and spaced": (
        '{"acc\\u006funt" \t: "b", ' + line()[1:],
        "key 'account' appears twice",
    ),
    "int out of range": (line(output_tokens=2**63), "column output_tokens must be from"),
    "int32 out of range": (line(turn=2**31), "column turn must be from"),
    "negative": (line(output_tokens=-5), "column output_tokens must be from"),
    "text for a number": (line(output_tokens="many"), "column output_tokens must be a number"),
    "fraction for a number": (line(output_tokens=1.5), "column output_tokens must be a whole number"),
    "truth for a number": (line(output_tokens=True), "column output_tokens must be a whole number"),
    "object for a text": (line(model={"a": 1}), "column model must be a text"),
    "list for an account": (line(account=["a"]), "column account must be a text"),
    "empty account": (line(account=""), "column account is empty"),
    "null time": (line(time=None), "column time is empty"),
    "no zone": (line(time="2026-03-02T08:00:00"), "has no zone; right would be 2026-03-02T08:00:00Z"),
    "date only": (line(time="2026-03-02"), "has no zone"),
    "far future": (line(time="2099-01-01T00:00:00Z"), "lies in the future"),
    "before 2015": (line(time="2014-12-31T23:59:59Z"), "before 2015"),
    "no time at all": (line(time="yesterday"), "is no time"),
    "year 100000": (line(time=3e12), "lies in the future"),
    "not an object": ('"just text"', "is a JSON text"),
    "null": ("null", "is a JSON null"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "deep objects": ('{"a":' * 100_000, "nested too deeply"),
    "nul": ('{"time": "2026\x00"}', "NUL byte"),
    "missing prompt": ('{"time": "2026-03-02T08:00:00Z", "account": "a"}', "no column 'prompt'"),
    "missing account": ('{"time": "2026-03-02T08:00:00Z", "prompt": "a"}', "no column 'account'"),
    "unknown": ('{"colour": 1}', "no column"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_refused_with_its_place_and_the_rest_is_read(tmp_path, name):
    bad, reason = BAD_LINES[name]
    log = write(tmp_path / "log", line() + "\n" + bad + "\n")
    (example,) = refused(log)
    assert example.startswith(f"{log}:2: ")
    assert reason in example


SPOILT = {
    "int out of range": (line(seed=2**63), "column seed must be from", "seed"),
    "int32 out of range": (line(n=2**31), "column n must be from", "n"),
    "number for a truth": (line(stream=2), "column stream must be true or false", "stream"),
    "object for a user": (line(end_user={"id": 1}), "column end_user must be a text", "end_user"),
    "text for a number": (line(temperature="hot"), "column temperature must be a number", "temperature"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_value_that_a_client_spoilt_hides_no_exchange(tmp_path, name):
    spoilt, reason, column = SPOILT[name]
    with Rejects(tmp_path / "rejected") as rejects:
        found = take(write(tmp_path / "log", spoilt + "\n"), rejects=rejects)
    assert found.column(column).to_pylist() == [None]
    assert (rejects.count, rejects.mended) == (0, 1)
    letter = json.loads((tmp_path / "rejected").read_text())
    assert letter["place"].endswith("log:1")
    assert letter["kept"]
    assert reason in letter["reason"]


def test_half_a_character_hides_no_exchange(tmp_path):
    rejects = Rejects()
    log = write(tmp_path / "log", line(prompt="\ud800 \\ud800 \U0001f600") + "\n")
    assert take(log, rejects=rejects).column("prompt").to_pylist() == ["\ufffd \\ud800 \U0001f600"]
    assert (rejects.count, rejects.mended) == (0, 1)
    rejects = Rejects()
    log = write(tmp_path / "log", json.dumps([GOOD | {"prompt": "\udfff"}], indent=1))
    assert take(log, rejects=rejects).column("prompt").to_pylist() == ["\ufffd"]


def test_bad_bytes_and_long_lines(tmp_path):
    log = write(
        tmp_path / "log",
        line(prompt="\xff").replace("\\u00ff", "\xff").encode("latin-1") + b"\n" + line().encode(),
    )
    assert refused(log)[0].startswith(f"{log}:1: not UTF-8")
    log = write(tmp_path / "log", line(prompt="x" * 5000) + "\n" + line())
    assert "5,0" in refused(log, limits=Limits(record_bytes=4000))[0]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path):
    log = write(tmp_path / "log", "\ufeff" + line() + "\r\n\r\n" + line(account="b") + "\r\n")
    assert take(log).column("account").to_pylist() == ["a", "b"]
    log = write(tmp_path / "log", '\ufefftime,account,prompt\r\n2026-03-02T08:00:00Z,a,"x\r\ny"\r\n')
    assert take(log).column("prompt").to_pylist() == ["x\r\ny"]


@pytest.mark.parametrize("number", [1772438400, 1772438400.0, "1772438400", 1772438400000, 1772438400000000,
                                    1772438400000000000])  # fmt: skip
def test_epoch_times_in_any_unit(tmp_path, number):
    log = write(tmp_path / "log", line(time=number))
    assert take(log).column("time").to_pylist() == [datetime(2026, 3, 2, 8, tzinfo=UTC)]


@pytest.mark.parametrize("text", ["2026-03-02 08:00:00", "Mar 2, 2026 @ 08:00:00.000"])
def test_times_without_a_zone_when_told_that_they_are_utc(tmp_path, text):
    log = write(tmp_path / "log", line(time=text))
    assert take(log, assume_utc=True).column("time").to_pylist() == [datetime(2026, 3, 2, 8, tzinfo=UTC)]


def test_dead_letters_hold_place_offset_and_no_text_by_default(tmp_path):
    log = write(tmp_path / "log", line() + "\n" + line(prompt="secret", time="x") + "\n")
    with Rejects(tmp_path / "out" / "dead.jsonl") as rejects:
        take(log, rejects=rejects)
    (letter,) = map(json.loads, (tmp_path / "out" / "dead.jsonl").read_text().splitlines())
    assert letter["place"] == f"{log}:2"
    assert letter["offset"] == len(line()) + 1
    assert letter["raw_bytes"] == len(line(prompt="secret", time="x"))
    assert "raw_blake2b" in letter
    assert "secret" not in (tmp_path / "out" / "dead.jsonl").read_text()
    with Rejects(tmp_path / "kept.jsonl", keep_text=True) as rejects:
        take(log, rejects=rejects)
    assert "secret" in json.loads((tmp_path / "kept.jsonl").read_text())["raw"]


def test_no_dead_letter_file_without_a_dead_letter(tmp_path):
    with Rejects(tmp_path / "dead.jsonl") as rejects:
        take(write(tmp_path / "log", line()), rejects=rejects)
    assert not (tmp_path / "dead.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n", "only white space"),
        (bytes(range(256)) * 20, "binary"),
        (b"time,account\n1,2", "no column 'prompt'"),
        ("hello".encode("utf-16"), "no log of a kind known"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"PK\x03\x04".ljust(30) + b"[Content_Types].xml", "Excel workbook"),
        (b"SQLite format 3\x00" + bytes(90), "sqlite3 -header -csv"),
        (b"ARROW1\x00\x00" + bytes(90), "Parquet"),
        (b"PAR1 and then nothing", "damaged Parquet"),
        (b"\x1f\x8b\x08 no gzip", "damaged gzip"),
        (b"time;account\n", "no column"),
        (b"time,account,prompt\n", "holds no record"),
        (b"[]", "holds no record"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_reject_and_the_others_are_read(tmp_path, content, reason):
    write(tmp_path / "a", content)
    write(tmp_path / "b", line())
    example = refused(tmp_path)[0]
    assert example.startswith(str(tmp_path / "a"))
    assert reason in example
    with pytest.raises(InputError, match=reason):
        take(tmp_path / "a")


def test_a_missing_column_names_file_column_and_aliases(tmp_path):
    with pytest.raises(InputError, match=r"log: .*no column 'prompt'.*user_prompt, input"):
        take(write(tmp_path / "log", "time,account\n2026-03-02T08:00:00Z,a\n"))


def test_no_such_path(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        take(tmp_path / "nothing*")
    with pytest.raises(InputError, match="no log given"):
        take()


@pytest.mark.slow
def test_truncated_gzip_and_zstd_give_what_they_hold(tmp_path):
    noise = np.random.default_rng(1)
    many = "".join(line(conversation=str(noise.random())) + "\n" for _ in range(20_000)).encode()
    for packed in (gzip.compress(many), pa.compress(many, codec="zstd", asbytes=True)):
        log = write(tmp_path / "log", packed[:-2000])
        rejects = Rejects()
        table = take(log, rejects=rejects)
        assert 1000 < table.num_rows < 20_000
        assert rejects.count == 1
        assert "ends too early" in rejects.examples[0]


def test_a_truncated_array_and_pretty_printed_objects(tmp_path):
    text = json.dumps([GOOD, GOOD | {"account": "b"}, GOOD], indent=2)
    assert take(write(tmp_path / "log", text)).num_rows == 3
    rejects = Rejects()
    assert take(write(tmp_path / "log", text[:-20]), rejects=rejects).num_rows == 2
    assert rejects.examples == [f"{tmp_path / 'log'}:12: not JSON: the file ends inside this value"]
    flat = "[" + ",".join([line(), line(), line()])
    assert take(write(tmp_path / "log", flat[:-10])).num_rows == 2
    assert take(write(tmp_path / "log", (json.dumps(GOOD, indent=1) + "\n") * 3)).num_rows == 3


def test_a_damaged_first_line_does_not_hide_the_rest(tmp_path):
    for first in ('{"time": "2026-03', "garbage", line()[:-1]):
        log = write(tmp_path / "log", first + "\n" + line() + "\n")
        assert len(refused(log)) == 1


def test_csv_that_is_broken_in_one_place(tmp_path):
    head = "time,account,prompt\n"
    row = '2026-03-02T08:00:00Z,a,"fine"\n'
    assert "has 2 fields where the header has 3" in refused(write(tmp_path / "l", head + "1,2\n" + row))[0]
    example = refused(write(tmp_path / "l", head + '2026-03-02T08:00:00Z,a,"open\n' + row))[0]
    assert f"{tmp_path / 'l'}:2: not CSV" in example


def _bomb(path: Path, packing: str, size: int, block: bytes) -> Path:
    with path.open("wb") as file:
        packer = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) if packing == "gzip" else None
        out = packer or pa.CompressedOutputStream(file, "zstd")
        out.write(line(account="b").encode() + b"\n")
        for _ in range(size // len(block)):
            out.write(block)
        out.close()
    return path


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["gzip", "zstd"])
@pytest.mark.parametrize("block", [bytes(1 << 20), b" " * (1 << 20), b'{"a":"' + b"x" * ((1 << 20) - 6)])
def test_a_bomb_is_refused_and_memory_stays_flat(tmp_path, packing, block):
    write(tmp_path / "ok", line())
    bomb = _bomb(tmp_path / "bomb", packing, 192 << 20, block)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rejects = Rejects()
    table = take(
        tmp_path,
        rejects=rejects,
        limits=Limits(unpacked_bytes=160 << 20, record_bytes=8 << 20, free_bytes=64 << 20),
    )
    assert table.num_rows == 2
    assert "refused as a bomb" in " ".join(rejects.examples)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    assert bomb.stat().st_size < 192 << 14


@pytest.mark.slow
def test_a_real_bomb_at_the_default_limits(tmp_path):
    _bomb(tmp_path / "bomb", "zstd", 3 << 30, bytes(1 << 22))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (example,) = refused(tmp_path / "bomb")
    assert "refused as a bomb" in example
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_a_line_of_200_mb_is_refused_without_being_held(tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.write(line().encode() + b'\n{"prompt": "')
        for _ in range(200):
            file.write(b"y" * 1_000_000)
        file.write(b'"}\n')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (example,) = refused(log)
    assert f"{log}:2: is 200,000,014 bytes long" in example
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_the_same_file_given_twice_changes_nothing(tmp_path):
    log = write(tmp_path / "a.jsonl", line() + "\n" + line(account="b"))
    write(tmp_path / "copy.jsonl", log.read_bytes())
    (tmp_path / "link.jsonl").symlink_to(log)
    once = take(log)
    assert take(log, log, tmp_path, str(tmp_path / "*.jsonl")).equals(once)


def test_ids_come_from_content_alone_and_are_the_same_from_every_format(tmp_path):
    rows = [("a", "x", 1, None), ("a", "x", None, ""), ("b", "", 1, "x"), ("a", "é" * 99, 2, "y")]
    keys = ("account", "prompt", "output_tokens", "system")
    table = pa.Table.from_pylist(
        [
            {"time": AT + timedelta(minutes=i)} | dict(zip(keys, row, strict=True))
            for i, row in enumerate(rows)
        ]
    )
    pq.write_table(table, tmp_path / "1.parquet")
    pq.write_table(table.slice(2), tmp_path / "2.parquet", row_group_size=1)
    write(tmp_path / "3.jsonl", "".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist()))
    whole = take(tmp_path / "1.parquet").column("exchange_id").to_pylist()
    assert len(set(whole)) == 4
    assert all(len(made) == len("row_") + 32 for made in whole)
    assert take(tmp_path / "2.parquet").column("exchange_id").to_pylist() == whole[2:]
    assert take(tmp_path / "3.jsonl").column("exchange_id").to_pylist() == whole


def test_a_text_moved_to_another_column_or_a_null_for_an_empty_text_is_another_row(tmp_path):
    variants = [GOOD, GOOD | {"system": ""}, GOOD | {"system": "hello", "prompt": ""},
                GOOD | {"model": "hello"}, GOOD | {"n": 1}, GOOD | {"tools": 1},
                GOOD | {"prompt": "hello\0"}]  # fmt: skip
    log = write(tmp_path / "log", "\n".join(json.dumps(row) for row in variants))
    assert len(set(take(log).column("exchange_id").to_pylist())) == len(variants)


def test_columns_and_texts_not_asked_for_are_null(tmp_path):
    log = write(tmp_path / "log", line(model="m", system="s"))
    table = take(log, columns=["model"])
    row = table.to_pylist()[0]
    assert row["model"] == "m"
    assert row["account"] == "a"
    assert row["prompt"] is None
    assert row["exchange_id"] is None
    bare = take(log, keep_text=False).to_pylist()[0]
    assert bare["prompt"] is None
    assert bare["system"] is None
    assert bare["model"] == "m"
    assert bare["exchange_id"] == take(log).to_pylist()[0]["exchange_id"]


def test_progress_reaches_the_whole(tmp_path):
    for name in "ab":
        write(tmp_path / name, line(account=name) + "\n")
    seen: list[tuple[int, int]] = []
    take(tmp_path, progress=lambda done, total: seen.append((done, total)))
    total = sum(p.stat().st_size for p in tmp_path.iterdir())
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)


def _parquet(path: Path, **columns: pa.Array) -> Path:
    base = {
        "time": pa.array([1772438400000000] * 3, pa.timestamp("us", tz="UTC")),
        "account": pa.array(["a", "b", "c"]),
        "prompt": pa.array(["x", "y", None]),
    }
    pq.write_table(pa.table(base | columns), path)
    return path


def test_parquet_rows_are_refused_one_by_one(tmp_path):
    us = [1772438400000000, None, 4070908800000000]
    path = _parquet(
        tmp_path / "p", time=pa.array(us, pa.timestamp("us", tz="UTC")), account=pa.array(["a", "b", "c"])
    )
    examples = refused(path)
    assert [e.split(": ")[0] for e in examples] == [f"{path}:row 2", f"{path}:row 3"]
    assert "time is empty" in examples[0]
    assert "future" in examples[1]
    path = _parquet(tmp_path / "p", account=pa.array(["", None, "c"]))
    assert len(refused(path)) == 2
    path = _parquet(tmp_path / "p", turn=pa.array([2**40, -1, 1]))
    assert [("column turn" in e) for e in refused(path)] == [True, True]
    path = _parquet(tmp_path / "p", output_tokens=pa.array(["7", "many", "1.5"]))
    assert len(refused(path)) == 2
    invalid = pa.StringArray.from_buffers(
        3, pa.py_buffer(struct.pack("<4i", 0, 1, 2, 3)), pa.py_buffer(b"a\xff\xfe")
    )
    path = _parquet(tmp_path / "p", account=invalid)
    assert all("not UTF-8" in e for e in refused(path))
    path = _parquet(tmp_path / "p", time=invalid)
    with pytest.raises(InputError, match="is no time"):
        take(path)
    with Rejects(tmp_path / "dead", keep_text=True) as rejects:  # times beyond what Python can show
        far = pa.array([2**62, 1772438400000000, -(2**62)], US)
        assert take(_parquet(tmp_path / "p", time=far), rejects=rejects).num_rows == 1
    assert (tmp_path / "dead").read_text().count("\n") == 2
    rejects = Rejects()
    path = _parquet(tmp_path / "p", temperature=pa.array([0.5, float("inf"), float("-inf")]))
    assert take(path, rejects=rejects).column("temperature").to_pylist() == [0.5, None, None]
    assert (rejects.count, rejects.mended) == (0, 2)


def test_parquet_types_that_convert_exactly(tmp_path):
    path = _parquet(
        tmp_path / "p",
        time=pa.array([1772438400, 1772438400000, 1772438400000000000]),
        account=pa.array([7, 8, 9], pa.int64()),
        model=pa.array(["m", "m", "k"]).dictionary_encode(),
        max_tokens=pa.array([5.0, float("nan"), 7.0]),
        stream=pa.array(["true", "0", None]),
        seed=pa.array([1, 2, 3], pa.uint8()),
    )
    table = take(path)
    assert set(table.column("time").to_pylist()) == {datetime(2026, 3, 2, 8, tzinfo=UTC)}
    assert table.column("account").to_pylist() == ["7", "8", "9"]
    assert table.column("max_tokens").to_pylist() == [5, None, 7]
    assert table.column("stream").to_pylist() == [True, False, None]
    text = _parquet(
        tmp_path / "q", time=pa.array(["2026-03-02T08:00:00Z", "2026-03-02T10:00:00+02:00", "1772438400"])
    )
    assert set(take(text).column("time").to_pylist()) == {datetime(2026, 3, 2, 8, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"time": pa.array([0, 0, 0], pa.timestamp("us"))}, "without a zone"),
        ({"time": pa.array([True, True, False])}, "right would be a timestamp"),
        ({"account": pa.array([[1], [2], [3]])}, "right would be text"),
        ({"output_tokens": pa.array([True, False, True])}, "right would be whole numbers"),
        ({"temperature": pa.array([[0.1], [0.2], [0.3]])}, "right would be numbers"),
    ],
)
def test_parquet_columns_of_a_hopeless_type_refuse_the_file(tmp_path, columns, reason):
    with pytest.raises(InputError, match=reason):
        take(_parquet(tmp_path / "p", **columns))


def test_a_parquet_file_that_breaks_in_the_middle(tmp_path):
    rows = [GOOD | {"time": datetime(2026, 3, 2, tzinfo=UTC), "prompt": f"{i} " * 50} for i in range(4000)]
    pq.write_table(
        pa.Table.from_pylist(rows),
        tmp_path / "p",
        row_group_size=1000,
        compression="zstd",
        use_dictionary=False,
    )
    raw = bytearray((tmp_path / "p").read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 2000] = bytes(2000)
    rejects = Rejects()
    table = take(write(tmp_path / "p", bytes(raw)), rejects=rejects, batch_rows=500)
    assert 500 <= table.num_rows < 4000
    assert rejects.count == 1
    assert "damaged Parquet" in rejects.examples[0]


def test_csv_and_parquet_and_jsonl_of_one_table_agree(tmp_path):
    rng = np.random.default_rng(7)
    prompts = ['a "b", c\nd', "é\t\r\n", "x", "\u2028 line", "'"]
    table = pa.table({
        "exchange_id": [f"e{i}" for i in range(50)],
        "time": pa.array(rng.integers(1772438400_000000, 1772538400_000000, 50), US),
        "account": [f"acct-{i % 7}" for i in range(50)],
        "prompt": [prompts[i % 5] for i in range(50)],
        "output_tokens": pa.array(rng.integers(0, 99, 50)),
        "stream": [i % 2 == 0 for i in range(50)],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    pacsv.write_csv(table, tmp_path / "t.csv")
    write(tmp_path / "t.jsonl", "".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist()))
    one = take(tmp_path / "t.parquet")
    assert one.equals(take(tmp_path / "t.csv"))
    assert one.equals(take(tmp_path / "t.jsonl"))
    assert one.equals(take(tmp_path / "t.jsonl", batch_rows=7).combine_chunks())


def test_accounts_from_parquet_and_csv(tmp_path):
    write(
        tmp_path / "a.csv",
        "account,org,created,permissions\na,o,2026-01-01T00:00:00Z,synthetic_data;red_team\nb,,,\n,x,,\n",
    )
    rejects = Rejects()
    table = read_accounts(tmp_path / "a.csv", rejects=rejects, now=NOW)
    assert table.column("permissions").to_pylist() == [["synthetic_data", "red_team"], None]
    assert rejects.count == 1
    assert "has no account" in rejects.examples[0]
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_accounts(tmp_path / "a.parquet", rejects=Rejects(), now=NOW).equals(table)
    with pytest.raises(InputError, match="no account could be read"):
        read_accounts(write(tmp_path / "b", "colour\nred\n"), rejects=Rejects())


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["gzip", "zstd"])
@pytest.mark.parametrize("ending", ["cut off", "with something after it"])
def test_a_small_archive_that_breaks_gives_what_came_before(tmp_path, packing, ending):
    noise = np.random.default_rng(2)
    many = "".join(line(conversation=str(noise.random())) + "\n" for _ in range(3_000)).encode()
    packed = gzip.compress(many) if packing == "gzip" else pa.compress(many, packing, asbytes=True)
    broken = packed[: len(packed) // 2] if ending == "cut off" else packed + b"no archive"
    rejects = Rejects()
    rows = take(write(tmp_path / "log", broken), rejects=rejects).num_rows
    assert rejects.count == 1
    assert 500 < rows < 3_000 if ending == "cut off" else rows == 3_000


@pytest.mark.parametrize(
    "written",
    [
        "02/Mar/2026:13:00:00 +0100",
        "Mon, 02 Mar 2026 12:00:00 GMT",
        "Mon, 02 Mar 2026 14:00:00 +0200",
        "2026-03-02 12:00:00 +0000 UTC",
        "2026-03-02 12:00:00.000000001 +0000 UTC",
        "2026-03-02 12:00:00 UTC",
    ],
)
def test_times_as_other_programs_write_them(tmp_path, written):
    (time,) = take(write(tmp_path / "log", line(time=written))).column("time").to_pylist()
    assert time == datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_which_alias_counts_does_not_hang_on_the_order_of_the_keys(tmp_path):
    row = {"api_key_id": "key", "org_id": "org", "ts": GOOD["time"], "query": "second", "input": "first"}
    log = write(tmp_path / "log", json.dumps(row) + "\n" + json.dumps(dict(reversed(row.items()))))
    found = take(log)
    assert found.column("account").to_pylist() == ["org"] * found.num_rows
    assert found.column("prompt").to_pylist() == ["first"] * found.num_rows
    with pytest.raises(InputError, match="end users are not who pays"):
        take(write(tmp_path / "b", json.dumps({"time": GOOD["time"], "user": "u", "prompt": "p"})))


def test_text_that_is_no_log_is_called_that(tmp_path):
    for text in ("<!DOCTYPE html>\n<p>Sign in</p>\n", "Mar  2 00:00:00 host sshd[1]: hello, you\n"):
        with pytest.raises(InputError, match="no log of a kind known here"):
            take(write(tmp_path / "log", text))


def test_an_archive_of_files_is_called_that(tmp_path):
    (tmp_path / "a.jsonl").write_text(line())
    with tarfile.open(tmp_path / "log.tgz", "w:gz") as archive:
        archive.add(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="is a tar archive"):
        take(tmp_path / "log.tgz")


@pytest.mark.parametrize(
    "start",
    [
        '{"time": "2026-03-02T08:00:00Z", "account": "a", "prompt": "',
        "time,account,prompt\n2026-03-02T08:00:00Z,a,",
    ],
    ids=["JSON", "CSV"],
)
def test_a_word_in_a_clients_text_makes_a_log_no_archive(tmp_path, start):
    """An archive has it at a fixed offset, but a client's first text may have it there too."""
    text = start + "x" * (257 - len(start)) + "ustar"
    log = tmp_path / "log"
    log.write_text(text + ('"}\n' if start.startswith("{") else "\n"))
    assert take(log).num_rows == 1


def test_a_folder_is_read_through_its_links_and_each_file_once(tmp_path):
    (tmp_path / "logs" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "logs" / "deep" / "a", line())
    write(tmp_path / "elsewhere" / "b", line(account="b"))
    (tmp_path / "logs" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "logs" / "deep" / "up").symlink_to(tmp_path / "logs")
    (tmp_path / "logs" / "self").symlink_to("self")
    (tmp_path / "logs" / "gone").symlink_to("/nowhere")
    os.mkfifo(tmp_path / "logs" / "pipe")
    assert sorted(take(tmp_path / "logs").column("account").to_pylist()) == ["a", "b"]
    (tmp_path / "logs" / "report").mkdir()  # `--out` among the logs, and scanned again
    for name in ("findings.json", "evidence.json", "index.html", "rejected.jsonl"):
        write(tmp_path / "logs" / "report" / name, '{"a": 1}')
    rejects = Rejects()
    assert sorted(take(tmp_path / "logs", rejects=rejects).column("account").to_pylist()) == ["a", "b"]
    assert rejects.count == 0
    with pytest.raises(InputError, match="is a pipe or a device"):
        take(tmp_path / "logs" / "pipe")


def test_a_date_that_cannot_be_read_costs_an_account_its_date_alone(tmp_path):
    text = "Account ID,Created At,Permissions\na,2026-01-01,synthetic_data\nb,yesterday,\n"
    with Rejects(tmp_path / "rejected") as rejects:
        table = read_accounts(write(tmp_path / "a.csv", text), rejects=rejects, now=NOW)
    assert table.select(["account", "created", "permissions"]).to_pylist() == [
        {"account": "a", "created": None, "permissions": ["synthetic_data"]},
        {"account": "b", "created": None, "permissions": None},
    ]
    assert (rejects.count, rejects.mended) == (0, 2)
    assert "has no zone" in (tmp_path / "rejected").read_text().splitlines()[0]
    page = json.dumps({"object": "list", "data": [{"account": "a"}, {"account": "b"}]})
    assert read_accounts(write(tmp_path / "b", page), rejects=Rejects(), now=NOW).num_rows == 2


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("2026-03-02T24:00:00Z", "2026-03-03T00:00:00+00:00"),
        ("2026-03-02 24:00+01:00", "2026-03-02T23:00:00+00:00"),
        ("2015-06-30T23:59:60Z", "2015-07-01T00:00:00+00:00"),
        ("2026-03-02T09:12:60.000Z", "2026-03-02T09:13:00+00:00"),
        ("2026-03-02T09:12:00-05:00[America/New_York]", "2026-03-02T14:12:00+00:00"),
    ],
)
def test_unusual_times_that_mean_one_moment_are_read(written, read_as):
    assert as_time(written, Clock(NOW)) == us(datetime.fromisoformat(read_as))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-03-02 09:12:00 PST", "'2026-03-02 09:12:00 PST' names its zone PST"),
        ("Mon Mar  2 09:12:00 CST 2026", "names its zone CST"),
        ("Mon Mar  2 09:12:00 2026", "has no zone"),
        ("2026-03-02T24:00", "has no zone"),
        ("2026-03-02T24:00:01Z", "'2026-03-02T24:00:01Z' is no time"),
        ("2026-03-02T09:12:61Z", "'2026-03-02T09:12:61Z' is no time"),
        ("2026-03-02T09:60:00Z", "is no time"),
        ("9999-12-31T24:00:00Z", "is no time"),
        ("tell me about PST", "a text of 17 characters"),
        ("2026 SECRET WORDS", "a text of 17 characters"),
    ],
)
def test_times_that_may_be_several_are_refused_with_the_value(written, said):
    with pytest.raises(Refused, match=re.escape(said)):
        as_time(written, Clock(NOW))


@pytest.mark.parametrize(
    "text", ["[1,2,3]", '["a",\n"b",\n"c"]', "[1,\n2,\n3\n]", "[[1, 2, 3]]", "[null, true]"]
)
def test_an_array_of_what_is_no_record_is_one_bad_file(tmp_path, text):
    (tmp_path / "log.json").write_text(text)
    rejects = Rejects()
    with pytest.raises(InputError, match="right would be one object"):
        list(read([tmp_path / "log.json"], rejects=rejects, now=NOW))
    assert rejects.count == 1


def test_a_stray_value_among_records_costs_only_itself(tmp_path):
    (tmp_path / "log.json").write_text(f"[{json.dumps(GOOD)}, 7,\n{json.dumps(GOOD | {'prompt': 'Two'})}]")
    rejects = Rejects()
    assert sum(batch.num_rows for batch in read([tmp_path / "log.json"], rejects=rejects, now=NOW)) == 2
    assert rejects.count == 1
    assert "no object" in rejects.examples[0]


VALUES_OF_OTHER_TOOLS = {
    "a duration with a fraction": ({"latency_ms": 812.6}, "latency_ms", 813),
    "a status as a word": ({"status": "success"}, "status", 200),
    "a failure as a word": ({"status": "Error"}, "status", 500),
    "a status with its phrase": ({"status": "HTTP/1.1 429 Too Many Requests"}, "status", 429),
    "an account as pandas keeps numbers beside a gap": ({"account": 12.0}, "account", "12"),
    "a decimal comma": ({"temperature": "0,7"}, "temperature", 0.7),
    "MongoDB's number": ({"input_tokens": {"$numberInt": "5"}}, "input_tokens", 5),
    "MongoDB's id": ({"exchange_id": {"$oid": "65f0"}}, "exchange_id", "65f0"),
}


@pytest.mark.parametrize("name", VALUES_OF_OTHER_TOOLS)
def test_values_as_other_tools_write_them(tmp_path, name):
    given, column, right = VALUES_OF_OTHER_TOOLS[name]
    rejects = Rejects()
    assert take(write(tmp_path / "log", line(**given)), rejects=rejects).column(column).to_pylist() == [right]
    assert (rejects.count, rejects.mended) == (0, 0)


@pytest.mark.parametrize("value", ["2026-03-02T08:00:00Z", {"$numberLong": "1772438400000"}])
def test_a_time_of_mongodb(tmp_path, value):
    log = write(tmp_path / "log", line(time={"$date": value}))
    assert take(log).column("time").to_pylist() == [AT]


def test_a_word_that_is_no_status_hides_no_exchange(tmp_path):
    rejects = Rejects()
    found = take(write(tmp_path / "log", line(status="blue", latency_ms="long")), rejects=rejects)
    assert found.select(["status", "latency_ms"]).to_pylist() == [{"status": None, "latency_ms": None}]
    assert (rejects.count, rejects.mended) == (0, 2)


def test_columns_of_numbers_where_texts_and_whole_numbers_belong(tmp_path):
    more = {
        "account": [1.0, None, 3.0],
        "exchange_id": pa.array([1, 2, 3], pa.decimal128(38, 9)),
        "latency_ms": [812.6, None, float("nan")],
        "status": ["ok", "429", "blue"],
    }
    pq.write_table(pa.table({"time": [AT] * 3, "prompt": ["p"] * 3} | more), tmp_path / "log")
    rejects = Rejects()
    row, other = take(tmp_path / "log", rejects=rejects).to_pylist()
    assert (row["account"], row["exchange_id"], row["latency_ms"], row["status"]) == ("1", "1", 813, 200)
    assert (other["account"], other["latency_ms"], other["status"]) == ("3", None, None)
    assert (rejects.count, rejects.mended) == (1, 1)
    assert "column account is empty" in rejects.examples[0]


TABLES_OF_OTHER_TOOLS = {
    "blanks around the cells": "time, account, prompt\n2026-03-02T08:00:00Z, a, hello\n",
    "psql": " time | account | prompt\n------+----+---\n 2026-03-02T08:00:00Z | a | hello\n",
    "a remark before the header": "# made by us, today\ntime,account,prompt\n2026-03-02T08:00:00Z,a,hello\n",
    "numbers of rows without a name": ",,time,account,prompt\n0,0,2026-03-02T08:00:00Z,a,hello\n",
    "words for nothing": "time,account,prompt,status,model\n2026-03-02T08:00:00Z,a,hello,\\N,NULL\n",
}


@pytest.mark.parametrize("name", TABLES_OF_OTHER_TOOLS)
def test_tables_as_other_tools_write_them(tmp_path, name):
    rejects = Rejects()
    (row,) = take(write(tmp_path / "log", TABLES_OF_OTHER_TOOLS[name]), rejects=rejects).to_pylist()
    assert (row["account"], row["prompt"], row["model"], row["status"]) == ("a", "hello", None, None)
    assert rejects.count == rejects.mended == 0


def test_an_account_that_is_a_word_for_nothing_is_no_account(tmp_path):
    log = write(tmp_path / "log", "time,account,prompt\n2026-03-02T08:00:00Z,NULL,b\n" + "1772438400,a,b\n")
    assert refused(log) == [f"{log}:2: column account is empty; every exchange needs one"]


def test_a_table_in_another_encoding_says_what_to_do(tmp_path):
    table = "time,account,prompt\n1772438400,a,größer\n1772438400,a,b\n"
    assert "iconv -f CP1252 -t UTF-8" in refused(write(tmp_path / "log", table.encode("cp1252")))[0]


INSIDE = json.dumps({"account": "a", "prompt": "hello"})


def test_records_in_a_column_of_a_shipper_s_table(tmp_path):
    quoted = INSIDE.replace('"', '""')
    insights = write(tmp_path / "a", f'@timestamp,@message\n2026-03-02 08:00:00.000,"{quoted}"\n')
    splunk = write(tmp_path / "b", f'_time,host,_raw\n2026-03-02T08:00:00.000+0000,h,"{quoted}"\n')
    table = pa.table({"timestamp": pa.array([AT], US), "message": [INSIDE], "service": ["s"]})
    pq.write_table(table, tmp_path / "c")
    journal = write(
        tmp_path / "d", json.dumps({"__REALTIME_TIMESTAMP": "1772438400000000", "MESSAGE": INSIDE})
    )
    for log in (insights, splunk, tmp_path / "c", journal):
        (row,) = take(log).to_pylist()
        assert (row["time"], row["account"], row["prompt"]) == (AT, "a", "hello")


def test_a_line_of_text_is_no_table_and_gets_no_names(tmp_path):
    log = write(tmp_path / "log", '2026-03-02 INFO, "proxy" request={"a": 1}, x\n')
    with pytest.raises(InputError) as why:
        take(log)
    assert "--map" not in str(why.value)


def test_a_record_below_another_is_named_by_its_path(tmp_path):
    log = write(
        tmp_path / "log", json.dumps({"level": 30, "time": 1772438400, "call": {"prompt": "p", "who": 1}})
    )
    with pytest.raises(InputError, match=r"--map prompt=call\.prompt"):
        take(log)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_what_windows_prints_into_a_file_is_read(tmp_path, coding):
    texts = (
        (line(prompt="größer 😀") + "\r\n") * 4_000,
        "time\taccount\tprompt\r\n1772438400\ta\tgrößer 😀\r\n",
    )
    for text, rows in zip(texts, (4_000, 1), strict=True):
        found = take(write(tmp_path / "log", text.encode(coding))).column("prompt").to_pylist()
        assert found == ["größer 😀"] * rows


@pytest.mark.slow
def test_bzip2_is_unpacked_and_what_a_broken_part_holds_is_read(tmp_path):
    noise = np.random.default_rng(1)
    many = "".join(line(conversation=str(noise.random())) + "\n" for _ in range(30_000)).encode()
    parts = bz2.compress(many[: many.index(b"\n", len(many) // 2) + 1]), bz2.compress(line().encode())
    assert take(write(tmp_path / "log", b"".join(parts))).num_rows > 15_000
    rejects = Rejects()
    assert take(write(tmp_path / "log", parts[0][:-2000]), rejects=rejects).num_rows > 1000
    assert "ends too early" in rejects.examples[-1]


LONG = "a long question " * 1500
CUT = line(prompt=LONG)
ONE_RECORD_IN_OTHER_LINES = {
    "a comma behind the object": [line() + ",", line() + ", "],
    "objects without a line end between them": [line() + line(), line()],
    "NaN, as Python writes a gap": [line(model="NaN", temperature=float("nan")), line(n=float("nan"))],
    "a dict that Python printed": [
        repr(GOOD | {"model": None, "prompt": "it's"}),
        repr(GOOD | {"tools": (1,)}),
    ],
    "pieces of a container's runtime": [
        f"2026-03-02T08:00:00.1Z stdout P {CUT[:30]}",
        "2026-03-02T08:00:00.1Z stderr F {}",
        f"2026-03-02T08:00:00.1+01:00 stdout P {CUT[30:50]}",
        f"2026-03-02T08:00:00.2Z stdout F {CUT[50:]}",
        f"2026-03-02T08:00:00.3Z stdout F {line()}",
    ],
    "pieces in Docker's files": [
        json.dumps({"log": text, "stream": stream, "time": "2026-03-02T08:00:00Z"}, separators=(",", ":"))
        for text, stream in (
            (CUT[:16384], "stdout"),
            ("stderr F\n", "stderr"),
            (CUT[16384:] + "\n", "stdout"),
            (line(), "stdout"),
        )
    ],
    "words of a program at its start": [
        "INFO:     Started server [1]",
        *(f"api-1  | {line()}" for _ in "ab"),
    ],
}


@pytest.mark.parametrize("name", ONE_RECORD_IN_OTHER_LINES)
def test_lines_as_other_tools_write_them(tmp_path, name):
    lines = ONE_RECORD_IN_OTHER_LINES[name]
    rejects = Rejects()
    found = take(write(tmp_path / "log", "\n".join(lines) + "\n"), rejects=rejects)
    assert found.num_rows >= 2
    assert rejects.count == sum("stderr F" in text or "Started" in text for text in lines)
    if "pieces" in name:
        assert found.column("prompt").to_pylist() == [LONG, "hello"]


def test_a_line_that_a_runtime_cut_at_the_end_of_a_file_says_so(tmp_path):
    log = write(tmp_path / "log", f"2026-03-02T08:00:00Z stdout P {CUT[:40]}\n")
    with pytest.raises(InputError, match=r"log:1: .*runtime cut the line"):
        take(log)


@pytest.mark.parametrize("text", ["{'time': f(1)}", "{'a': 1, 'a': 2}", "{'a': {1}}", "{'" + "[" * 5000])
def test_python_that_is_no_plain_dict_is_refused(tmp_path, text):
    assert "json.dumps" in refused(write(tmp_path / "log", line() + "\n" + text + "\n"))[0]


def test_a_log_that_nginx_escaped_its_own_way_says_what_to_set(tmp_path):
    log = write(tmp_path / "log", line() + '\n{"request_body": "{\\x22a\\x22: 1}"}\n')
    assert "escape=json" in refused(log)[0]


ACCOUNTS_OF_OTHERS = {
    "keys of LiteLLM": json.dumps(
        {"keys": [{"token": "a", "key_alias": "k", "user_id": "u", "team_id": "o"}]}
    ),
    "tenants": "tenant_id,organization_name\na,o\n",
    "an id before the account": "id,account,company\n7,a,o\n",
    "keys before their team": "team,api_key_id\no,a\n",
    "blanks and case": "Account Name; Team\na; o\n",
}


@pytest.mark.parametrize("name", ACCOUNTS_OF_OTHERS)
def test_accounts_tables_under_the_usual_names(tmp_path, name):
    (row,) = read_accounts(write(tmp_path / "t", ACCOUNTS_OF_OTHERS[name]), rejects=Rejects()).to_pylist()
    assert (row["account"], row["org"]) == ("a", "o")


def test_accounts_with_addresses_and_permissions_of_any_writing(tmp_path):
    table = "account,email,permissions\na,x@mail.example,\"['red_team', 'b']\"\nb,c.example,red_team|b\n"
    found = read_accounts(write(tmp_path / "t", table), rejects=Rejects()).to_pylist()
    assert [row["email_domain"] for row in found] == ["mail.example", "c.example"]
    assert [row["permissions"] for row in found] == [["red_team", "b"]] * 2


def test_an_accounts_table_without_an_account_says_what_it_has(tmp_path):
    with pytest.raises(InputError, match=r"its columns: 'payer', 'org'\. Rename the one"):
        read_accounts(write(tmp_path / "t", "payer,org\na,o\n"), rejects=Rejects())


def test_the_usual_names_of_columns_lose_nothing(tmp_path):
    row = {
        "timestamp_ms": 1772438400000, "key_hash": "a", "prompt": "hello", "response": "hi", "chat_id": "c",
        "requested_model": "m", "system_message": "s", "input_token_count": 3, "output_token_count": 4,
        "http_status_code": 200, "response_time_ms": 5.4, "http_user_agent": "curl", "remote_ip": "192.0.2.1",
    }  # fmt: skip
    (found,) = take(write(tmp_path / "log", json.dumps(row))).to_pylist()
    names = ("account", "completion", "conversation", "model", "system", "input_tokens", "output_tokens")
    assert [found[name] for name in names] == ["a", "hi", "c", "m", "s", 3, 4]
    assert [found[name] for name in ("status", "latency_ms", "user_agent", "client_ip")] == [
        200, 5, "curl", "192.0.2.1",
    ]  # fmt: skip
