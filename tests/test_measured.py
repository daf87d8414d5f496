"""What reports say of the alarm's worth is what README says of the worlds that were judged unseen."""

import re
from pathlib import Path

from stillwatch.scan.measured import EXPOSED, INNOCENTS

README = Path(__file__).parents[1] / "README.md"
FIGURE = re.compile(r"([\d,]+) of ([\d,]+)")


def figures(cell: str) -> tuple[int, int]:
    ((part, whole),) = FIGURE.findall(cell)
    return int(part.replace(",", "")), int(whole.replace(",", ""))


def test_reports_say_what_the_unseen_worlds_gave() -> None:
    rows = [
        line.split("|")[2:4]
        for line in README.read_text("utf-8").splitlines()
        if line.startswith(("| **a ", "| **an ")) and "author's" in line
    ]
    assert len(rows) >= 3
    named, honest = (sum(both) for both in zip(*(figures(row[0]) for row in rows), strict=True))
    exposed, campaigns = (sum(both) for both in zip(*(figures(row[1]) for row in rows), strict=True))
    assert f"{exposed} of {campaigns} campaigns" in EXPOSED
    assert f"{named} of {honest:,} honest accounts" in INNOCENTS
