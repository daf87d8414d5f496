"""The log in memory: the same columns for any order, batches, threads and repetitions of its rows."""

import dataclasses
import errno
import os
import random
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import InputError
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.column_file import ColumnFile, is_mapped, let_go
from stillwatch.exchanges.log import NUMBERS, build, network
from stillwatch.exchanges.sketch import Sketcher

START = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ["what", "is", "the", "capital", "of", "this", "old", "state"]
SKETCHER = Sketcher(b"a key for this test only")


def rows(n=200, seed=1):
    rng = random.Random(seed)
    maybe = lambda value: value if rng.random() < 0.7 else None  # noqa: E731
    return [
        {
            "exchange_id": f"req_{k}",
            "time": START + timedelta(seconds=rng.randrange(n // 2 + 1)),  # many share a second
            "account": f"acct-{rng.randrange(9)}",
            "end_user": maybe(f"user {rng.randrange(5)}"),
            "client_ip": maybe(f"192.0.{rng.randrange(4)}.{rng.randrange(200)}"),
            "asn": maybe(rng.randrange(65_000)),
            "user_agent": maybe(rng.choice(["curl/8", "python-httpx", "x"])),
            "model": maybe(rng.choice(["large", "small"])),
            "conversation": maybe(f"talk {rng.randrange(30)}"),
            "turn": maybe(rng.randrange(5)),
            "system": maybe(f"You are helper {rng.randrange(3)} of a long line of helpers"),
            "prompt": maybe(" ".join(rng.choices(WORDS, k=12))),
            "input_tokens": maybe(rng.randrange(5000)),
            "output_tokens": maybe(rng.randrange(5000)),
            "temperature": maybe(rng.random()),
            "stream": maybe(rng.random() < 0.5),
            "response_format": maybe(rng.choice(["json_schema", "text"])),
            "status": maybe(rng.choice([200, 429])),
            "finish_reason": maybe(rng.choice(["stop", "length", "odd", "content_filter"])),
        }
        for k in range(n)
    ]


def batches(some, size=1000):
    for k in range(0, len(some), size):
        part = some[k : k + size]
        yield pa.RecordBatch.from_arrays(
            [pa.array([r.get(f.name) for r in part], f.type) for f in RECORD], schema=RECORD
        )


def log_of(some, size=1000, threads=2):
    return build(batches(some, size), SKETCHER, threads=threads)


def assert_same(a, b, *, duplicates=True):
    for f in dataclasses.fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if f.name == "columns":
            assert x.keys() == y.keys()
            for name in x:
                assert np.array_equal(x[name], y[name]), name
        elif isinstance(x, np.ndarray):
            assert np.array_equal(x, y), f.name
        elif duplicates or f.name != "duplicates":
            assert x == y, f.name


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 250), st.integers(1, 3))
def test_order_batches_threads_and_repetitions_do_not_matter(rng, size, threads):
    some = rows()
    plain = log_of(some, threads=1)
    repeated = some + rng.sample(some, 50)
    rng.shuffle(repeated)
    other = log_of(repeated, size, threads)
    assert_same(plain, other, duplicates=False)
    assert (plain.duplicates, other.duplicates) == (0, 50)


@pytest.mark.parametrize("in_memory_rows", [0, 100])
def test_columns_in_files_are_those_in_memory(monkeypatch, in_memory_rows):
    some = rows()
    for row in some[120:]:
        row["completion"] = (
            "an answer of more than eight different words, so that a passage can be kept of it"
        )
    for k in range(0, 60, 2):  # which of two is kept depends on their content, not on their place
        some[k] |= {name: some[k + 1][name] for name in ("exchange_id", "account", "time")}
    plain = log_of(some, 50)
    monkeypatch.setattr("stillwatch.exchanges.log.IN_MEMORY_ROWS", in_memory_rows)
    monkeypatch.setattr("stillwatch.exchanges.column_file.ROWS_AT_ONCE", 32)
    held = log_of(some[::-1], 30)
    assert is_mapped(held.content)
    assert not is_mapped(plain.content)
    assert is_mapped(held["turn"])
    let_go((held.phrases, *held.columns.values()))
    assert_same(plain, held)
    assert held.table() == plain.table()
    assert plain.duplicates == 30


