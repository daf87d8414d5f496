"""Prints a run in the terminal: its tables, honest users affected, failed cells."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from stillwatch.range import words, written
from stillwatch.range.run import RangeRun
from stillwatch.range.table import Shares, lines
from stillwatch.report.terminal import plain_table, safe

SHOWN = 5  # refusals
WIDE, PIPED = 150, 190  # columns needed for a single table; columns assumed if the terminal does not tell
SPLIT = 6  # columns of the first table if there are two


def print_run(result: RangeRun, shares: Shares | None, console: Console) -> None:
    """Print a run's tables."""
    table = lines(result.outcomes, shares)
    for scene in dict.fromkeys(x.scene for x in table):
        scene_rows = [x for x in table if x.scene == scene]
        heads = f"{scene}: {words.over(scene_rows)}"
        rows = [words.row(x) for x in scene_rows]
        if console.width >= WIDE:
            _print_table(heads, words.HEADS, rows, console)
        else:
            _print_table(heads, words.HEADS[:SPLIT], [r[:SPLIT] for r in rows], console)
            second_half = [(r[0], *r[SPLIT:]) for r in rows]
            _print_table("", (words.HEADS[0], *words.HEADS[SPLIT:]), second_half, console)
        notes = (
            *map(words.silent, scene_rows),
            words.undefended_sentence(scene_rows[0]),
            *map(words.hurt, scene_rows),
        )
        for note in notes:
            if note:
                console.print(Text(note))
    fights = written.contests_of(result)
    if fights:
        _print_table(
            "Attackers that react", words.FOUGHT_HEADS, [words.fought_row(x) for x in fights], console
        )
        for note in filter(None, map(words.silent, fights)):
            console.print(Text(note))
    if result.live:
        _print_table("Live", words.LIVE_HEADS, words.live_rows(result.live), console)
    if table:
        console.print()
        console.print(Text(words.KEY))
    for refusal in result.refusals[:SHOWN]:
        console.print(Text("Could not: ") + safe(f"{refusal.cell.title}: {refusal.reason}", console, 400))
    if len(result.refusals) > SHOWN:
        console.print(Text(f"Could not: {len(result.refusals) - SHOWN} more, in {written.FILE}"))
    console.print(
        Text(f"Run {result.id}, {result.cpu_s:,.0f} CPU-s. Page: ")
        + safe(str(result.folder / "index.html"), console)
    )


def _print_table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[words.Cell]], console: Console
) -> None:
    console.print()
    if title:
        console.print(safe(title, console, 200, "bold"))
    table = plain_table(console)
    for n, head in enumerate(heads):
        table.add_column(head, justify="left" if n == 0 else "right", overflow="fold", no_wrap=n == 0)
    for row in rows:
        table.add_row(*(safe(a, console) + Text(f"\n{b}" if b else "", style="dim") for a, b in row))
    console.print(table)
