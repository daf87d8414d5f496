"""The economics of distillation from stored cells: the declaration, the fit, what escapes, the page."""

import dataclasses
import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import escapes
from economics_world import DECLARATION, expected, experiment, simulate
from stillwatch.distill import PlanError
from stillwatch.distill.cli.economics import app
from stillwatch.distill.economics import EconomicsResult, cells
from stillwatch.distill.economics.declare import EDITIONS, read_experiment
from stillwatch.distill.economics.escapes import cheapest, fastest, read_escapes
from stillwatch.distill.economics.figures import _price, figures
from stillwatch.distill.economics.fit import fit_curve
from stillwatch.distill.economics.grid import finished_cells, place, time_to_go
from stillwatch.distill.economics.page import published_rows, render, write_page
from stillwatch.distill.economics.picture import picture
from stillwatch.distill.evaluate.run import judge
from stillwatch.distill.prepare import prepare
from stillwatch.distill.rows import read_prompts
from stillwatch.errors import InputError, StillwatchError

ROOT = Path(__file__).parent.parent


def result(arm: str, size: int, seed: int, right: str) -> EconomicsResult:
    return EconomicsResult("dial", arm, size, seed, False, "", right, size)


# --- the declaration -------------------------------------------------------------------------------------


@pytest.mark.parametrize("edition", EDITIONS)
def test_an_edition_that_ships_declares_five_seeds_and_every_arm(edition: str) -> None:
    found = read_experiment(None, edition)
    assert len(found.seeds) >= 5
    assert {arm.name for task in found.task for arm in task.arm} == {"public", "answers", "traces"}
    names = [cell.name for cell in cells(found)]
    assert len(set(names)) == len(names)


def test_cells_come_seed_by_seed_so_that_a_part_has_whole_seeds(tmp_path: Path) -> None:
    curve = [cell.seed for cell in cells(experiment(tmp_path)) if cell.size and not cell.spot]
    assert curve == sorted(curve)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("seeds = [1, 2, 3, 4, 5]", "seeds = [1, 2]", "has 2; declare 5 or more"),
        ("seeds = [1, 2, 3, 4, 5]", "seeds = [1, 2, 3, 4, 101]", "spot_seed 101 is one of the seeds"),
        ("sizes = [10, 20, 40]", "sizes = [40, 20]", "two at least, rising"),
        ("spot_checks = [20]", "spot_checks = [80]", "lie outside the sizes"),
        ('name = "answers"', 'name = "traces"', "give each of its arms once"),
        ('name = "answers"', 'name = "magic"', 'give "public" or "answers" or "traces"'),
        ("usd = 0.04", "usd = -1", "give 0 or more"),
        ("questions = 200", "question = 200", "question"),
        ("requests = 200", 'requests = "many"', "requests"),
    ],
)
def test_a_bad_declaration_is_refused_with_its_line(
    tmp_path: Path, before: str, after: str, words: str
) -> None:
    assert before in DECLARATION
    with pytest.raises(PlanError) as refused:
        experiment(tmp_path, DECLARATION.replace(before, after, 1))
    assert words in str(refused.value)
    assert "small.toml:" in str(refused.value)


# --- the fit ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bounds_hold_the_true_curve_as_often_as_they_say(tmp_path: Path) -> None:
    """An oracle: students with a known curve. Five seeds, each with its own error."""
    draw = np.random.default_rng(7)
    sizes, held, tried = (10, 20, 40, 80), 0, 0
    for _ in range(60):
        some = []
        for seed in range(5):
            off = 0.3 * draw.normal()  # one offset per seed, at every size
            for n in sizes:
                share = 1 / (1 + np.exp(-(2 * (np.log(n) - np.log(28)) + off + 0.2 * draw.normal())))
                some.append(
                    result("traces", n, seed, "".join("01"[int(x < share)] for x in draw.random(200)))
                )
        curve = fit_curve(some, 0.0)
        assert curve is not None
        for n in (14, 28, 56):
            at = curve.at(n)
            assert at is not None
            assert at.low is not None
            assert at.high is not None
            tried += 1
            held += at.low <= 1 / (1 + np.exp(-2 * (np.log(n) - np.log(28)))) <= at.high
    assert held / tried >= 0.93


