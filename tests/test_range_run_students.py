"""Students trained on each harvest of a run replace the curve; existing ones are not trained again."""

from pathlib import Path

import pytest

from range_run_world import write_scene
from stillwatch.range.costs import AttackPrices
from stillwatch.range.defences import LogJudgement
from stillwatch.range.ledger import read_ledger
from stillwatch.range.measure import measure
from stillwatch.range.run import RangeRun
from stillwatch.range.students import FOLDER, sizes, train_students
from stillwatch.range.table import lines


@pytest.mark.train
@pytest.mark.slow
def test_each_harvest_gets_a_student_of_its_own_once(tmp_path: Path) -> None:
    ledger = read_ledger(write_scene(tmp_path / "scene", 1, pools=(2, 1)))
    outcome = measure(ledger, LogJudgement(()), AttackPrices(), 7, scene="s", seed=1, defence="none")
    run = RangeRun("x", tmp_path, "log", (outcome,), (), (), (), {}, 0.0, 1)
    wanted = sizes(run)
    assert wanted == sorted({(f.examples, 1) for f in outcome.campaigns})
    told: list[str] = []
    shares = train_students(run, lambda stage, done, total: told.append(stage), steps=3, held_out=20)
    line = lines(run.outcomes, shares)[0]
    assert line.student is not None
    assert line.student == line.student_undefended
    assert 0 <= line.student.mean <= 1
    scores = {p: p.stat().st_mtime_ns for p in (tmp_path / FOLDER).glob("*/score.json")}
    assert len(scores) == len(wanted)
    again = train_students(run, lambda stage, done, total: None, steps=3, held_out=20)
    assert {p: p.stat().st_mtime_ns for p in scores} == scores
    assert [again(*size) for size in wanted] == [shares(*size) for size in wanted]
