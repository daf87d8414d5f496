"""Killed at any moment: every acknowledged exchange is in the segments exactly once."""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.record import recorder, segments, wal
from stillwatch.gateway.record.entries import ExchangeOutcome, Intent, UncapturedSpan, pack
from stillwatch.gateway.record.recorder import Recorder
from stillwatch.gateway.record.wal import GAP, INTENT, OUTCOME, PART, Writer, frame
from stillwatch.terms.load import default_text

NOW = datetime(2026, 11, 25, 9, 58, tzinfo=UTC)
US = int(NOW.timestamp() * 1_000_000)
IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
CALLS = ("rename", "replace", "unlink", "fsync", "link", "mkdir", "rmdir")
SPOKEN = "a long answer, in parts. "


class Killed(BaseException):
    """No code catches it, as no code can catch kill -9."""


class Killer:
    """Stops everything at the n-th call that changes the disk, before or after the call takes effect."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0
        for name in CALLS:
            patch.setattr(os, name, self._guarded(getattr(os, name)))
        patch.setattr(pq, "write_table", self._half(pq.write_table))

    def _guarded(self, real: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            mine = self._mine()
            if mine and not self.after:
                raise Killed
            done = real(*given, **named)
            if mine:
                raise Killed
            return done

        return call

    def _half(self, real: Any) -> Any:
        def call(table: pa.Table, file: Any, **named: Any) -> None:
            if self._mine():
                file.write(b"PAR1 and half a file")
                raise Killed
            real(table, file, **named)

        return call

    def _mine(self) -> bool:
        self.count += 1
        return self.count == self.at


def body_of(name: str) -> bytes:
    return msgspec.json.encode(
        {"model": "mira", "user": name, "messages": [{"role": "user", "content": name}]}
    )


class Scribe:
    """A worker that writes its log and answers no requests."""

    def __init__(self, folder: Folder, worker: int) -> None:
        self._done = threading.Semaphore(0)
        self.writer = Writer(
            folder.wal,
            worker,
            folder.secret(),
            durable=lambda tokens, _: self._told(tokens),
            failed=self._failed,
        )
        self.worker, self._ordinal = worker, 0

    def _told(self, tokens: list[object]) -> None:
        for _ in tokens:
            self._done.release()

    def _failed(self, _: list[object], why: OSError) -> None:
        raise AssertionError(why)

    def commit(self, data: bytes) -> None:
        self.writer.append(data, "token")
        assert self._done.acquire(timeout=60)

    def ask(self, name: str, keep: bool = False) -> int:
        self._ordinal += 1
        number = self.writer.boot << 32 | self._ordinal
        asked = Intent(
            US, "acct", "key", None, None, "chat", "/v1/chat/completions", "mira", "mira", None, "allowed"
        )
        asked.keep_text = keep
        self.commit(frame(INTENT, number, pack(asked), body_of(name)))
        return number

    def part(self, number: int) -> None:
        self.commit(
            frame(PART, number, b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % SPOKEN.encode())
        )

    def end(self, number: int) -> None:
        self.commit(
            frame(
                OUTCOME, number, pack(ExchangeOutcome(US, "complete", 200, 5, 100, "mira", 3, 7, stream=True))
            )
        )

    def gap(self, at: int) -> None:
        self.commit(
            frame(
                GAP, 0, msgspec.json.encode(UncapturedSpan(self.worker, at, at + 5, 2, "the disk was full"))
            )
        )


@pytest.fixture(scope="module")
def captured() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder whose logs contain every kind of entry, and the expected outcome of each exchange."""
    with TemporaryDirectory(dir=IN_MEMORY) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(wal, "ROTATE", 1500)
        patch.setattr(wal, "ROOM", 4096)
        folder = open_folder(Path(made) / "folder")
        folder.terms.write_text(default_text().replace("text_days = 0", "text_days = 3"))
        expected: dict[str, str] = {}
        for worker in (0, 1):
            for boot in (0, 1):
                scribe = Scribe(folder, worker)
                waits = []
                for number in range(7):
                    name = f"w{worker}b{boot}n{number}"
                    asked = scribe.ask(name, keep=number % 3 == 0)
                    if number % 3 == 0:
                        scribe.part(asked)
                        scribe.part(asked)
                    if number == 2:
                        scribe.gap(1000 * worker + boot)
                    if number in (1, 5):
                        expected[name] = "unknown"
                    elif number % 2:
                        waits.append((name, asked))
                    else:
                        expected[name] = "complete"
                        scribe.end(asked)
                for name, asked in waits:
                    expected[name] = "complete"
                    scribe.end(asked)
                scribe.writer.close()
        yield folder.path, expected


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=7)
        return self.now


