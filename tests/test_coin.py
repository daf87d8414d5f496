"""The canaries' key and ledger, and how verification reports every kind of tampering with one."""

import hashlib
import hmac
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coin_world import KEY, NOW_US, pair_in, write
from stillwatch.coin import Answer, CoinError, Unpaired
from stillwatch.coin.chain import canonical, make_line
from stillwatch.coin.keys import EpochKey, current, new_key, read_key, read_keys, write_key
from stillwatch.coin.ledger import Ledger, files
from stillwatch.coin.sealing import new_reading_key, read_reading_key, seal, unseal
from stillwatch.coin.verify import Head, against, pairs, verify

KEYS = {KEY.commitment: KEY}


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewritten(path: Path, lines: list[dict], *, chained: bool = False) -> None:
    """Put lines into the file; `chained`: by a person who can compute the chain."""
    if chained:
        prev, new = "0" * 64, []
        for line in lines:
            new.append(make_line({k: v for k, v in line.items() if k not in ("prev", "hash")}, prev))
            prev = new[-1]["hash"]
        lines = new
    path.write_bytes(b"".join(canonical(line) + b"\n" for line in lines))


def test_the_coin_is_the_hmac_that_the_page_says() -> None:
    message = b"stillwatch.coin.1\n2026-11\nw0-000001\n7"
    assert KEY.coin("w0-000001", 7) == hmac.new(KEY.secret, message, hashlib.sha256).digest()[0] & 1


def test_coins_and_samples_are_even() -> None:
    coins = [KEY.coin("w0-000001", n) for n in range(4000)]
    assert abs(sum(coins) - 2000) < 4 * 31.6  # four standard deviations
    drawn = sum(KEY.drawn(f"sw0-{n}", 0.1) for n in range(4000))
    assert abs(drawn - 400) < 4 * 19
    assert not any(KEY.drawn(str(n), 0.0) for n in range(50))
    assert all(KEY.drawn(str(n), 1.0) for n in range(50))


def test_a_key_is_kept_found_again_and_not_written_over(tmp_path: Path) -> None:
    older, newer = new_key("2026-10", "2026-10-01T00:00:00Z"), new_key("2026-11", "2026-11-01T00:00:00Z")
    assert current(tmp_path) is None
    path = write_key(tmp_path, older)
    write_key(tmp_path, newer)
    assert path.stat().st_mode & 0o077 == 0
    assert current(tmp_path) == newer
    assert read_keys(tmp_path)[older.commitment] == older
    with pytest.raises(CoinError, match="has its key already"):
        write_key(tmp_path, older)
    path.write_text(path.read_text().replace(older.secret.hex(), "00" * 32))
    with pytest.raises(CoinError, match="does not fit its commitment"):
        read_key(path)
    with pytest.raises(CoinError, match="letters, digits"):
        new_key("../x", "t")


@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_written_is_read_again(tmp_path: Path, sealed: bool) -> None:
    reader = new_reading_key(tmp_path / "reading.key") if sealed else None
    reading = read_reading_key(tmp_path / "reading.key") if sealed else None
    written = write(tmp_path / "ledger", {"a": 7, "b": 5}, reader=reader)
    assert list(pairs(tmp_path / "ledger", KEYS, reading)) == written
    found = verify(tmp_path / "ledger", KEYS)  # without the reading key
    assert (found.pairs, found.unpaired, found.lost, found.ties, found.torn) == (12, 1, 0, 0, ())
    assert found.heads[0].records == 14
    if sealed:
        text = files(tmp_path / "ledger")[0].read_text()
        assert written[0].answers[0].text not in text
        assert '"account"' not in text
        with pytest.raises(CoinError, match="sealed; give the reading key"):
            list(pairs(tmp_path / "ledger", KEYS))
        new_reading_key(tmp_path / "other.key")
        with pytest.raises(CoinError, match=r"jsonl:2: the sealed texts do not open"):
            list(pairs(tmp_path / "ledger", KEYS, read_reading_key(tmp_path / "other.key")))


