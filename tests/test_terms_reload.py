"""Policies that follow their file: what is accepted, what is not, and what is remembered."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.terms import Terms, TermsError
from stillwatch.terms.history import HistoryEntry, TermsHistory, digest
from stillwatch.terms.load import LARGEST_BYTES
from stillwatch.terms.reload import WatchedTerms
from stillwatch.units import utc_us

LATER_US = 10_000_000  # by then a file written now is stable


def text(version: int, owner: str = "") -> str:
    return f'version = {version}\nowner = "{owner}"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "terms.toml"
    path.write_text(text(1))
    return path


def polled(watched: WatchedTerms, times: int = 3) -> Terms | None:
    """Return the results of a few checks of the file."""
    found = [watched.poll() for _ in range(times)]
    return next((terms for terms in found if terms is not None), None)


def later_us() -> int:
    return utc_us() + LATER_US


def test_a_new_version_is_taken_at_the_second_look(file: Path) -> None:
    watched = WatchedTerms(file)
    assert (watched.terms.version, watched.error, watched.poll()) == (1, None, None)
    file.write_text(text(2))
    assert watched.poll() is None  # the file may be incomplete
    taken = watched.poll()
    assert taken is watched.terms
    assert (taken.version, watched.error) == (2, None)
    assert watched.poll() is None


def test_half_a_text_is_not_taken_while_its_writer_has_the_file_open(file: Path) -> None:
    """A slow copy, a paste into `cat`: the first half loads, without the ban in the second."""
    watched = WatchedTerms(file)
    with open(file, "w") as writer:
        writer.write(text(2))
        writer.flush()
        assert polled(watched) is None
        assert "may be incomplete" in str(watched.error)
        writer.write("[[ban]]\nfamily = 'deepseek'\n")
    taken = polled(watched)
    assert taken is not None
    assert (len(taken.bans), watched.error) == (1, None)


def test_a_file_that_stays_open_is_taken_in_the_end(file: Path) -> None:
    """NFS 4 cannot determine whether a process writes, and reports that one does."""
    now_us = utc_us()
    watched = WatchedTerms(file, lambda: now_us)
    with open(file, "a"):
        file.write_text(text(2))
        assert polled(watched) is None
        now_us += 31_000_000
        taken = polled(watched)
    assert taken is not None
    assert taken.version == 2


def test_half_a_text_is_not_taken_at_a_start_either(file: Path, tmp_path: Path) -> None:
    history = TermsHistory(tmp_path / "history.jsonl")
    WatchedTerms(file, history=history, keeps_history=True)
    with open(file, "w") as writer:
        writer.write(text(2))
        writer.flush()
        begun = WatchedTerms(file, later_us, history=TermsHistory(history.path))
    assert begun.terms.version == 1
    assert "may be incomplete" in str(begun.error)


def test_what_grows_from_look_to_look_is_not_taken_before_it_rests(file: Path) -> None:
    watched = WatchedTerms(file)
    whole = text(2) + "[[ban]]\nfamily = 'deepseek'\n"
    for end in range(12, len(whole), 3):  # some of these are valid policies without the ban
        file.write_text(whole[:end])
        assert watched.poll() is None
    file.write_text(whole)
    taken = polled(watched)
    assert taken is not None
    assert [ban.family for ban in taken.bans] == ["deepseek"]


def test_the_same_length_within_one_tick_is_seen(file: Path) -> None:
    watched = WatchedTerms(file)
    watched.poll()
    before = os.stat(file)
    with open(file, "r+b") as opened:  # in place: no other inode
        opened.write(text(2).encode())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    taken = polled(watched)
    assert taken is not None
    assert taken.version == 2


def test_a_settled_file_is_not_read_again(file: Path) -> None:
    watched = WatchedTerms(file, later_us)
    watched.poll()
    before = os.stat(file)
    with open(file, "r+b") as opened:
        opened.write(text(2).encode())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # no sign of a change
    assert polled(watched) is None
    os.utime(file)
    assert polled(watched) is not None


def spoil_vanish(file: Path) -> None:
    file.unlink()


def spoil_empty(file: Path) -> None:
    file.write_text("")


def spoil_half(file: Path) -> None:
    file.write_text('version = 2\n[ban\nfamily = "dee')


def spoil_binary(file: Path) -> None:
    file.write_bytes(b"\x7fELF\x00\xff" * 100)


def spoil_large(file: Path) -> None:
    file.write_bytes(b"# 10 MB\n" * (10 * LARGEST_BYTES // 8))


def spoil_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def spoil_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)  # opening it would block for ever


def spoil_dangling(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere.toml")


def spoil_circle(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def spoil_older(file: Path) -> None:
    file.write_text("version = 0")


SPOILERS = [
    *(spoil_vanish, spoil_empty, spoil_half, spoil_binary, spoil_large, spoil_folder, spoil_pipe),
    *(spoil_dangling, spoil_circle, spoil_older),
]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_whatever_happens_the_last_good_one_stays(spoil: object, file: Path) -> None:
    watched = WatchedTerms(file)
    first = watched.terms
    assert callable(spoil)
    spoil(file)
    assert polled(watched) is None
    assert watched.terms is first
    assert watched.error is not None
    assert str(file) in watched.error
    assert watched.error.endswith("; version 1 stays in force")
    beside = file.with_name("new")  # and a valid one replaces it, by rename as editors do
    beside.write_text(text(2))
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    os.replace(beside, file)
    taken = polled(watched)
    assert taken is not None
    assert (taken.version, watched.error) == (2, None)


def test_an_unreadable_file(file: Path) -> None:
    watched = WatchedTerms(file)
    file.write_text(text(2))
    file.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root can read everything
            os.seteuid(65534)
        assert polled(watched) is None
    finally:
        os.seteuid(user)
    assert "cannot be read: Permission denied" in str(watched.error)
    file.chmod(0o600)
    assert polled(watched) is not None


def test_the_same_file_back_again_is_no_news(file: Path) -> None:
    watched = WatchedTerms(file)
    file.rename(file.with_name("away"))
    assert polled(watched) is None
    assert watched.error is not None
    file.with_name("away").rename(file)
    assert polled(watched) is None
    assert watched.error is None


def test_a_link_is_followed(tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "terms.toml"
    one.write_text(text(1))
    two.write_text(text(2))
    link.symlink_to(one)
    watched = WatchedTerms(link)
    link.unlink()
    link.symlink_to(two)
    taken = polled(watched)
    assert taken is not None
    assert taken.version == 2


def test_versions_only_rise(file: Path) -> None:
    file.write_text(text(5))
    watched = WatchedTerms(file)
    file.write_text(text(4))
    assert polled(watched) is None
    assert watched.error == (
        f"{file}: version 4 is lower than 5, which was in force; to restore old terms, write version 6; "
        "version 5 stays in force"
    )
    file.write_text(text(5, "somebody else"))
    assert polled(watched) is None
    assert watched.error == (
        f"{file}: has changed but is still version 5; write version 6; version 5 stays in force"
    )
    file.write_text(text(6, "somebody else"))
    taken = polled(watched)
    assert taken is not None
    assert (taken.version, watched.error) == (6, None)


def test_a_rollback_is_seen_across_restarts(file: Path) -> None:
    record = file.with_name("history.jsonl")
    file.write_text(text(5))
    WatchedTerms(file, later_us, TermsHistory(record), keeps_history=True)
    file.write_text(text(4))
    again = WatchedTerms(file, later_us, TermsHistory(record), keeps_history=True)
    assert again.terms.version == 5
    assert "version 4 is lower than 5" in str(again.error)
    worker = WatchedTerms(file, later_us, TermsHistory(record))  # the same in a process that only reads
    assert (worker.terms, worker.error) == (again.terms, again.error)
    assert [(entry.version, entry.outcome) for entry in TermsHistory(record).entries] == [
        (5, "accepted"),
        (4, "refused"),
    ]
    file.write_text(text(6))
    taken = polled(again)
    assert taken is not None
    assert taken.version == 6
    last = TermsHistory(record).in_force
    assert last is not None
    assert (last.version, last.text, last.sha256) == (6, text(6), digest(text(6).encode()))


def test_from_a_spoilt_file_a_restart_goes_on_with_what_was_in_force(file: Path) -> None:
    record = file.with_name("history.jsonl")
    WatchedTerms(file, later_us, TermsHistory(record), keeps_history=True)
    for spoil in SPOILERS:
        if file.is_dir() and not file.is_symlink():
            file.rmdir()
        else:
            file.unlink(missing_ok=True)
        file.write_text(text(1))
        spoil(file)
        again = WatchedTerms(file, later_us, TermsHistory(record), keeps_history=True)
        assert again.terms == Terms(version=1)
        assert str(again.error).endswith("version 1 stays in force")


def test_without_terms_and_without_a_past_there_is_no_start(tmp_path: Path) -> None:
    record = tmp_path / "history.jsonl"
    with pytest.raises(TermsError, match="does not exist"):
        WatchedTerms(tmp_path / "terms.toml", history=TermsHistory(record), keeps_history=True)
    (tmp_path / "terms.toml").write_text("version = 'x'")
    with pytest.raises(TermsError, match="version: 'x' is text"):
        WatchedTerms(tmp_path / "terms.toml", history=TermsHistory(record), keeps_history=True)
    assert [entry.outcome for entry in TermsHistory(record).entries] == ["refused"]


def test_at_the_start_too_what_was_just_written_waits(file: Path) -> None:
    record = file.with_name("history.jsonl")
    WatchedTerms(file, history=TermsHistory(record), keeps_history=True)
    file.write_text(text(2))
    again = WatchedTerms(file, history=TermsHistory(record), keeps_history=True)
    assert again.terms.version == 1
    assert "was changed a moment ago" in str(again.error)
    taken = polled(again)
    assert taken is not None
    assert (taken.version, again.error) == (2, None)


def test_a_refused_text_is_written_down_once(file: Path) -> None:
    record = file.with_name("history.jsonl")
    watched = WatchedTerms(file, history=TermsHistory(record), keeps_history=True)
    file.write_text("version = 2\ncolour = 1\n")
    polled(watched, 10)
    WatchedTerms(file, later_us, TermsHistory(record), keeps_history=True)
    accepted, refused = TermsHistory(record).entries
    assert (accepted.outcome, refused.outcome) == ("accepted", "refused")
    assert "colour: unknown key" in refused.why
    assert refused.text is None


def test_a_history_that_cannot_be_written_lets_nothing_new_in(file: Path) -> None:
    record = file.with_name("history.jsonl")
    history = TermsHistory(record)
    watched = WatchedTerms(file, history=history, keeps_history=True)
    history.path = file.with_name("no") / "such" / "folder"
    file.write_text(text(2))
    assert polled(watched) is None
    assert "cannot be written" in str(watched.error)
    history.path = record
    taken = polled(watched)  # as soon as it can be
    assert taken is not None
    assert taken.version == 2


def test_a_damaged_record_loses_only_what_is_damaged(file: Path) -> None:
    record = file.with_name("history.jsonl")
    history = TermsHistory(record)
    history.add(HistoryEntry(3, digest(b"version = 3"), "t", "accepted", text="version = 3"))
    whole = record.read_bytes()
    forged = json.dumps(
        {"version": 9, "sha256": "0" * 64, "at": "t", "outcome": "accepted", "text": "version = 9"}
    )
    record.write_bytes(b"\xff\x00{]\n[]\n{}\n" + forged.encode() + b"\n" + whole + whole[: len(whole) // 2])
    found = TermsHistory(record)
    assert found.damaged == 5
    assert found.in_force == history.entries[0]
    found.add(HistoryEntry(4, digest(b"version = 4"), "t", "accepted", text="version = 4"))
    assert [entry.version for entry in TermsHistory(record).entries] == [3, 4]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["", "a", '"', "\udcff"]), st.booleans()), max_size=8
    )
)
def test_no_sequence_of_files_and_restarts_lowers_the_version(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("terms")
    file, record = folder / "terms.toml", folder / "history.jsonl"
    file.write_text(text(1))
    watched = WatchedTerms(file, later_us, TermsHistory(record), keeps_history=True)
    for version, owner, restart in steps:
        before = watched.terms
        file.write_text(text(version, owner), errors="surrogateescape")
        if restart:
            watched = WatchedTerms(file, later_us, TermsHistory(record), keeps_history=True)
        else:
            polled(watched)
        assert watched.terms.version >= before.version
        assert (watched.terms == before) or watched.terms.version > before.version
        in_force = TermsHistory(record).in_force
        assert in_force is not None
        assert in_force.sha256 == watched.sha256
        good = version > before.version and owner in ("", "a")
        assert (watched.terms.version == version) is (good or version == before.version)
