"""A scan in the terminal: a table of campaigns, a few lines, and progress while it runs.

Every text is passed through `visible` and never parsed as markup: a name in the log cannot move the cursor.
"""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from stillwatch.report import amounts
from stillwatch.report.findings import FINDINGS, campaigns_by_harvest, leads_by_answers
from stillwatch.report.page import headline, leads_counted, start_of
from stillwatch.report.visible import visible
from stillwatch.scan import Campaign, PoolCover, ScanResult, Tell
from stillwatch.scan.measured import MEASURED, TITLE
from stillwatch.scan.real_student import cite_curve

ROWS = 30  # campaigns shown; the rest are counted
LEADS = 10  # leads shown; the rest are counted
EXAMPLES = 5  # rejected lines and gaps shown
WIDE = 130  # terminal width from which the strongest reason fits into the table


def safe(text: str, console: Console, limit: int = 160, style: str = "") -> Text:
    """Return a text that is safe to print: no escape sequence or markup acts, and all can be encoded."""
    return Text(visible(text, limit, ascii_only=not console.encoding.lower().startswith("utf")), style=style)


def plain_table(console: Console, heads: Sequence[str] = (), right: Sequence[str] = ()) -> Table:
    """Return a table: without lines for a program, with a rule under the head for a person.

    right: the heads of numeric columns.
    """
    table = Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
        header_style="bold",
        show_edge=False,
        padding=(0, 2, 0, 0),
    )
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left")
    return table


def _row(campaign: Campaign, console: Console, wide: bool) -> tuple[Text | str, ...]:
    when = "%Y-%m-%d %H:%M" if wide else "%m-%d %H:%M"
    cells: tuple[Text | str, ...] = (
        safe(campaign.id, console, 24, "bold"),
        amounts.count(len(campaign.accounts)),
        amounts.count(campaign.harvest.exchanges),
        amounts.count(campaign.harvest_at_alarm.exchanges),
        start_of(campaign).strftime(when),
        campaign.alarm_at.strftime(when),
        amounts.p_value(campaign.p_value, plain=True),
    )
    return (*cells, safe(_top(campaign), console)) if wide else cells


def _top(campaign: Campaign) -> str:
    top = max(campaign.reasons, key=lambda r: r.bits, default=None)
    return top.text if top else "no reason is recorded"


