"""Cells of an experiment with real students, three steps each: a killed grid continues."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from distill_teacher import Reply, teaching
from economics_world import DECLARATION
from economics_world import experiment as declared
from stillwatch.distill.cli.economics import app
from stillwatch.distill.economics import Experiment, cells
from stillwatch.distill.economics.declare import edition_text
from stillwatch.distill.economics.grid import finished_cells, place, run
from stillwatch.distill.economics.page import write_page
from tiny_models import blank_byte_model

pytestmark = [
    pytest.mark.train,
    # of the libraries that train, about each other: none is ours to mend
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]

RUN = """
import sys
from pathlib import Path
from stillwatch.distill.economics import cells
from stillwatch.distill.economics.grid import run
from test_economics_train import experiment
one = experiment(Path(sys.argv[1]))
run(one, [cell for cell in cells(one) if cell.seed in (1, 2)], 1, None, print)
"""


def experiment(folder: Path) -> Experiment:
    """The small experiment with fewer and shorter questions: an untrained student never stops."""
    return declared(folder, DECLARATION.replace("questions = 200", "questions = 40\nnew_tokens = 4"))


def wanted(one: Experiment, *seeds: int) -> list:
    return [cell for cell in cells(one) if cell.seed in seeds]


def test_every_cell_is_trained_scored_and_counted(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    said: list[str] = []
    mine = wanted(one, 1)
    assert run(one, mine, 1, None, said.append) == len(mine)
    stand = finished_cells(one)
    assert set(mine) == set(stand)
    for cell, result in stand.items():
        assert len(result.right) == 40
        assert (result.flops > 0) == (cell.size > 0)
    traces, answers = (
        next(r for c, r in stand.items() if (c.arm, c.size) == (arm, 40)) for arm in ("traces", "answers")
    )
    assert traces.flops > answers.flops
    # 3 steps of 8 examples, each of its prompt and completion: 6 for each weight and token
    tokens = traces.flops / (6 * traces.parameters * 24)
    assert 20 < tokens < 96
    assert "about" in said[-2]
    assert said[-1].endswith("cells stand")
    assert not list((Path(one.folder) / "work").iterdir())
    assert write_page(one).run == len(mine)


def test_arms_that_learn_the_same_share_one_student(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    run(one, wanted(one, 1), 1, None, lambda words: None)
    same = {(r.arm, r.size): r for r in finished_cells(one).values()}
    assert same["public", 40].right == same["answers", 40].right
    assert same["public", 40].train_wall_s == same["answers", 40].train_wall_s
    assert same["traces", 40].fingerprint != same["answers", 40].fingerprint


@pytest.mark.slow
def test_a_killed_grid_goes_on_and_trains_nothing_twice(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    tests = str(Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, *sys.path])}
    begun = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)], env=environment, stdout=subprocess.DEVNULL
    )
    folder = Path(one.folder) / "cells"
    for _ in range(3000):
        if folder.exists() and len(list(folder.glob("*.json"))) >= 4:
            break
        assert begun.poll() is None
        time.sleep(0.05)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    mine = wanted(one, 1, 2)
    assert 4 <= len(before) < len(mine)
    assert run(one, mine, 1, None, lambda words: None) == len(mine)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_two_at_once_train_each_cell_once(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    mine = wanted(one, 1)
    assert run(one, mine, 2, None, lambda words: None) == len(mine)
    assert all(place(one, cell).exists() for cell in mine)


def test_no_student_is_begun_after_the_time_that_was_given(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    assert run(one, wanted(one, 1), 1, 0.0, lambda words: None) < len(wanted(one, 1))


def test_the_gpu_edition_runs_in_small(tmp_path: Path) -> None:
    """Its first task, with sixty sums, a one-layer student on the CPU and a teacher behind HTTP."""
    sums = [(n, n * 7 % 90) for n in range(80)]
    for name, some in (("train", sums[:60]), ("test", sums[60:])):
        lines = [{"prompt": f"{a} + {b}?", "expected": f"#### {a + b}", "task": "maths"} for a, b in some]
        (tmp_path / f"gsm8k-{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    student = blank_byte_model(tmp_path / "student", [f"{a} + {b}?" for a, b in sums], 270)

    def add(number: int, body: dict) -> Reply:
        a, b = body["messages"][-1]["content"].removesuffix("?").split(" + ")
        total = int(a) + int(b)
        return Reply(f"The answer is {total}.", {"reasoning_content": f"{a} and {b} make {total}."})

    text = edition_text("gpu").split("# Competition problems")[0]
    with teaching(add) as (base_url, seen):
        for before, after in {
            "http://127.0.0.1:8000/v1": base_url,
            "[250, 1000, 4000]": "[20, 40]",
            "[500]": "[30]",
            "questions = 500": "questions = 20",
            "n = 5000": "n = 60",
            "n = 500": "n = 20",
            "new_tokens = 1024": "new_tokens = 4",
            "max_length = 2048": "max_length = 256",
            "Qwen/Qwen2.5-0.5B": student,
            '"untrained"': f'"{student}"',
            '"cuda"': '"cpu"',
        }.items():
            assert before in text
            text = text.replace(before, after)
        (tmp_path / "gpu.toml").write_text(text)
        done = CliRunner().invoke(app, ["run", str(tmp_path / "gpu.toml"), "--seeds", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert len(seen.keys) == 60
    told = json.loads(done.stdout)
    assert {arm["arm"] for arm in told["tasks"][0]["arms"]} == {"public", "answers", "traces"}
