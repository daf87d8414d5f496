"""A disk that is full or missing: the policy's choice for this case applies, and every gap is counted."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reliability import Disk, Down, NoMount, disk, down
from stillwatch.gateway import heartbeat


def mounted(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except NoMount as why:
        pytest.skip(str(why))


def full(times: int, mode: str) -> None:
    found: Disk = mounted(lambda: disk(times, mode, seed=times))
    print(found)
    assert found.good, found
    assert found.uncaptured >= times
    assert found.gaps >= times
    if mode == "serve":
        assert found.refused == 0
        assert found.unrecorded == found.told_in_gaps
    else:
        assert found.refused >= times
        assert found.unrecorded == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["serve", "refuse"])
def test_a_full_disk(mode: str) -> None:
    full(1, mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["serve", "refuse"])
def test_a_disk_that_is_full_again_and_again(mode: str) -> None:
    full(25, mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["serve", "refuse"])
def test_a_disk_that_goes_away(mode: str) -> None:
    found: Down = mounted(lambda: down(mode))
    print(found)
    assert found.good, found


def test_who_lives_says_so_also_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, others = tmp_path / "worker-0.json", tmp_path / "worker-1.json"
    heartbeat.beat(path, 1, text="long " * 20)
    others.write_text(json.dumps({"pid": 1, "at": 1}))

    def no_room(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(Path, "write_text", no_room)
    for at, words in ((2, "short"), (3, "long " * 40)):
        heartbeat.beat(path, at, text=words)
        assert heartbeat.read(path) == {"pid": heartbeat.read(path)["pid"], "at": at, "text": words}
    for foreign in (others, tmp_path / "worker-2.json"):  # a new process cannot report itself
        with pytest.raises(OSError, match="no room"):
            heartbeat.beat(foreign, 2)
    assert heartbeat.read(others)["at"] == 1