def test_ties_are_counted(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, 0, KEY, None, NOW_US)
    same = (Answer("yes"), Answer("yes"))
    ledger.add([pair_in(ledger, random.Random(1), "a", answers=same)], NOW_US)
    ledger.close(NOW_US)
    assert verify(tmp_path, KEYS).ties == 1


def test_the_first_record_that_is_not_right_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a": 8})
    path = files(tmp_path)[0]
    good = lines_of(path)

    def told(lines: list[dict], *, chained: bool = False) -> str:
        rewritten(path, lines, chained=chained)
        with pytest.raises(CoinError) as why:
            verify(tmp_path, KEYS)
        return str(why.value)

    assert ":4: does not follow the record before it" in told([*good[:3], *good[4:]])  # a gap
    assert ":4: does not follow the record before it" in told([*good[:3], good[4], good[3], *good[5:]])
    assert ":3: its hash is not that of its content" in told(
        [*good[:2], good[2] | {"served": 0 + (good[2]["served"] == 0)}, *good[3:]]
    )
    # forged by a person who can compute the chain: the canary reveals it
    flipped = good[2] | {"served": 1 - good[2]["served"]}
    assert ":3: coin 1 fell" in told([*good[:2], flipped, *good[3:]], chained=True)
    other = good[2]["open"].replace('"text":"', '"text":"x', 1)
    assert ":3: its answers are not those that the record commits to" in told(
        [*good[:2], good[2] | {"open": other}, *good[3:]], chained=True
    )
    assert ":4: coin 1 has a record already" in told([*good[:3], good[2], *good[3:]], chained=True)
    assert "says that 0 coins were lost, not 1" in told([*good[:2], *good[3:]], chained=True)
    assert ":3: is no record of a coin: KeyError: 'n'" in told(
        [*good[:2], {k: v for k, v in good[2].items() if k != "n"}, *good[3:]], chained=True
    )
    assert ":1: a ledger begins with its head" in told(good[1:], chained=True)
    path.write_text("")
    with pytest.raises(CoinError, match="is empty"):
        verify(tmp_path, KEYS)
    path.write_text("{}\n")
    with pytest.raises(CoinError, match=":1: is no line of a ledger"):
        verify(tmp_path, KEYS)
    path.unlink()
    with pytest.raises(CoinError, match="there is no ledger here"):
        verify(tmp_path, KEYS)


def test_another_key_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"a": 2})
    other = replace(KEY, epoch="2026-12")
    with pytest.raises(CoinError, match=r"written with the key of epoch 2026-11 .* given: 2026-12"):
        verify(tmp_path, {other.commitment: other})


