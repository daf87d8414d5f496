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
    (row,) = [line for line in README.read_text("utf-8").splitlines() if "scanned once, unseen" in line]
    (named, honest), (exposed, campaigns) = map(figures, row.split("|")[2:4])
    assert f"{exposed} of {campaigns} campaigns" in EXPOSED
    assert f"{named} of {honest:,} honest accounts" in INNOCENTS