@pytest.mark.slow
def test_fewer_seeds_give_wider_bounds_and_one_seed_none(tmp_path: Path) -> None:
    widths = []
    for many in (1, 2, 5):
        draw = np.random.default_rng(3)
        some = [
            result("traces", n, s, "".join("01"[int(x < n / 50)] for x in draw.random(400)))
            for s in range(many)
            for n in (10, 20, 40)
        ]
        curve = fit_curve(some, 0.0)
        assert curve is not None
        at = curve.at(20)
        assert at is not None
        widths.append(None if at.low is None or at.high is None else at.high - at.low)
    assert widths[0] is None
    assert widths[1] > widths[2]


@pytest.mark.parametrize("mark", ["0", "1"])
def test_a_curve_of_all_right_or_all_wrong_is_finite(mark: str) -> None:
    curve = fit_curve([result("traces", n, s, mark * 50) for n in (10, 20) for s in (1, 2)], 0.0)
    assert curve is not None
    assert all(0 <= y <= 1 for y in curve.share)
    assert abs(curve.share[0] - int(mark)) < 0.1


def test_a_curve_is_not_read_below_what_was_trained() -> None:
    curve = fit_curve([result("traces", n, s, "01" * 50) for n in (10, 20) for s in (1, 2)], 0.0)
    assert curve is not None
    assert curve.at(9) is None
    assert curve.at(10) is not None
    assert curve.size_for(0.01)[1] is None  # a bound that lies below what was trained is unknown
    assert fit_curve([result("traces", 10, 1, "01")], 0.0) is None


# --- what escapes ----------------------------------------------------------------------------------------


def test_the_contests_that_ship_have_all_four_defences_and_say_where_they_are_from() -> None:
    found = read_escapes(None)
    assert {one.defence for one in found} == {"none", "stillwatch", "allowance", "stillwatch+allowance"}
    assert all("commit" in one.source and "people of" in one.source for one in found)
    assert {one.goal for one in found} == {1000}


def test_the_contests_that_ship_are_those_of_the_ranges_page() -> None:
    table = (ROOT / "docs/figures/range-attackers.md").read_text()
    for one in read_escapes(None):
        if one.defence == "stillwatch+allowance":  # added after that page
            continue
        low, high = (f"{n:,}" for n in (min(one.out), max(one.out)))
        got = low if low == high else f"{low} to {high}"
        assert f"| {one.attacker} | 1,000 | {one.defence} | {got}" in table


def test_the_best_trade_is_the_one_that_costs_least_whoever_has_it(tmp_path: Path) -> None:
    found = read_escapes(None)
    for defence in {one.defence for one in found}:
        best, quick = cheapest(found, defence), fastest(found, defence)
        assert best is not None
        mine = [one for one in found if one.defence == defence]
        assert best.usd_an_example == min(one.usd_an_example for one in mine)
        assert quick is not None
        assert quick.reached


def test_a_file_that_holds_no_contests_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"defence": "none"}\n')
    with pytest.raises(InputError, match=r"mine.jsonl:1: is no contest"):
        read_escapes(path)
    path.write_text("")
    with pytest.raises(InputError, match="holds no contest"):
        read_escapes(path)


def test_the_script_keeps_what_the_package_reads() -> None:
    shipped = [json.loads(line) for line in escapes.FILE.read_text().splitlines()]
    again = escapes.rows(shipped[0]["commit"], json.dumps(shipped[0]), 1000)
    assert again == [shipped[0]]


# --- the page --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_says_what_was_run_and_leads_with_the_attacker_that_is_best_off(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    simulate(one, (1, 2))
    told = write_page(one)
    assert told.run < told.declared
    assert any("seeds 3, 4, 5" in words for words in told.not_run)
    assert any("2 of 5 declared seeds" in words for words in told.limits)
    dear = {t.defence: t for t in told.tasks[0].trades if t.saves == "dollars"}
    found = read_escapes(None)
    for defence, trade in dear.items():
        least = min(e.usd_an_example for e in found if e.defence == defence)
        assert trade.usd == pytest.approx(1000 * least)
        if defence != "none":
            assert f"{trade.usd / dear['none'].usd:.1f} times the dollars" in told.headline[0]
    html = (Path(one.folder) / "economics.html").read_text()
    for words in (*told.headline, "Published, not measured here", "toy", "What this cannot claim"):
        assert words.split(" (")[0][:40] in html
    content = json.loads((Path(one.folder) / "economics.json").read_text())
    assert content["run"] == told.run
    assert content["published"] == published_rows()