def work(folder: Folder, clock: Clock) -> None:
    """Run a recorder until nothing is left to do."""
    found = Recorder(folder, clock)
    while found.step(flush=True) or wal.files(folder.wal):
        found.tidy()
    found.tidy()


def check(folder: Folder, expected: dict[str, str]) -> None:
    rows = [row for one in segments.all_segments(folder) for row in pq.read_table(one.path).to_pylist()]
    assert {row["end_user"]: row["outcome"] for row in rows} == expected
    assert max(Counter(row["end_user"] for row in rows).values()) == 1
    spoken = {row["end_user"]: row["completion"] for row in rows}
    for name, outcome in expected.items():
        if int(name[-1]) % 3 == 0 and outcome == "complete":
            assert spoken[name] in (SPOKEN * 2, None)  # None: old enough to be forgotten
    gaps = [msgspec.json.decode(line) for line in folder.gaps.read_bytes().splitlines() if line]
    assert sorted(gap["from_us"] for gap in gaps) == [0, 1, 1000, 1001]
    assert not list(folder.segments.glob("*/*.new"))


def close_files(folder: Path) -> None:
    """Close a folder's open files as the end of a process would: this process continues after each kill."""
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}").startswith(f"{folder}{os.sep}"):
                os.close(int(number))


def killed_at(captured: tuple[Path, dict[str, str]], at: int, after: bool) -> bool:
    """Kill the recorder at one call, then let another one finish; return whether the call occurred."""
    source, expected = captured
    with TemporaryDirectory(dir=IN_MEMORY) as made, pytest.MonkeyPatch.context() as patch:
        shutil.copytree(source, Path(made) / "folder")
        folder, clock = Folder(Path(made) / "folder"), Clock()
        patch.setattr(recorder, "FLUSH_ROWS", 3)
        patch.setattr(recorder, "READ_BYTES", 700)
        with pytest.MonkeyPatch.context() as deadly:
            killer = Killer(deadly, at, after)
            with suppress(Killed):
                work(folder, clock)
        close_files(folder.wal)
        work(folder, clock)
        check(folder, expected)
        return killer.count >= at


@pytest.mark.slow
def test_a_recorder_that_is_not_killed_writes_all(captured: tuple[Path, dict[str, str]]) -> None:
    assert not killed_at(captured, 1 << 30, after=False)


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, 200, 23))
def test_a_recorder_killed_at_some_calls_loses_and_doubles_nothing(
    captured: tuple[Path, dict[str, str]], at: int
) -> None:
    killed_at(captured, at, after=bool(at % 2))


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_recorder_killed_at_every_call_loses_and_doubles_nothing(
    captured: tuple[Path, dict[str, str]], after: bool
) -> None:
    at = 1
    while killed_at(captured, at, after):
        at += 1
    print(f"killed at each of {at - 1} calls, {'after' if after else 'before'} it")
    assert at > 100


# --- segments: names, merging, readers ------------------------------------------------------------------

steps = st.lists(
    st.sampled_from(["write", "write", "merge", "kill", "read a", "read b", "hour", "back", "sweep"]),
    min_size=4,
    max_size=24,
)


def batch_of(numbers: list[int]) -> pa.RecordBatch:
    texts = pa.array([f"text {k}" for k in numbers])
    names = ("id", "prompt", "system", "completion")
    return pa.RecordBatch.from_arrays([pa.array(numbers), texts, texts, texts], names=list(names))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(steps)
