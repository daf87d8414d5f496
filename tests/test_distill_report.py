"""The report of a distillation: hand-written figures, and a page that no content can break. Uses no model."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distill_world import clock_run
from stillwatch.distill import DistillError, DistillRun, Prompt
from stillwatch.distill.report import Spot
from stillwatch.distill.report.figures import account, find_reached
from stillwatch.distill.report.page import render, report
from stillwatch.distill.report.picture import HIGH, curve, loss
from stillwatch.distill.rows import read_json, write_json, write_rows
from stillwatch.stats.intervals import wilson

NASTY = "<script>alert(1)</script>\u202e\x1b[2J\x00 \ud800 {{ 7*7 }} \"'"


def marks(right: int, n: int = 100) -> dict[str, Any]:
    low, high = wilson(right, n)
    one = {"n": n, "right": right, "share": right / n, "low": low, "high": high}
    return {"clock": one | {"unfinished": 1, "unclear": 0, "slices": {"2 steps": one, NASTY: one}}}


def reported(folder: Path) -> Path:
    """A run after all earlier steps: 400 samples paid, 300 kept, and students on 100 and 200 as well."""
    clock_run(folder, examples=300)
    training = {
        "model": str(folder / "model"), "fingerprint": "f", "student": NASTY, "method": "text",
        "learn": "traces", "seed": 1, "examples": 300, "left_out": {NASTY: 2}, "learnt_tokens": 7500,
        "parameters": 62784,
        "trained_parameters": 62784, "steps": 10, "cpu_s": 3.0, "wall_s": 1800.0, "usd_per_hour": 2.0,
        "device": "cpu", "resumed_at": [4], "curve": [100, 200], "notes": [NASTY],
        "loss": [{"step": 5, "loss": 2.0}, {"step": 10, "loss": 0.5}],
    }  # fmt: skip
    write_json(folder / "training.json", training)
    evaluation = {
        "student_before": marks(10),
        "student_after": marks(90),
        "teacher": marks(100),
        "curve": [{"samples": 100, "marks": marks(20)}, {"samples": 200, "marks": marks(70)}],
        "lm_eval": {"student_after": {NASTY: {"acc": 0.25}}},
    }
    write_json(folder / "evaluation.json", evaluation)
    odd = {"teacher": {"warnings": [f"40 answers are by {NASTY}"]}}
    spent = {"requests": 400, "input_tokens": 4000, "output_tokens": 12000, "usd": 0.6} | odd
    write_json(folder / "spent.json", spent)
    dropped = [{"name": "wrong", "reason": NASTY, "dropped": 100, "examples": []}]
    write_json(folder / "curation.json", {"collected": 400, "kept": 300, "filters": dropped})
    write_json(folder / "teacher.json", {"model": NASTY, "licence": NASTY, "i_may": NASTY})
    question = Prompt("q", ({"role": "user", "content": NASTY},), "clock", "4")
    write_rows(folder / "heldout.jsonl", [question])
    (folder / "evaluation").mkdir()
    row = {"id": "q", "reasoning": None, "answer": NASTY, "finished": True, "tokens": 3}
    (folder / "evaluation" / "student_after.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_figures_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    told = account(DistillRun(reported(tmp_path)))
    assert [s.samples for s in told.curve] == [0, 100, 200, 300]
    assert [s.tokens for s in told.curve] == pytest.approx(
        [0, 4000, 8000, 12000]
    )  # dropped ones are paid too
    assert told.points_per_1000_tokens == pytest.approx(80 / 12)
    assert told.points_per_usd == pytest.approx(80 / 0.6)
    assert told.training_usd == pytest.approx(1.0)
    half, three_quarters, ninety = told.reached
    assert (half.score, half.samples, half.tokens) == (pytest.approx(0.55), 200, pytest.approx(8000))
    assert half.between == pytest.approx(4000 * 2 ** (0.35 / 0.5))
    assert (three_quarters.samples, ninety.samples, ninety.tokens) == (300, None, None)
    assert told.wrong[0].answer == NASTY
    assert told.missing[0].gap == pytest.approx(0.1)
    assert any("About the teacher: 40 answers are by" in words for words in told.cannot_claim)


def test_nothing_is_reached_without_a_teacher_or_a_start() -> None:
    spots = (Spot(0, 0, None, 10, 1, 0, 1), Spot(5, 50, None, 10, 9, 0, 1))
    assert find_reached(spots, None) == ()
    assert find_reached(spots[1:], spots[1]) == ()
    assert find_reached(spots, replace(spots[0], right=0)) == ()  # a teacher worse than the start
    assert find_reached(spots, spots[1])[0].between is None  # nothing measured between none and all


def test_the_page_is_one_file_and_nothing_on_it_acts(tmp_path: Path) -> None:
    page = report(reported(tmp_path)).read_text("utf-8")
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\x00" not in page
    assert "\u202e" not in page
    assert "{{ 7*7 }}" in page
    assert not re.search(r"(src|href)=\"(?!#|data:,)", page)
    assert "default-src &#39;none&#39;" in page
    told = read_json(tmp_path / "report.json")
    assert told["headline"].startswith("The student went from 10.0 % to 90.0 % of its teacher's 100.0 %")
    assert told["reached"][2]["tokens"] is None


def test_the_card_carries_the_licence_and_nothing_on_it_acts(tmp_path: Path) -> None:
    from stillwatch.distill.train.card import write_card
    from stillwatch.distill.train.run import read_training

    folder = reported(tmp_path)
    write_card(folder, DistillRun(folder), read_training(folder / "training.json"))
    card = (folder / "README.md").read_text("utf-8")
    top, below = card.removeprefix("---\n").split("\n---\n", 1)
    assert len(top.splitlines()) == 4
    assert json.loads(top.splitlines()[2].partition(": ")[2]).startswith("that of the teacher: ")
    assert "<script" not in below
    assert all(line.count("|") == 3 for line in below.splitlines() if line.startswith("|"))


def test_a_report_needs_what_it_reports(tmp_path: Path) -> None:
    with pytest.raises(DistillError, match="stillwatch distill train"):
        report(tmp_path)
    clock_run(tmp_path)
    write_json(tmp_path / "training.json", {})
    with pytest.raises(DistillError, match="stillwatch distill evaluate"):
        report(tmp_path)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("training", "examples", None),
        ("training", "loss", [3]),
        ("training", "usd_per_hour", "dear"),
        ("evaluation", "student_after", {"clock": {"n": -1}}),
        ("evaluation", "curve", {"0": 1}),
        ("curation", "filters", [{}]),
        ("spent", "output_tokens", []),
    ],
)
def test_files_of_another_version_are_said_to_be(tmp_path: Path, name: str, key: str, value: Any) -> None:
    file = reported(tmp_path) / f"{name}.json"
    write_json(file, read_json(file) | {key: value})
    with pytest.raises(DistillError, match="of another version"):
        report(tmp_path)


def test_a_run_without_costs_or_teacher_still_has_a_page(tmp_path: Path) -> None:
    reported(tmp_path)
    for name in ("spent.json", "curation.json", "teacher.json"):
        (tmp_path / name).unlink()
    evaluation = read_json(tmp_path / "evaluation.json")
    write_json(
        tmp_path / "evaluation.json", evaluation | {"teacher": None, "student_before": None, "curve": []}
    )
    told = account(DistillRun(tmp_path))
    assert told.points_per_1000_tokens is None
    assert any("cannot be said" in text for text in told.cannot_claim)
    assert "No curation is on record" in render(told)


def test_pictures_stay_in_their_frame() -> None:
    spots = [Spot(n, 10.0 * n, None, 100, r, *wilson(r, 100)) for n, r in ((0, 0), (5, 30), (900, 100))]
    dots = curve(spots, spots[-1]).dots
    assert [d.x for d in dots] == sorted(d.x for d in dots)
    assert all(0 <= d.x <= 100 and 0 <= d.high <= d.y <= d.low <= HIGH for d in dots)
    assert loss([]) == loss([{"step": 1, "loss": 1.0}]) == ""
    assert loss([{"step": 1, "loss": 1.0}, {"step": 3, "loss": 1.0}]) == "M0.0 0.0L100.0 0.0"