@pytest.mark.slow
def test_only_a_task_that_is_declared_a_toy_is_called_one(tmp_path: Path) -> None:
    for toy in (True, False):
        one = experiment(tmp_path / str(toy), DECLARATION if toy else DECLARATION.replace("toy = true", ""))
        simulate(one, (1,))
        told = figures(one, finished_cells(one))
        assert ("dial, a toy" in told.headline[-1]) is toy
        assert ("dial, a toy" in picture(told.tasks[0])) is toy


def test_every_published_row_says_where_it_is_from() -> None:
    assert all(row["source"] and row["read"] for row in published_rows())


@pytest.mark.slow
def test_dollars_are_the_harvest_and_the_training(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    simulate(one, (1, 2, 3, 4, 5), spread=0.05)
    task = figures(one, finished_cells(one)).tasks[0]
    traces = next(arm for arm in task.arms if arm.arm == "traces")
    assert traces.sizes[0].train_usd == pytest.approx(36 / 3600 * 0.04)
    assert traces.teacher_usd_an_example == pytest.approx(0.03 / 60)
    half = next(price for price in task.prices if price.level == 0.5)
    assert half.examples[0] == pytest.approx(20, rel=0.15)  # where the simulated curve has its half
    escape = cheapest(read_escapes(None), "allowance")
    assert escape is not None
    assert half.usd["allowance"][0] == pytest.approx(half.examples[0] * escape.usd_an_example + 0.0004)
    assert next(arm for arm in task.arms if arm.arm == "public").teacher_usd_an_example == 0.0
    spot = task.spots[0]
    assert spot.curve is not None
    assert spot.share == pytest.approx(expected("traces", 20), abs=0.12)


def test_what_the_fewest_examples_reach_is_said_to_take_as_many_or_less() -> None:
    shares = ((48, 40), (320, 60))
    rows = [
        result("traces", n, seed, ("1" * (k + seed)).ljust(100, "0")) for seed in range(5) for n, k in shares
    ]
    curve = fit_curve(rows, 0.0)
    assert curve is not None
    quarter, half = (_price(level, [], curve, 0.0) for level in (0.25, 0.5))
    assert (quarter.examples[0], quarter.or_less) == (pytest.approx(48), True)
    assert not half.or_less


def test_a_cell_of_another_declaration_is_not_used(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    simulate(one, (1,))
    before = len(finished_cells(one))
    other = experiment(tmp_path, DECLARATION.replace("steps = 3", "steps = 4", 1))
    assert 0 < len(finished_cells(other)) < before
    with_other_data = one.data(one.task[0]).heldout
    with_other_data.write_text(with_other_data.read_text() + "\n")
    assert not finished_cells(one)


def test_a_damaged_cell_is_refused_and_one_that_is_cut_too(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    simulate(one, (1,))
    path = place(one, next(iter(finished_cells(one))))
    path.write_text(path.read_text()[:40])
    with pytest.raises(StillwatchError, match=r"is no JSON|no cell of this version"):
        finished_cells(one)


@pytest.mark.slow
def test_names_from_files_cannot_act_on_the_page(tmp_path: Path) -> None:
    one = experiment(tmp_path, DECLARATION.replace('about = "A toy."', 'about = "<script>alert(1)</script>"'))
    simulate(one, (1, 2))
    told = figures(one, finished_cells(one))
    assert "<script" not in render(told, {t.name: picture(t) for t in told.tasks})


def test_time_to_go_is_that_of_the_nearest_size(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    simulate(one, (1,))
    stand = finished_cells(one)
    left = [cell for cell in cells(one) if cell not in stand]
    assert time_to_go(stand, left) == pytest.approx(40.0 * len(left))
    assert time_to_go({}, left) is None


# --- the command -----------------------------------------------------------------------------------------


def test_the_command_writes_an_edition_and_reads_it_back(tmp_path: Path) -> None:
    runner = CliRunner()
    file = tmp_path / "mine.toml"
    assert runner.invoke(app, ["new", str(file)]).exit_code == 0
    assert read_experiment(file, "").name == "cpu"
    assert isinstance(runner.invoke(app, ["new", str(file)]).exception, InputError)


@pytest.mark.slow
def test_the_page_is_made_anew_without_a_model(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    simulate(one, (1, 2))
    runner = CliRunner()
    done = runner.invoke(app, ["page", str(tmp_path / "small.toml"), "--folder", one.folder, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["tasks"][0]["name"] == "dial"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["page"], "name one experiment"),
        (["page", "--edition", "huge"], "there is no edition"),
        (["estimate", "--edition", "cpu", "--task", "x"], "the experiment has dial, smollm, calculus"),
        (["run", "--edition", "cpu", "--seeds", "9"], "another seed has to be declared"),
    ],
)
def test_a_wrong_option_is_answered_with_what_would_be_right(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, StillwatchError)
    assert said in str(done.exception)


def test_an_estimate_of_what_stands_needs_no_model(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    simulate(one, (1, 2))
    (one.data(one.task[0]).prompts).write_text("")
    done = CliRunner().invoke(
        app, ["estimate", str(tmp_path / "small.toml"), "--folder", one.folder, "--no-probe", "--json"]
    )
    assert done.exit_code == 0, done.output
    rows = {row["arm"]: row for row in json.loads(done.output)}
    assert rows["traces"]["left"] == 9
    assert rows["traces"]["cpu_s"] == pytest.approx(9 * 40.0)


@pytest.mark.slow
def test_arms_are_never_compared_by_dollars_alone(tmp_path: Path) -> None:
    """Every arm has its FLOPs and days beside its dollars."""
    one = experiment(tmp_path)
    simulate(one, (1, 2))
    for arm in figures(one, finished_cells(one)).tasks[0].arms:
        for size in arm.sizes:
            assert dataclasses.asdict(size)["flops"] > 0
            assert size.train_days > 0


def test_a_student_that_is_not_here_is_said_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", "--edition", "cpu", "--task", "smollm"])
    assert isinstance(done.exception, InputError)
    assert "SmolLM2-135M-Instruct.Q4_1.gguf is not here" in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_seed_that_is_not_finished_does_not_narrow_the_interval(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    simulate(one, (1, 2, 3))
    place(one, next(c for c in cells(one) if (c.arm, c.size, c.seed) == ("traces", 40, 3))).unlink()
    traces = next(arm for arm in figures(one, finished_cells(one)).tasks[0].arms if arm.arm == "traces")
    assert traces.curve is not None
    assert traces.curve.seeds == (1, 2)
    assert traces.sizes[0].seeds == (1, 2, 3)


# --- the questions of the GPU edition --------------------------------------------------------------------

ARC = {
    "id": "1",
    "question": "Which sinks?",
    "choices": {"text": ["a feather", "a stone"], "label": ["A", "B"]},
    "answerKey": "B",
}


@pytest.mark.slow
def test_the_questions_of_the_gpu_edition_are_read_as_its_plans_want_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the SQL of docs/economics.md on files with the columns of the published sets."""
    monkeypatch.chdir(tmp_path)
    sets = {
        "openai/gsm8k/main/train-00000-of-00001.parquet": [
            {"question": "What is twice 600?", "answer": "It is 2*600. #### 1,200"}
        ],
        "openai/gsm8k/main/test-00000-of-00001.parquet": [{"question": "And 3+4?", "answer": "#### 7"}],
        "EleutherAI/hendrycks_math/algebra/train-00000-of-00001.parquet": [
            {
                "problem": "Solve $2x=1$.",
                "level": "Level 1",
                "type": "Algebra",
                "solution": r"\boxed{\frac12}",
            }
        ],
        "HuggingFaceH4/MATH-500/test.jsonl": [
            {"problem": "An interval?", "answer": r"\left[0, 1\right)", "subject": "Algebra"}
        ],
        "allenai/ai2_arc/ARC-Challenge/train-00000-of-00001.parquet": [ARC],
        "allenai/ai2_arc/ARC-Challenge/test-00000-of-00001.parquet": [ARC | {"question": "Which falls?"}],
    }
    for name, rows in sets.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("jsonl"):
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    page = (ROOT / "docs/economics.md").read_text()
    sql = page.split("```sql\n")[1].split("```")[0].replace("hf://datasets/", f"{tmp_path}/")
    duckdb.connect().execute(sql)
    for task in read_experiment(None, "gpu").task:
        plan = dataclasses.replace(
            task.plan,
            folder=str(tmp_path / task.name),
            prompts=dataclasses.replace(task.plan.prompts, n=0),
            heldout=dataclasses.replace(task.plan.heldout, n=0),
        )
        made = prepare(plan, "a test", 1)
        assert (made.prompts, made.heldout, made.rejected) == (1, 1, ())
        right = {"gsm8k": "#### 7", "math500": r"so \boxed{[0,1)}", "arc": "Answer: B"}[task.name]
        asked = next(read_prompts(made.run.heldout))
        assert judge(asked.task, asked.expected, right).right
    assert asked.messages[0]["content"].splitlines()[1:3] == ["A. a feather", "B. a stone"]
