"""A disk that is full, or gone: what the terms promise for it holds, and every gap is told with its count."""

from collections.abc import Callable
from typing import Any

import pytest

from reliability import Disk, Down, NoMount, disk, down


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