def test_rows_are_there_once_and_each_reader_sees_each_once(plan: list[str]) -> None:
    """Under merges and kills in between, late readers, and any change of the clock."""
    with TemporaryDirectory(dir=IN_MEMORY) as made:
        folder, now = open_folder(Path(made) / "f"), NOW
        readers: dict[str, tuple[set[str], list[int]]] = {"a": (set(), []), "b": (set(), [])}
        wrote = 0
        for at, step in enumerate(plan):
            if step == "write":
                segments.write(folder, (wrote := wrote + 1), batch_of([2 * wrote, 2 * wrote + 1]), b"{}", now)
            elif step == "hour":
                now += timedelta(hours=1, minutes=7)
            elif step == "back":
                now -= timedelta(minutes=59)
            elif step == "merge":
                segments.merge(folder, now)
            elif step == "kill":
                with pytest.MonkeyPatch.context() as deadly, suppress(Killed):
                    Killer(deadly, 1 + at % 7, after=bool(at % 2))
                    segments.merge(folder, now)
            elif step == "sweep":
                segments.sweep(folder)
            else:
                seen, rows = readers[step[-1]]
                for table in segments.read_new(folder, seen):
                    rows += table["id"].to_pylist()
                assert segments.new_segments(folder, seen) == []
                assert len(seen) <= 2
        expected = list(range(2, 2 * wrote + 2))
        found = [
            k for one in segments.all_segments(folder) for k in pq.read_table(one.path)["id"].to_pylist()
        ]
        assert sorted(found) == expected
        for seen, rows in readers.values():
            for table in segments.read_new(folder, seen):
                rows += table["id"].to_pylist()
            assert sorted(rows) == expected
            assert rows == sorted(rows)
        assert segments.last_checkpoint(folder) == (wrote, b"{}" if wrote else b"")


@pytest.mark.slow
@given(st.text(max_size=40) | st.from_regex(r"\d{8,12}-\d{8,12}\.parquet(\.new)?", fullmatch=True))
def test_only_a_name_of_ours_is_a_segment(name: str) -> None:
    if "/" in name or "\0" in name:
        return
    found = segments.segment(Path("x") / name)
    first, dash, last = name.removesuffix(".parquet").partition("-")
    numbers = len(first) == len(last) == 10 and (first + last).isascii() and (first + last).isdigit()
    assert (found is not None) == (bool(dash) and numbers and name.endswith(".parquet"))


def test_what_the_terms_keep_no_longer_is_let_go_and_the_checkpoint_stays() -> None:
    with TemporaryDirectory(dir=IN_MEMORY) as made:
        folder = open_folder(Path(made) / "f")
        for number in (1, 2, 3):
            segments.write(folder, number, batch_of([number]), b"%d" % number, NOW + timedelta(hours=number))
        later = NOW + timedelta(hours=3, days=2)
        assert segments.forget(folder, later, text_days=1, sketch_days=30) == 3
        assert segments.forget(folder, later, text_days=1, sketch_days=30) == 0
        tables = [pq.read_table(one.path) for one in segments.all_segments(folder)]
        assert [table["id"].to_pylist() for table in tables] == [[1], [2], [3]]
        assert all(
            table[name].null_count == 1 for table in tables for name in ("prompt", "system", "completion")
        )
        assert segments.forget(folder, later + timedelta(days=60), 1, 30) == 3
        assert [one.last for one in segments.all_segments(folder)] == [3]
        assert segments.last_checkpoint(folder) == (3, b"3")
        assert list(segments.read_new(folder, set())) == []


# --- real processes, real signals ------------------------------------------------------------------------


def killed(n: int, seed: int) -> None:
    from reliability import kills

    found = kills(n, seed)
    print(found)
    assert found.acknowledged > 10 * n
    assert found.workers + found.recorders >= n
    assert found.good, found


@pytest.mark.slow
def test_a_few_kills_at_random() -> None:
    killed(2, 1)


@pytest.mark.slow
def test_forty_kills_at_random() -> None:
    killed(40, 2)
