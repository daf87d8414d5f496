"""The clock by which a gateway deletes what its policy no longer keeps."""

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.record import segments
from stillwatch.gateway.record.recorder import Recorder
from stillwatch.gateway.record.retention_clock import RetentionClock
from stillwatch.terms.load import default_text
from test_gateway_kill import NOW, batch_of

HOUR_S = 3_600.0


class Machine:
    """A wall clock and a running time that advance together, except when the wall clock is set."""

    def __init__(self, path: Path) -> None:
        self.path, self.now, self.running_s = path, datetime(2026, 3, 1, tzinfo=UTC), 0.0
        self.restart()

    def restart(self) -> None:
        self.clock = RetentionClock(self.path, lambda: self.running_s)

    def run(self, hours: int) -> datetime:
        """Check every hour; return the result of the last check."""
        for _ in range(hours):
            self.now += timedelta(hours=1)
            self.running_s += HOUR_S
            found = self.clock.at(self.now)
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "retention_clock.json")


def test_a_clock_that_goes_right_is_given_as_it_is(machine: Machine) -> None:
    assert machine.run(30) == machine.now
    machine.restart()
    assert machine.run(1) == machine.now
    machine.now -= timedelta(days=30)  # it had been ahead from the beginning
    assert machine.run(1) == machine.now


@pytest.mark.parametrize("restarts", [False, True])
def test_a_step_ahead_that_is_put_right_within_a_day_counts_for_nothing(
    machine: Machine, restarts: bool
) -> None:
    machine.run(10)
    right = machine.now
    machine.now += timedelta(days=400)
    for _ in range(20):
        if restarts:
            machine.restart()
        assert machine.run(1) <= right + timedelta(hours=20)
    machine.now -= timedelta(days=400)
    assert machine.run(1) == machine.now


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_due_after_a_long_stop_goes_a_day_late(machine: Machine, restarts: bool) -> None:
    machine.run(10)
    machine.now += timedelta(days=30)
    waited = 0
    while machine.run(1) < machine.now - timedelta(days=1):
        waited += 1
        if restarts:
            machine.restart()
    assert waited == 23
    assert machine.run(1) == machine.now


@pytest.mark.parametrize("how", ["damaged", "unreadable"])
def test_a_file_that_cannot_be_read_lets_nothing_go_for_a_day(
    machine: Machine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock may be ahead, and nobody knows."""

    def refuse(_: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    machine.run(1)
    with monkeypatch.context() as patch:
        if how == "damaged":
            machine.path.write_bytes(b"\0{")
        else:
            patch.setattr(Path, "read_bytes", refuse)
        machine.restart()
    assert machine.run(1).year == 1970
    assert machine.run(25) == machine.now


def test_a_full_disk_does_not_keep_what_is_due(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.run(1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("stillwatch.gateway.record.retention_clock.replace_file", full)
    assert machine.run(30) == machine.now


def test_a_recorder_whose_clock_stands_ahead_keeps_everything(tmp_path: Path) -> None:
    folder: Folder = open_folder(tmp_path / "f")
    folder.terms.write_text(default_text(), encoding="utf-8")
    for number in (1, 2, 3):
        segments.write(folder, number, batch_of([number]), b"", NOW + timedelta(hours=number))
    moment = [NOW + timedelta(hours=4)]
    recorder = Recorder(folder, lambda: moment[0])
    recorder.tidy()
    before = {one.path: one.path.read_bytes() for one in segments.all_segments(folder)}
    moment[0] += timedelta(days=4_000)
    recorder.tidy()
    Recorder(folder, lambda: moment[0]).tidy()
    assert {one.path: one.path.read_bytes() for one in segments.all_segments(folder)} == before
    assert len(before) == 3
