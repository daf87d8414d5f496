"""The cost of a day: pages and picture are the command's output, computed from the cited figures."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def daily_cost() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "daily_cost.py"))


def test_pages_and_picture_are_what_the_command_makes(daily_cost: dict[str, Any]) -> None:
    facts = daily_cost["Facts"]()
    for (page, name), lines in daily_cost["PLACES"].items():
        between = (
            page.read_text("utf-8").partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]
        )
        assert between == "\n".join(lines(facts)), f"python benchmarks/daily_cost.py --write ({page.name})"
    assert daily_cost["PICTURE"].read_text("utf-8") == daily_cost["picture"](facts)


def test_every_measured_figure_stands_on_the_page_that_it_names(daily_cost: dict[str, Any]) -> None:
    for name, one in daily_cost["Facts"]().all["measured"].items():
        assert one["reads"] in (ROOT / one["page"]).read_text("utf-8"), name


def test_costs_are_in_proportion_and_fit_or_not(daily_cost: dict[str, Any]) -> None:
    facts = daily_cost["Facts"]()
    small, large = (daily_cost["costs"](facts, a_day) for a_day in (10**6, 10**9))
    for one, other in zip(small, large, strict=True):
        assert one.name == other.name
        assert one.fits
        if one.core_hours and not one.name.startswith("a scan"):
            assert other.core_hours == pytest.approx(1000 * one.core_hours)
            assert other.usd == pytest.approx(1000 * one.usd)
    assert [one.name.split(",")[0] for one in large if not one.fits] == ["live detector", "a scan of 14 days"]
    few, many = (
        next(one for one in daily_cost["costs"](facts, a_day) if one.name.startswith("live"))
        for a_day in (13 * 10**6, 20 * 10**6)
    )
    assert 60 < many.gb < 64  # the figure in docs/figures/gateway.md for ten days at 20 million a day
    assert few.fits
    assert not many.fits  # more than one evaluation can hold


def test_what_a_part_of_a_log_shows_is_said_once_in_figures_and_once_in_words() -> None:
    figures = (
        (ROOT / "docs" / "figures" / "scale.md").read_text("utf-8").partition("<!-- part-of-a-log -->")[2]
    )
    found = {
        line.split("|")[1].strip(): line.split("|")[2].split()[0]
        for line in figures.splitlines()
        if " of 4 |" in line
    }
    page = (ROOT / "docs" / "scale.md").read_text("utf-8").partition("of four |")[2].partition("[More")[0]
    said = [
        cell.strip().replace("none", "0")
        for cell in page.split("|")
        if cell.strip() in ("4", "2", "1", "none")
    ]
    assert found.pop("all 14 days") == found["the last 9 days"]
    assert said == list(found.values())
