"""The write-ahead log: whatever happens to its files, no entry is invented and no promised entry is lost."""

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.gateway.folder import FolderError
from stillwatch.gateway.record import entries, rows, wal
from stillwatch.gateway.record.wal import INTENT, OUTCOME, Frame, Reader, Writer, frame

SECRET = bytes(range(32))
LIGHT = settings(max_examples=40, deadline=None)
IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # fsync is not tested here
frames = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 1 << 63), st.binary(max_size=200)), min_size=1, max_size=6
)
groups = st.lists(frames, min_size=1, max_size=5)
Said = tuple[int, int, bytes]


class Log:
    """A writer that waits for each commit, with the results that it was notified of."""

    def __init__(self, folder: Path, worker: int = 0) -> None:
        self.kept: list[object] = []
        self.lost: list[object] = []
        self.answered = threading.Semaphore(0)
        self.writer = Writer(folder, worker, SECRET, durable=self._durable, failed=self._failed)

    def _durable(self, tokens: list[object], _: int) -> None:
        self.kept += tokens
        for _ in tokens:
            self.answered.release()

    def _failed(self, tokens: list[object], _: OSError) -> None:
        self.lost += tokens
        for _ in tokens:
            self.answered.release()

    def put(self, data: bytes, token: object) -> bool:
        """Append an entry; return whether it became durable."""
        self.writer.append(data, token)
        assert self.answered.acquire(timeout=60)
        return token in self.kept


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=IN_MEMORY) as made:
        yield Path(made)


def written(path: Path, all_groups: list[list[Said]]) -> Path:
    """Write a closed log file with these groups."""
    log = Log(path)
    for number, said in enumerate(all_groups):
        assert log.put(b"".join(frame(*one) for one in said), f"group {number}")
    log.writer.close()
    return wal.files(path)[-1]


def read(path: Path) -> list[list[Said]]:
    reader = Reader(path, SECRET)
    try:
        return [[(one.kind, one.number, one.payload) for one in group] for group in reader.groups()]
    finally:
        reader.close()


@pytest.mark.slow
@LIGHT
@given(groups)
def test_what_is_written_is_read(said: list[list[Said]]) -> None:
    with folder() as path:
        assert read(written(path, said)) == said


@LIGHT
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_no_frames(raw: bytes, with_magic: bool) -> None:
    with folder() as path:
        (path / "w0-00000001.log").write_bytes((wal.MAGIC if with_magic else b"") + raw)
        assert read(path / "w0-00000001.log") == []


@pytest.mark.slow
@LIGHT
@given(groups, st.data())
def test_a_file_cut_anywhere_is_its_whole_groups(said: list[list[Said]], data: st.DataObject) -> None:
    with folder() as path:
        file = written(path, said)
        os.truncate(file, data.draw(st.integers(0, file.stat().st_size)))
        found = read(file)
        assert found == said[: len(found)]


@pytest.mark.slow
@LIGHT
@given(groups, st.data())
def test_a_changed_bit_ends_the_file_and_invents_nothing(said: list[list[Said]], data: st.DataObject) -> None:
    with folder() as path:
        file = written(path, said)
        raw = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(raw)
        found = read(file)
        assert found == said[: len(found)]
        assert len(found) < len(said)
        reader = Reader(file, SECRET)
        list(reader.groups())
        assert reader.damaged()
        reader.close()


@pytest.mark.slow
@LIGHT
@given(groups, st.data())
def test_groups_in_another_order_are_not_taken(said: list[list[Said]], data: st.DataObject) -> None:
    """A group's seal depends on its place: it is invalid when moved, repeated or taken from another file."""
    with folder() as path:
        file = written(path, [*said, *said])
        raw = file.read_bytes()
        reader = Reader(file, SECRET)
        places = [group[0].at for group in reader.groups()]
        reader.close()
        a, b = data.draw(st.sampled_from(places)), data.draw(st.sampled_from(places))
        if a == b:
            return
        file.write_bytes(raw[:a] + raw[b:])
        found = read(file)
        assert found == [*said, *said][: places.index(a)]


