"""Thresholds are set on people who are not scored, and a defence that cannot fire counts for nothing."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.range import words
from stillwatch.range.attackers.registry import attacker
from stillwatch.range.cells import CELLS
from stillwatch.range.compose import calibration_log, compose_scene, honest_side, scored_people_of
from stillwatch.range.contest import Contest, Rules, contest
from stillwatch.range.contests import sum_up_contests, thin_history
from stillwatch.range.defences.registry import defence, has_threshold, names
from stillwatch.range.honest_background import field_of
from stillwatch.range.partition import calibration_part, part_of
from stillwatch.range.scenes import parse_scene, read_scene, shipped_scenes

SCRATCH = """
name = "scratch"
[population]
accounts = 60
exchanges = 600
"""
DEAD = """
name = "dead"
seeds = [1, 2]
[population]
base = "sample"
[[campaign]]
name = "pool"
shape = "shared_template_pool"
accounts = 12
exchanges = 200
start = 7.5
days = 2.0
pipelines = ["orca_flan"]
[defence]
names = ["none", "volume", "mmd_window"]
"""


def test_every_baseline_has_a_threshold_and_stillwatch_has_none() -> None:
    without = {name for name in names() if not has_threshold(name)}
    assert without == {"none", "stillwatch", "stillwatch/firm", "stillwatch/holds"}
    assert has_threshold("stillwatch+volume")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["calm", "pool-of-60", "live-clock", "scratch"])
def test_nobody_who_is_scored_is_calibrated_on(name: str) -> None:
    scene = parse_scene(SCRATCH) if name == "scratch" else read_scene(shipped_scenes()[name])
    for seed in (*scene.seeds, 7):
        scored = set(honest_side(scene, seed).people.truth["account"].to_pylist())
        others = set(calibration_log(scene, seed).accounts["account"].to_pylist())
        assert scored
        assert others
        assert not scored & others


@pytest.mark.parametrize("share", [None, 0.3, 0.5, 0.85])
def test_parts_lie_beside_each_other(share: float | None) -> None:
    scene = parse_scene('name = "s"\nseeds = [4, 5, 9]\n[population]\nbase = "sample"\n')
    scene = replace(scene, people=replace(scene.people, keep_accounts=share))
    people = {seed: scored_people_of(scene, seed) for seed in (4, 5, 9, 10)}
    part = part_of(scene, 4, 600)
    distinct = [a.overlaps(b) for a, b in itertools.combinations([people[s] for s in (4, 5, 9)], 2)]
    assert part.seeds == {None: 3, 0.3: 3, 0.5: 2, 0.85: 1}[share]
    assert distinct.count(False) == {None: 3, 0.3: 3, 0.5: 2, 0.85: 0}[share]
    for seed in people:
        mine = part_of(scene, seed, 600)
        beside = calibration_part(mine)
        assert beside.low >= mine.high or beside.high <= mine.low + 1e-9


@pytest.mark.slow
def test_a_defence_that_cannot_fire_is_said_to_be_so_everywhere_and_counts_for_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "dead.toml").write_text(DEAD)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["range", "run", str(tmp_path / "dead.toml"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "mmd_window cannot fire on 2 of 2 logs" in result.output
    document = json.loads((out / "range.json").read_text())
    rows = {row["defence"]: row for row in document["table"]}
    assert (rows["mmd_window"]["cannot_fire"], rows["mmd_window"]["logs"]) == (2, 2)
    assert rows["mmd_window"]["caught"] is None
    assert rows["mmd_window"]["false_cases"] is None
    assert rows["volume"]["cannot_fire"] == 0
    assert rows["volume"]["false_cases"] is not None
    assert "mmd_window cannot fire on 2 of 2 logs" in (out / "index.html").read_text()
    assert len(list((out / CELLS).iterdir())) == 6


@pytest.mark.slow
def test_a_contest_with_a_defence_that_cannot_fire_counts_for_nothing() -> None:
    field = field_of(read_scene(shipped_scenes()["calm"]), 1)
    fight = contest(field, defence("mmd_window"), attacker("loud"), 1, Rules(goal=20))
    assert fight.cannot_fire
    (row,) = sum_up_contests("calm", [fight])
    assert row.silent
    assert row.usd is None
    assert words.fought_row(row)[2] == ("cannot fire", "")


@pytest.mark.slow
def test_the_composed_log_holds_the_seeds_people_alone(tmp_path: Path) -> None:
    (tmp_path / "dead.toml").write_text(DEAD)
    scene = read_scene(tmp_path / "dead.toml")
    logs = [compose_scene(scene, seed, tmp_path) for seed in scene.seeds]
    honest = []
    for folder in logs:
        truth = pq.read_table(folder / "truth.parquet").to_pylist()
        honest.append({row["account"] for row in truth if row["campaign"] is None})
    assert not honest[0] & honest[1]


@pytest.mark.slow
def test_contests_on_the_same_people_are_one_population() -> None:
    scene = read_scene(shipped_scenes()["calm"])
    fights = [
        contest(field_of(scene, seed), defence("none"), attacker("loud"), seed, Rules(goal=20))
        for seed in (1, 2, 7)
    ]
    assert fights[0].people != fights[1].people == fights[2].people
    (row,) = sum_up_contests("calm", fights)
    assert (row.seeds, row.usd.n) == (3, 2)
    assert msgspec.convert(json.loads(json.dumps(thin_history(fights[0]))), Contest) == fights[0]
