"""What a scan returns: findings, leads and accounts as tables, what could not be judged, and an HTML page."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import pyarrow as pa
from rich.console import Console

from stillwatch.api import Path as PathLike
from stillwatch.api.exchanges import warnings_of
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.exchanges.rejects import Rejects
from stillwatch.report import arrow_tables, notebook
from stillwatch.report.amounts import plural
from stillwatch.report.explain import explain, print_explanation
from stillwatch.report.findings import (
    campaigns_by_harvest,
    findings_json,
    leads_by_answers,
    to_text,
    write,
    write_atomically,
)
from stillwatch.report.page import headline, render, write_page
from stillwatch.scan import AccountVerdict, Campaign, Coverage, Lead, ScanResult, ScanTotals
from stillwatch.scan.coverage import could_not_judge
from stillwatch.scan.settings import DetectionSettings

WIDTH = 100  # characters per line of an explanation
Row = TypeVar("Row")


class ResultTable(Sequence[Row], Generic[Row]):
    """Rows of a result: a sequence of objects, and a table for anything that takes Arrow."""

    def __init__(self, rows: Sequence[Row], to_table: Callable[[Sequence[Any]], pa.Table]) -> None:
        self._rows, self._to_table = tuple(rows), to_table

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> "ResultTable[Row]": ...
    def __getitem__(self, at: int | slice) -> "Row | ResultTable[Row]":
        """Return one row, or a slice of the table."""
        return ResultTable(self._rows[at], self._to_table) if isinstance(at, slice) else self._rows[at]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order."""
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"ResultTable of {plural(len(self._rows), 'row')}: {', '.join(self.to_arrow().column_names)}"

    def to_arrow(self) -> pa.Table:
        """Return a pyarrow Table: times in microseconds UTC; several values as lists and structs."""
        return self._to_table(self._rows)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame.

        Raises: InputError if pandas is not installed.
        """
        try:
            return self.to_arrow().to_pandas()
        except ImportError:
            raise InputError("to_pandas needs pandas: pip install pandas; or take to_arrow()") from None

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows as an Arrow stream: pyarrow.table(result.campaigns)."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        """Return a small table for a notebook."""
        return notebook.table_html(self.to_arrow())


@dataclass(frozen=True, repr=False, eq=False)
class ScanReport:
    """What one scan found, and what it could not judge. docs/report.md defines the terms."""

    scan: ScanResult  # everything, as the report writers take it
    settings: DetectionSettings  # under which it was found
    rejects: Rejects = field(default_factory=Rejects)  # what could not be read, counted

    @property
    def campaigns(self) -> ResultTable[Campaign]:
        """The findings, largest harvest first. A person decides on each: some accounts may be honest.

        Columns: id, accounts (list of names), since and alarm_at, p_value, score_bits, exchanges and
        output_tokens (in all, and at_alarm), title, suppressed_by, reasons and benign_alternatives (lists).
        """
        return ResultTable(campaigns_by_harvest(self.scan), arrow_tables.campaigns)

    @property
    def leads(self) -> ResultTable[Lead]:
        """Groups for which the log does not show whether they are one operator. A lead accuses nobody.

        Columns: id, accounts (list of names), since, p_value, exchanges, hands, text (why it is no finding).
        """
        return ResultTable(leads_by_answers(self.scan), arrow_tables.leads)

    @property
    def accounts(self) -> ResultTable[AccountVerdict]:
        """Every account of the log, sorted by name.

        Columns: account, campaign (an id, or null), p_value (the account's own: for a member, how strongly it
        is tied to the campaign; otherwise its busiest day), kind_of_use, exchanges, kind_evidence.
        """
        rows = sorted(self.scan.accounts, key=lambda verdict: verdict.account)
        return ResultTable(rows, arrow_tables.accounts)

    @property
    def totals(self) -> ScanTotals:
        """How much was read: exchanges, accounts, first and last (UTC), rejected, seconds."""
        return self.scan.scanned

    @property
    def coverage(self) -> Coverage:
        """Which of the two rules, groups and lone payers, this log can support, and what it lacks."""
        return self.scan.judged

    @property
    def could_not_judge(self) -> bool:
        """Whether nothing was found and the log lacks what group detection needs: exit code 4."""
        return could_not_judge(self.scan)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be judged or only in part, what this scan cannot claim, and gaps in the log."""
        gaps = tuple(
            f"{gap.start:%Y-%m-%d %H:%M} to {gap.end:%Y-%m-%d %H:%M}: {gap.text}" for gap in self.scan.gaps
        )
        return (*self.scan.judged.why, *self.scan.cannot_claim, *gaps)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Problems with the input: unreadable rows, values left empty, keys used as names."""
        return warnings_of(self.rejects, self.scan.scanned.exchanges)

    def explain(self, subject: str) -> str:
        """Return an account of how a finding came about, or of what is known about an account or lead.

        Arguments:
            subject: The id of a campaign or lead, or an account, in full or by a prefix that only one has.

        Raises: InputError if nothing, or more than one subject, has that name.
        """
        console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
        print_explanation(explain(self.scan, subject), console)
        text = console.file
        assert isinstance(text, io.StringIO)
        return text.getvalue()

    def to_json(self) -> str:
        """Return exactly what `stillwatch scan` writes as findings.json, the contract for other tools."""
        return to_text(findings_json(self.scan))

    def report(self, path: PathLike) -> Path:
        """Write the report as an HTML page and return its path.

        Arguments:
            path: A folder, to hold index.html, findings.json and evidence.json for `stillwatch explain
            --report`;
                or a name ending in .html, for the page alone.

        Raises: InputError if it cannot be written.
        """
        place = Path(path)
        with refuse_os_errors(InputError, f"{place}: the report could not be written"):
            if place.suffix.lower() in (".html", ".htm"):
                write_atomically(place, render(self.scan))
                return place
            write(self.scan, place)
            return write_page(self.scan, place)

    def __repr__(self) -> str:
        return f"ScanReport: {headline(self.scan)}".replace("\u00a0", " ")

    def _repr_html_(self) -> str:
        """Return a summary for a notebook: no script, and every name from the log escaped."""
        return notebook.result_html(self.scan, self.warnings)