@pytest.mark.parametrize("how", ["empty", "refused"])
def test_a_highest_number_that_cannot_be_read_is_not_nought(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeated number counts as already recorded: the entries after it would be lost."""

    def refuse(*_: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with folder() as path:
        wal.remember(path, 0, 7)
        if how == "empty":
            (path / "w0.last").write_bytes(b"")
        else:
            monkeypatch.setattr(Path, "read_text", refuse)
        with pytest.raises(FolderError, match=r"w0\.last: cannot be read"):
            wal.remember(path, 0, 3)
        with pytest.raises(FolderError, match=r"w0\.last: cannot be read"):
            Log(path)


def test_another_secret_reads_nothing() -> None:
    with folder() as path:
        file = written(path, [[(INTENT, 1, b"text")]])
        reader = Reader(file, bytes(32))
        assert list(reader.groups()) == []
        reader.close()


def test_no_payload_lies_readable_on_the_disk() -> None:
    with folder() as path:
        file = written(path, [[(INTENT, 1, b"a prompt that nobody may read" * 9)]])
        assert b"nobody may read" not in file.read_bytes()


def test_a_name_and_a_boot_come_once_only() -> None:
    """Also if files were deleted, and if a start left nothing behind."""
    with folder() as path:
        seen: set[tuple[int, int]] = set()
        boots = []
        for start in range(6):
            log = Log(path)
            boots.append(log.writer.boot)
            for path_now in wal.files(path):
                seen.add(wal.parts_of(path_now))
            log.writer.close()
            if start % 2:
                for file in wal.files(path):
                    wal.remember(path, *wal.parts_of(file))
                    file.unlink()
        assert boots == sorted(set(boots))
        assert len(seen) == 6


def test_a_writer_is_known_to_live_until_it_is_closed() -> None:
    with folder() as path:
        log = Log(path)
        assert wal.writer_lives(path, 0)
        assert not wal.writer_lives(path, 1)
        log.writer.close()
        assert not wal.writer_lives(path, 0)


class Disk:
    """A disk that refuses some calls: `plan` states for each in turn whether it works."""

    def __init__(self, plan: list[bool], patch: pytest.MonkeyPatch) -> None:
        self.plan = plan
        for name in ("pwrite", "fdatasync"):
            patch.setattr(os, name, self._guarded(getattr(os, name), name))

    def _guarded(self, real, name):  # type: ignore[no-untyped-def]
        def call(*given: object) -> object:
            if self.plan and not self.plan.pop(0):
                if name == "pwrite":  # a part may be written all the same
                    with suppress(OSError):
                        real(given[0], bytes(given[1])[: len(given[1]) // 2], given[2])  # type: ignore[call-overload, arg-type]
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*given)

        return call


@pytest.mark.slow
@LIGHT
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 12))
def test_a_disk_that_refuses_now_and_then_loses_no_promise(plan: list[bool], exchanges: int) -> None:
    """Durable intents are there, refused ones are not; outcomes are there if the disk recovered."""
    with folder() as path, pytest.MonkeyPatch.context() as patch:
        log = Log(path)
        disk = Disk(plan, patch)
        for number in range(exchanges):
            if log.put(frame(INTENT, number, b"asked"), number):
                log.writer.append(frame(OUTCOME, number, b"ended"))
        disk.plan.clear()
        assert log.put(frame(INTENT, 99, b"last"), 99)
        log.writer.close()
        found = [one for file in wal.files(path) for group in read(file) for one in group]
        intents = [number for kind, number, _ in found if kind == INTENT]
        outcomes = [number for kind, number, _ in found if kind == OUTCOME]
        assert set(log.kept) <= set(intents)
        assert set(outcomes) == set(log.kept) - {99}
        assert len(intents) == len(set(intents))


def test_the_last_words_of_a_writer_that_closes_on_a_full_disk_do_not_hold_it_up() -> None:
    with folder() as path, pytest.MonkeyPatch.context() as patch:
        log = Log(path)
        Disk([False] * 1000, patch)
        log.writer.append(frame(OUTCOME, 1, b"ended"))
        log.writer.close()


def test_a_start_on_a_full_disk_waits_for_room() -> None:
    with folder() as path, pytest.MonkeyPatch.context() as patch:
        disk = Disk([False] * 3, patch)
        log = Log(path)
        assert not log.put(frame(INTENT, 1, b"asked"), 1)
        disk.plan.clear()
        assert log.put(frame(INTENT, 2, b"asked"), 2)
        log.writer.close()
        assert not list(path.glob("*.new"))


def test_a_thing_that_no_disk_does_ends_no_capture() -> None:
    """Whatever goes wrong in a commit, waiting requests are notified, and the next one is served."""
    with folder() as path, pytest.MonkeyPatch.context() as patch:
        log = Log(path)
        real = os.pwrite

        def out_of_memory(*given: object) -> int:
            raise MemoryError

        patch.setattr(os, "pwrite", out_of_memory)
        assert not log.put(frame(INTENT, 1, b"asked"), 1)
        patch.setattr(os, "pwrite", real)
        assert log.put(frame(INTENT, 2, b"asked"), 2)
        log.writer.close()


# --- entries ---------------------------------------------------------------------------------------------

whole = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@LIGHT
@given(whole, whole, st.none() | whole, st.binary(max_size=80), st.booleans())
def test_an_intent_comes_back(account: str, target: str, model: str | None, body: bytes, keep: bool) -> None:
    said = entries.Intent(
        1, account, "key", None, None, "chat", target, model, model, None, "rule", keep_text=keep
    )
    assert entries.intent(entries.pack(said) + body) == (said, body)


@LIGHT
@given(st.integers(0, 1 << 62), whole, st.none() | st.integers(0, 1 << 62), st.binary(max_size=80))
def test_an_outcome_comes_back(us: int, outcome: str, tokens: int | None, body: bytes) -> None:
    said = entries.ExchangeOutcome(us, outcome, 200, 1, 2, None, tokens, tokens, tokens, True, outcome)
    assert entries.outcome(entries.pack(said) + body) == (said, body)


def test_a_frame_says_where_its_group_begins() -> None:
    with folder() as path:
        reader = Reader(written(path, [[(INTENT, 1, b"a")], [(INTENT, 2, b"b")]]), SECRET)
        assert [one.at for group in reader.groups() for one in group] == [
            wal.HEAD,
            wal.HEAD + 8 + 13 + 1 + 16,
        ]
        assert next(reader.groups(wal.HEAD)) == [Frame(INTENT, 1, b"a", wal.HEAD)]
        reader.close()


def test_names_that_clients_make_up_are_cut_in_rows() -> None:
    """They are remembered for weeks if exchanges are watched; texts are not, and are not cut."""
    long = "ü" * 100_000
    asks = {"model": long, "user": long, "messages": [{"role": "user", "content": long}]}
    asked = entries.Intent(1_790_000_000_000_000, "acct", "k", None, None, "chat", "/v1/chat/completions",
                           long, None, None, "allowed")  # fmt: skip
    ended = entries.ExchangeOutcome(1_790_000_000_000_000, "complete", 200, 1, 9, long, finish_reason=long)
    row = rows.row(0, 1, asked, json.dumps(asks).encode(), ended, b"")
    for name in ("model", "end_user", "served_model", "finish_reason"):
        assert row[name] == long[:512]
    assert row["prompt"] == long


def test_half_characters_are_mended_not_lost() -> None:
    asked = entries.Intent(1_790_000_000_000_000, "acct", "k", None, "\ud800gent", "chat", "/", "mira\ud83d",
                           None, None, "allowed")  # fmt: skip
    made = rows.batch([rows.row(0, n, asked, b"", rows.UNKNOWN, b"") for n in (1, 2)])
    assert made.column("model").to_pylist() == ["mira?", "mira?"]
    assert made.column("user_agent").to_pylist() == ["?gent", "?gent"]


def test_what_is_handed_over_in_one_round_shares_a_commit() -> None:
    with folder() as path:
        later: list[Callable[[], None]] = []
        sizes: list[int] = []
        both = threading.Event()

        def durable(tokens: list[object], _: int) -> None:
            sizes.append(len(tokens))
            both.set()

        writer = Writer(path, 0, SECRET, durable=durable, failed=lambda *_: None, soon=later.append)
        for number in range(3):
            writer.append(frame(INTENT, number, b"asked"), number)
        assert len(later) == 1
        assert not both.wait(0.05)  # nothing is written before the round ends
        later.pop()()
        assert both.wait(60)
        writer.append(frame(OUTCOME, 0, b"ended"))
        writer.close()
        assert sizes[0] == 3
        assert [len(group) for group in read(wal.files(path)[-1])] == [3, 1]
