"""The whole live loop, small: real `serve` processes, real clients, the ladder, no student."""

import json
from pathlib import Path

import pytest

from stillwatch.errors import StillwatchError
from stillwatch.range.live import LiveError
from stillwatch.range.live.run import ARM, MANIFEST, TAKEN, run_live
from stillwatch.range.scenes import parse_scene

SCENE = """name = "small"
[population]
base = "sample"
keep_accounts = 0.25
[[campaign]]
name = "pool"
shape = "wrapped_pool"
accounts = 40
exchanges = 400
start = 8.0
days = 1.0
pipelines = ["clock"]
tradecraft = 0
[live]
arms = ["block"]
teacher = "arithmetic"
steps = 0
dropped = 0.2
tail_days = 0.05
look_s = 1800
"""


@pytest.mark.slow
def test_a_pool_that_only_what_its_client_chooses_ties_is_named_and_not_blocked_without_a_person(
    tmp_path: Path,
) -> None:
    """Its own card and networks for each account: by itself the ladder does nothing to it."""
    hidden = SCENE.replace("tradecraft = 0\n", "")
    scene = parse_scene(hidden, "small.toml", tmp_path / "small.toml")
    (arm,) = run_live(scene, 1, tmp_path / "run", print).arms
    assert arm.alarm_day is not None
    assert arm.blocked < 5  # two of them share a network
    assert arm.out > 300
    assert (arm.honest_named, arm.honest_touched, arm.honest_refused) == (0, 0, 0)
    # abandoned streams are recorded as such, and counted separately from received ones
    assert arm.left > 5
    assert arm.left_recorded == arm.left


@pytest.mark.slow
def test_a_campaign_is_named_and_blocked_while_it_asks_and_nobody_else_is(tmp_path: Path) -> None:
    scene = parse_scene(SCENE, "small.toml", tmp_path / "small.toml")
    told: list[str] = []
    outcome = run_live(scene, 1, tmp_path / "run", told.append)
    (arm,) = outcome.arms
    # each sent request was answered, abandoned or refused
    assert arm.asked + arm.unsent == 400
    assert 0 < arm.out < arm.asked < 400
    assert arm.refused > 0
    assert arm.blocked >= 20
    assert arm.alarm_day is not None
    assert 8.0 < arm.alarm_day < 9.0
    assert arm.out_before_alarm <= arm.out
    # innocents
    assert (arm.honest_named, arm.honest_touched, arm.honest_refused) == (0, 0, 0)
    assert arm.honest_exchanges > 100
    # what was disclosed is right, and all of it is there
    rows = [json.loads(line) for line in (tmp_path / "run" / "block" / TAKEN).read_text().splitlines()]
    assert len(rows) == arm.out
    assert all(row["answer"].isdigit() and row["reasoning"].startswith("first ") for row in rows)
    assert [m.out for m in arm.marks] == list(range(1, arm.out + 1))
    assert any("block: day 8" in line for line in told)
    # existing results are not made again; another run is not mixed with them
    assert (tmp_path / "run" / "block" / ARM).exists()
    again = run_live(scene, 1, tmp_path / "run", told.append)
    assert (again.arms, again.manifest) == (outcome.arms, outcome.manifest)
    assert again.took["wall_s"] < outcome.took["wall_s"]
    assert json.loads((tmp_path / "run" / MANIFEST).read_text())["made"] == outcome.manifest
    with pytest.raises(LiveError, match="holds another run"):
        run_live(scene, 2, tmp_path / "run", told.append)
    assert issubclass(LiveError, StillwatchError)
    print(outcome.took)
