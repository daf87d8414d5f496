"""The measured curve: its data is that of the page, it never falls, and its text names its limits."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import curve as script
from stillwatch.report.explain import explain, print_explanation
from stillwatch.report.findings import evidence_json, findings_json
from stillwatch.report.page import render
from stillwatch.report.terminal import print_result
from stillwatch.scan.curve import curve
from stillwatch.scan.real_student import cite_curve, real_student
from test_report_world import result

ROOT = Path(__file__).parent.parent


def test_the_curve_that_ships_is_the_table_of_the_page() -> None:
    teacher, found = script.of_page((ROOT / "docs" / "distill-training.md").read_text())
    assert found
    assert (ROOT / "src/stillwatch/scan/curve.toml").read_text() == script.written(teacher, found)
    real = script.real((ROOT / "docs/figures/distill-training.md").read_text())
    assert (ROOT / "src/stillwatch/scan/real_student.toml").read_text() == real


def test_measured_sizes_come_back_as_measured() -> None:
    told = curve()
    assert [p.samples for p in told.points][:4] == [125, 250, 500, 1000]
    for p in told.points:  # no seed's share is in the measured range
        assert told.each(p.samples) == pytest.approx(p.shares)
    assert told.each(0) == (told.guessing,) * 3
    halfway = np.sqrt(250 * 500)  # a straight line over the logarithm
    assert told.each(halfway) == pytest.approx(np.mean([told.each(250), told.each(500)], axis=0))


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_more_samples_never_buy_less(one: float, other: float) -> None:
    few, many = sorted((one, other))
    assert all(a <= b for a, b in zip(curve().each(few), curve().each(many), strict=True))
    assert 0 <= curve().mean(few) <= 1


@pytest.mark.parametrize("exchanges", [0, 1, 47, 48, 144, 500, 640, 1000, 16_000_000])
def test_the_sentence_is_one_and_says_what_it_is_not(exchanges: int) -> None:
    said = cite_curve(exchanges)
    assert said.count(". ") == 0
    assert said.endswith("each size was tried once, and this is no forecast for a large model.")
    assert "a toy task" in said
    sizes = [samples for samples, _ in real_student().points]
    tried = {max((n for n in sizes if n <= exchanges), default=sizes[0])}
    tried |= {min((n for n in sizes if n > exchanges), default=sizes[-1])}
    assert {n for n in sizes if re.search(rf"after {n}\b", said)} == tried  # the sizes beside it, no others


@pytest.mark.slow
def test_page_terminal_explanation_and_evidence_cite_it_and_the_contract_does_not() -> None:
    told = result()
    evidence, findings = evidence_json(told), findings_json(told)
    for c, f in zip(evidence["campaigns"], findings["campaigns"], strict=True):
        assert c["curve"] == cite_curve(f["harvest"]["exchanges"])
        assert "curve" not in f
    said = "and this is no forecast for a large model."
    assert said in render(told)
    out = io.StringIO()
    screen = Console(file=out, width=4000)
    print_result(told, screen)
    assert out.getvalue().count(said) == 1
    print_explanation(explain(told, told.campaigns[0].id), screen)
    assert out.getvalue().count(said) == 2
