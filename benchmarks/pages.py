"""Writes a table between two marks of a page in docs/ that shows a benchmark's figures."""

from collections.abc import Sequence
from pathlib import Path


def around(page: Path, begin: str, end: str) -> tuple[str, str]:
    """Return the text before the first mark and after the second. Raises: SystemExit if one is missing."""
    before, begins, rest = page.read_text().partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise SystemExit(f"{page}: has no place for the table: write {begin} and {end} on lines of their own")
    return before, after


def put(page: Path, begin: str, end: str, lines: Sequence[str]) -> None:
    """Replace the text between the marks by lines. Raises: SystemExit if one is missing."""
    before, after = around(page, begin, end)
    page.write_text(before + begin + "\n" + "\n".join(lines) + "\n" + end + after)
