"""A scan in a notebook: a few lines of HTML. No script, no style, every text from the log escaped."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

import pyarrow as pa

from stillwatch.report.amounts import count, moment, p_value, plural
from stillwatch.report.findings import campaigns_by_harvest
from stillwatch.report.page import headline, leads_counted, start_of
from stillwatch.report.visible import visible
from stillwatch.scan import ScanResult

ROWS = 20
WARNINGS = 5
CELL = 80  # characters


def result_html(result: ScanResult, warnings: Sequence[str] = ()) -> str:
    """Return what was found, what was not judged, and problems of the input."""
    campaigns = [c for c in campaigns_by_harvest(result) if c.suppressed_by is None]
    lines = [f"<p><b>{_text(headline(result), 1000)}</b></p>"]
    if campaigns:
        head = ("campaign", "accounts", "taken", "at alarm", "since", "alarm", "p")
        rows = [
            (
                c.id,
                count(len(c.accounts)),
                count(c.harvest.exchanges),
                count(c.harvest_at_alarm.exchanges),
                moment(start_of(c)),
                moment(c.alarm_at),
                p_value(c.p_value, plain=True),
            )
            for c in campaigns[:ROWS]
        ]
        lines.append(_table(head, rows, len(campaigns)))
        lines.append("<p>A finding is a reason to look. Some of its accounts may be honest.</p>")
    if campaigns and result.leads:
        lines.append(f"<p>{_text(leads_counted(result), 200)}</p>")
    for title, texts in (("Not judged, or only in part", result.judged.why), ("Input", warnings)):
        if texts:
            items = "".join(f"<li>{_text(text, 300)}</li>" for text in texts[:WARNINGS])
            lines.append(f"<p>{title}</p><ul>{items}</ul>")
    return f"<div>{''.join(lines)}</div>"


def table_html(table: pa.Table) -> str:
    """Return the first rows of a table; long texts are cut, lists are counted."""
    rows = [tuple(map(_cell, row.values())) for row in table.slice(0, ROWS).to_pylist()]
    return _table(table.column_names, rows, table.num_rows)


def _table(head: Iterable[str], rows: Sequence[tuple[str, ...]], total: int) -> str:
    top = "".join(f"<th>{_text(name, CELL)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell, CELL)}</td>' for cell in row)}</tr>" for row in rows)
    more = f"<p>{plural(total - len(rows), 'more row')}</p>" if total > len(rows) else ""
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return count(len(value))
    if isinstance(value, datetime):
        return moment(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _text(text: str, limit: int) -> str:
    return escape(visible(text.replace("\u00a0", " "), limit))