def test_files_of_one_worker_follow_each_other(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write(tmp_path, {"a": 2}, seed=seed)
    assert [head.ledger for head in verify(tmp_path, KEYS).heads] == ["w0-000001", "w0-000002", "w0-000003"]
    kept = files(tmp_path)[1].read_bytes()
    files(tmp_path)[1].unlink()
    with pytest.raises(CoinError, match=r"w0-000003.jsonl:1: does not go on from the ledger before it"):
        verify(tmp_path, KEYS)
    (tmp_path / "w0-000002.jsonl").write_bytes(b"\n".join(kept.split(b"\n")[:-2]) + b"\n")
    with pytest.raises(CoinError, match="does not go on"):
        verify(tmp_path, KEYS)


def test_published_heads_show_a_tail_that_was_cut_or_written_anew(tmp_path: Path) -> None:
    write(tmp_path, {"a": 6})
    path = files(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    head = Head("w0-000001", 5, json.loads(lines[5])["hash"])
    against((), (head,), tmp_path)
    path.write_bytes(b"".join(lines[:4]))
    verify(tmp_path, KEYS)  # a truncated end alone cannot be noticed
    with pytest.raises(CoinError, match="ends before record 5"):
        against((), (head,), tmp_path)
    path.unlink()
    write(tmp_path, {"a": 6}, seed=2)
    with pytest.raises(CoinError, match="another record than the one that was published"):
        against((), (head,), tmp_path)
    with pytest.raises(CoinError, match="has no file here"):
        against((), (Head("w1-000001", 1, "x"),), tmp_path)


@pytest.mark.slow
@given(cut=st.integers(0, 3000))
@settings(max_examples=40, deadline=None)
def test_a_torn_tail_is_tolerated_wherever_it_was_torn(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    ledger = Ledger(folder, 0, KEY, None, NOW_US)
    draw = random.Random(3)
    ledger.add([pair_in(ledger, draw, "a") for _ in range(5)], NOW_US)
    ledger.abandon()
    data = ledger.path.read_bytes()
    head = data.index(b"\n") + 1
    at = head + cut % (len(data) - head + 1)
    ledger.path.write_bytes(data[:at])
    whole = data[:at].count(b"\n")
    found = verify(folder, KEYS)
    assert found.pairs == whole - 1
    assert found.torn == (() if data[:at].endswith(b"\n") else ("w0-000001",))
    write(folder, {"a": 2})  # the next run continues from the last complete record
    assert verify(folder, KEYS).pairs == whole + 1


def test_a_killed_writer_loses_at_most_what_it_was_writing(tmp_path: Path) -> None:
    code = (
        "import sys, random; sys.path.insert(0, 'tests'); from coin_world import *;"
        f"ledger = Ledger(Path({str(tmp_path)!r}), 0, KEY, None, NOW_US); draw = random.Random(1)\n"
        "while True:\n"
        "    ledger.add([pair_in(ledger, draw, 'a') for _ in range(3)], NOW_US)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while time.monotonic() < until and not any(p.stat().st_size > 20_000 for p in files(tmp_path)):
        time.sleep(0.02)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait(10)
    found = verify(tmp_path, KEYS)
    assert found.pairs > 9
    assert found.lost == 0  # numbers have no gaps up to the last complete record
    write(tmp_path, {"b": 3})
    assert verify(tmp_path, KEYS).pairs == found.pairs + 3


def test_coins_under_way_at_the_end_are_said_to_be_lost(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, 0, KEY, None, NOW_US)
    ledger.number()
    one = pair_in(ledger, random.Random(1), "a")
    ledger.add([one, Unpaired(ledger.name, ledger.number(), NOW_US, "first answer: hung up")], NOW_US)
    assert ledger.under_way == 1
    ledger.close(NOW_US)
    found = verify(tmp_path, KEYS)
    assert (found.pairs, found.unpaired, found.lost) == (1, 1, 1)
    with pytest.raises(CoinError, match="is closed"):
        ledger.add([one], NOW_US)
    with pytest.raises(CoinError, match="belongs to another ledger"):
        Ledger(tmp_path, 0, KEY, None, NOW_US).add([one], NOW_US)


def test_a_box_opens_with_its_key_in_its_place_only(tmp_path: Path) -> None:
    public = new_reading_key(tmp_path / "k")
    private = read_reading_key(tmp_path / "k")
    box = seal(public, b"text", b"w0-000001/3")
    assert unseal(private, box, b"w0-000001/3") == b"text"
    for changed, place in ((box, b"w0-000001/4"), (box[:-1], b"w0-000001/3"), (b"", b"w0-000001/3")):
        with pytest.raises(CoinError, match="do not open"):
            unseal(private, changed, place)
    with pytest.raises(CoinError, match="is there already"):
        new_reading_key(tmp_path / "k")


@pytest.mark.slow
@given(st.binary(max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "w0-000001.jsonl").write_bytes(data)
    with pytest.raises(CoinError):
        verify(folder, {EpochKey("a", bytes(32), "t").commitment: EpochKey("a", bytes(32), "t")})
