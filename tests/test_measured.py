"""The error rates in reports equal those in README for the worlds that were judged unseen."""

import re
from pathlib import Path

from stillwatch.scan.measured import EXPOSED, FIRM, INNOCENTS, LOOSE, WRONG

README = Path(__file__).parents[1] / "README.md"
FIGURE = re.compile(r"([\d,]+) of ([\d,]+)")


def figures(cell: str) -> tuple[int, ...]:
    ((part, whole),) = FIGURE.findall(cell)
    return numbers(part, whole)


def numbers(*texts: str) -> tuple[int, ...]:
    return tuple(int(text.replace(",", "")) for text in texts)


def test_reports_say_what_the_unseen_worlds_gave() -> None:
    (row,) = [line for line in README.read_text("utf-8").splitlines() if "scanned once, unseen" in line]
    (named, honest), (exposed, campaigns) = map(figures, row.split("|")[2:4])
    assert f"{exposed} of {campaigns} campaigns" in EXPOSED
    assert f"{named} of {honest:,} honest accounts" in INNOCENTS


def test_the_share_of_honest_accounts_is_that_of_both_levels() -> None:
    (firm, of_firm), (loose, of_loose) = (numbers(*FIGURE.findall(text)[0]) for text in (FIRM, LOOSE))
    (found,) = FIGURE.findall(WRONG)
    honest, named = numbers(*found)
    assert (honest, named) == (firm + loose, of_firm + of_loose)
    assert f"({honest / named:.0%}".replace("%", " %") in WRONG