def test_a_column_forgets_its_first_rows_and_gives_their_room_back():
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 1 << 32, (100_000, 3), np.uint32)
    column = ColumnFile(rows)
    column.write(rows, 0)
    for many in (1, 20_000, 60_000, 19_998):  # few are skipped, many are moved
        column.forget(many, len(rows) - many)
        rows = rows[many:]
        assert np.array_equal(column.view(len(rows)), rows)
        assert os.fstat(column._file.fileno()).st_size <= (len(rows) + len(rows) // 4 + 1) * 12
        rows = np.concatenate([rows[:-5], rows[-9:]])
        column.write(rows[-9:], len(rows) - 9)
        assert np.array_equal(column.view(len(rows)), rows)


def test_no_room_for_a_column_is_said(monkeypatch, tmp_path):
    column = ColumnFile(np.zeros((2, 3), np.uint32))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(column, "_write", full)
    with pytest.raises(InputError, match="temporary file: No space left on device; set TMPDIR"):
        column.write(np.ones((2, 3), np.uint32), 0)
    monkeypatch.undo()
    disk = os.statvfs_result((4096, 4096, 1000, 30, 19, 0, 0, 0, 0, 255))  # 1.9 % are free
    monkeypatch.setattr("os.fstatvfs", lambda _: disk)
    with pytest.raises(InputError, match="temporary file: No space left on device; set TMPDIR"):
        column.write(np.ones((2, 3), np.uint32), 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="temporary file: No such file or directory; set TMPDIR"):
        ColumnFile(np.zeros(1))


def test_two_exchanges_that_claim_one_id_do_not_hang_on_the_order():
    some = rows(60)
    for k in range(0, 60, 2):
        some[k]["exchange_id"] = some[k + 1]["exchange_id"]
        some[k]["time"] = some[k + 1]["time"]
    assert_same(log_of(some, 7), log_of(some[::-1], 11))


def test_an_id_of_another_account_or_another_time_is_another_exchange():
    some = rows(60)
    for row in some:  # a client that sends one X-Request-ID with everything, or files that count their rows
        row["exchange_id"] = "1"
    assert len({(row["account"], row["time"]) for row in some}) == len(log_of(some)) > 30


def test_columns_are_in_event_time_and_codes_in_order_of_names():
    log = log_of(rows()[::-1])
    assert (np.diff(log["ts_us"]) >= 0).all()
    tied = np.diff(log["ts_us"]) == 0
    assert (np.diff(log["id"].astype(object))[tied] > 0).all()
    assert list(log.accounts) == sorted(log.accounts)
    assert log.models == ("", "large", "small")


def test_values_are_those_of_the_rows():
    some = rows()
    log = log_of(some)
    upper = SKETCHER.hashes(pa.array([r["exchange_id"] for r in some])) >> np.uint64(32)
    order = {int(h): r for h, r in zip(upper, some, strict=True)}
    prompts = SKETCHER(pa.array([r["prompt"] for r in some]))
    for k in range(len(log)):
        row = order[int(log["id"][k]) >> 32]
        assert log.accounts[log["account"][k]] == row["account"]
        assert log.models[log["model"][k]] == (row["model"] or "")
        assert log["ts_us"][k] == row["time"].timestamp() * 1e6
        for name, (_, null) in NUMBERS.items():
            assert log[name][k] == (null if row.get(name) is None else row[name]), name
        assert log["exact"][k] == prompts.exact[some.index(row)]
        assert np.array_equal(log.phrases[k], prompts.phrases[some.index(row)])
        expected = -1 if row["temperature"] is None else round(row["temperature"] * 1000)
        assert log["temperature_milli"][k] == expected
        assert (
            log["finish"][k]
            == {None: 0, "stop": 1, "length": 2, "content_filter": 3, "odd": 5}[row["finish_reason"]]
        )
        assert log["stream"][k] == (-1 if row["stream"] is None else row["stream"])
        assert log["json_format"][k] == (row["response_format"] == "json_schema")
        assert (log["net"][k] == -1) == (row["client_ip"] is None)
        assert (log["end_user"][k] == 0) == (row["end_user"] is None)
        assert (log["exact"][k] == 0) == (row["prompt"] is None)


def test_no_batches_and_batches_without_rows():
    empty = log_of([])
    assert (len(empty), empty.accounts, empty.duplicates) == (0, (), 0)
    none = next(batches(rows(1))).slice(0, 0)
    assert len(build([none, none], SKETCHER)) == 0
    some = rows(5)
    assert_same(log_of(some), build([none, *batches(some), none], SKETCHER))


def test_only_what_is_needed():
    """time, account and prompt; ids are then derived from the content, and equal rows count once."""
    some = [{k: r[k] for k in ("time", "account", "prompt")} for r in rows(50)]
    log = log_of(some)
    distinct = {tuple(r.values()) for r in some}
    assert len(log) == len(distinct)
    assert log.has == {"time", "account", "prompt"}
    assert_same(log, log_of(some[::-1], 3))
    assert set(log["status"]) == {200}


def test_numbers_beyond_a_column_are_cut_to_its_limit():
    big = 2**62
    row = rows(1)[0] | {
        "input_tokens": big,
        "output_tokens": -big,
        "latency_ms": big,
        "asn": big,
        "seed": big,
    }
    row |= {"temperature": 1.7e308, "top_p": float("nan"), "status": 2**31 - 1}
    log = log_of([row])
    assert log["input_tokens"][0] == log["latency_ms"][0] == log["asn"][0] == 2**31 - 1
    assert log["output_tokens"][0] == -(2**31)
    assert (log["temperature_milli"][0], log["top_p_milli"][0]) == (1_000_000, -1)
    assert log["status"][0] == 2**15 - 1


def test_no_text_stays():
    some = rows(20)
    for row in some:
        row |= {
            "prompt": "xylophone quartz",
            "system": "zyzzyva system",
            "end_user": "alice",
            "conversation": "c",
        }
    log = log_of(some)
    held = b"".join(column.tobytes() for column in [*log.columns.values(), log.phrases, log.system_phrases])
    assert all(column.dtype.kind in "iu" for column in log.columns.values())
    for word in (b"xylo", b"quartz", b"zyzz", b"alice"):
        assert word not in held
    assert log.table().num_rows == 20


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.17", "192.0.2"),
        ("255.255.255.255", "255.255.255"),
        ("2001:db8:1:2::9", "2001:db8:1"),
        ("2001:0DB8:0001::", "2001:db8:1"),
        ("::", "0:0:0"),
        ("::ffff:192.0.2.17", "192.0.2"),
        ("fe80::1%eth0", "fe80:0:0"),
        ("", None),
        ("unknown", None),
        ("192.0.2", None),
        ("192.0.2.256", None),
        ("192.0.2.17:8080", None),
        ("a.b.c.4", None),
        ("1.2.3.٤", None),
        ("192.0.2.17, 10.0.0.1", None),
        ("2001:db8:::1", None),
        ("\x00", None),
    ],
)
def test_networks(address, expected):
    assert network(address) == expected


OCTETS = ["0", "00", "7", "07", "99", "100", "199", "249", "250", "255", "256", "260", "1000", "", "٤", "7\n"]


@given(st.lists(st.sampled_from(OCTETS), min_size=3, max_size=5))
def test_what_looks_like_an_address_is_read_as_the_library_reads_it(octets):
    address = ".".join(octets)
    try:
        expected = str(IPv4Address(address)).rpartition(".")[0]
    except ValueError:
        expected = None
    assert network(address) == expected


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_an_address_or_none(text):
    assert network(text) is None or network(text).count(".") == 2 or network(text).count(":") == 2