def _print_table(campaigns: list[Campaign], console: Console) -> None:
    """Print campaigns; on a wide terminal the strongest reason is a column, on a narrow one a list below."""
    wide = console.width >= WIDE
    table = plain_table(console)
    table.add_column("campaign", overflow="fold")
    for name in ("accounts", "taken", "at alarm"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("since", "alarm", "p"):
        table.add_column(name, no_wrap=True)
    if wide:
        table.add_column("strongest reason", overflow="fold", ratio=1)
    for c in campaigns[:ROWS]:
        table.add_row(*_row(c, console, wide))
    console.print(table)
    if len(campaigns) > ROWS:
        console.print(Text(f"... and {amounts.plural(len(campaigns) - ROWS, 'more campaign')} in {FINDINGS}"))
    if not wide:
        reasons = [f"{c.id}: {_top(c)}" for c in campaigns[:ROWS]]
        print_list("Strongest reason", reasons, console)


def _print_leads(result: ScanResult, console: Console) -> None:
    """Print the leads, or nothing if there is none."""
    if not result.leads:
        return
    table = plain_table(console)
    table.add_column("lead", overflow="fold")
    for name in ("accounts", "exchanges", "answer tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("since", no_wrap=True)
    table.add_column("why it is no finding", overflow="fold", ratio=1)
    for lead in leads_by_answers(result)[:LEADS]:
        table.add_row(
            safe(lead.id, console, 24, "bold"),
            amounts.count(len(lead.accounts)),
            amounts.count(lead.exchanges),
            amounts.count(lead.answer_tokens),
            lead.since.strftime("%m-%d %H:%M"),
            safe(lead.text, console, 500),
        )
    console.print()
    console.print(Text(leads_counted(result), style="bold"))
    console.print(table)
    if len(result.leads) > LEADS:
        console.print(Text(f"... {len(result.leads) - LEADS:,} more in {FINDINGS}"))


def _pool_line(pool: PoolCover) -> str:
    users, items = amounts.plural(pool.accounts, "account"), amounts.plural(pool.items, "item")
    p_value = amounts.p_value(pool.p_value, plain=True)
    return (
        f"{pool.pool}: {users} asked {pool.covered:,} of {items} in {pool.exchanges:,} exchanges; "
        f"{pool.repeated:,} were asked by a second payer, {pool.expected:.1f} if each chose alone "
        f"(p {p_value})"
    )


def print_list(title: str, lines: Sequence[str], console: Console) -> None:
    """Print sentences under a title, or nothing if there is none."""
    if not lines:
        return
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row("  -", safe(line, console, 500))
    console.print()
    console.print(Text(title, style="bold"))
    console.print(grid)


def print_result(result: ScanResult, console: Console, page: Path | None = None) -> None:
    """Print what a person needs after a scan; `page` is where the HTML page was written."""
    ordered = campaigns_by_harvest(result)
    campaigns = [c for c in ordered if c.suppressed_by is None]
    console.print(Text(headline(result).replace("\u00a0", " "), style="bold"))
    s = result.scanned
    read = f"Scanned {amounts.plural(s.exchanges, 'exchange')} of {amounts.plural(s.accounts, 'account')}"
    if s.first and s.last:
        read += f", {s.first:%Y-%m-%d %H:%M} to {s.last:%Y-%m-%d %H:%M} UTC"
    console.print(Text(f"{read}, in {s.seconds:.1f} s."))
    if campaigns:
        console.print()
        _print_table(campaigns, console)
        most = max(c.harvest.exchanges for c in campaigns)
        console.print()
        console.print(
            safe(f"The largest took {amounts.plural(most, 'exchange')}. {cite_curve(most)}", console, 400)
        )
    _print_leads(result, console)
    print_list(
        "Known pools, and who uses them (that accuses nobody)", list(map(_pool_line, result.pools)), console
    )
    suppressed = [
        f"{c.id}: {c.title} Suppressed by: {c.suppressed_by}" for c in ordered if c.suppressed_by is not None
    ]
    print_list("Suppressed campaigns", suppressed[:ROWS], console)
    if s.rejected:
        shown = list(result.rejected_examples[:EXAMPLES])
        lines = shown + ([f"and {s.rejected - len(shown):,} more"] if s.rejected > len(shown) > 0 else [])
        print_list(
            f"{amounts.plural(s.rejected, 'line')} could not be read (a refused file counts as one)",
            lines,
            console,
        )
    gaps = [f"{g.start:%Y-%m-%d %H:%M} to {g.end:%Y-%m-%d %H:%M}: {g.text}" for g in result.gaps]
    more = [f"and {len(gaps) - EXAMPLES:,} more"] if len(gaps) > EXAMPLES else []
    print_list("Gaps in the log", gaps[:EXAMPLES] + more, console)
    print_list("What could not be judged, or only in part", result.judged.why, console)
    print_list("What this scan cannot claim", result.cannot_claim, console)
    print_list(TITLE, MEASURED, console)
    if page is not None:
        console.print()
        console.print(Text("Page: ") + safe(str(page), console, 1000), soft_wrap=True)
        subjects = [c.id for c in campaigns] or [lead.id for lead in leads_by_answers(result)]
        if subjects:
            words = f"Next: stillwatch explain {subjects[0]} --report {shlex.quote(str(page.parent))}"
            console.print(safe(words, console, 1000), soft_wrap=True)


@contextmanager
def progress(console: Console, quiet: bool = False) -> Iterator[Tell]:
    """Show a progress bar per stage during the block; nothing if `quiet` or if output is not a terminal.

    The block gets `tell(stage, done, total)`. A stage ends when another begins or `done` reaches `total`.
    """
    if quiet or not console.is_terminal:
        yield lambda stage, done, total: None
        return
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def tell(stage: str, done: int, total: int | None) -> None:
        if stage not in tasks:
            for task in bars.tasks:
                if task.total is None:
                    bars.update(task.id, total=task.completed, completed=task.completed)
            tasks[stage] = bars.add_task(visible(stage, 40), total=total)
        bars.update(tasks[stage], completed=done, total=total)

    with bars:
        yield tell
