"""The measured curve: its data is that of the page, it never falls, and what it says names what it is not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.scan.curve import cited, curve

ROOT = Path(__file__).parent.parent


def test_the_curve_that_ships_is_the_table_of_the_page() -> None:
    spec = importlib.util.spec_from_file_location("curve_benchmark", ROOT / "benchmarks" / "curve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    teacher, found = module.of_page((ROOT / "docs" / "distill-training.md").read_text())
    assert found
    assert (ROOT / "src/stillwatch/scan/curve.toml").read_text() == module.written(teacher, found)


def test_measured_sizes_come_back_as_measured() -> None:
    told = curve()
    assert [p.samples for p in told.points][:4] == [125, 250, 500, 1000]
    for p in told.points:  # no seed's share falls in what was measured
        assert told.each(p.samples) == pytest.approx(p.shares)
    assert told.each(0) == (told.guessing,) * 3
    halfway = np.sqrt(250 * 500)  # a straight line over the logarithm
    assert told.each(halfway) == pytest.approx(np.mean([told.each(250), told.each(500)], axis=0))


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_more_samples_never_buy_less(one: float, other: float) -> None:
    few, many = sorted((one, other))
    assert all(a <= b for a, b in zip(curve().each(few), curve().each(many), strict=True))
    assert 0 <= curve().mean(few) <= 1


@pytest.mark.parametrize("exchanges", [0, 1, 124, 125, 700, 1000, 1001, 16_000_000])
def test_the_sentence_is_one_and_says_what_it_is_not(exchanges: int) -> None:
    said = cited(exchanges)
    assert said.count(". ") == 0
    assert said.endswith("not where a large model has it.")
    assert "a toy's" in said
