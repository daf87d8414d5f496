"""SQL for other views of cases and exchanges. Each query is recorded."""

from starlette.responses import Response

from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, as_csv, as_json
from stillwatch.console.query import MOST_ROWS
from stillwatch.console.sql import LIMIT_MS, QueryResult, distinct_names

EXAMPLE = "SELECT id, title, exchanges, members FROM cases WHERE state <> 'closed' ORDER BY exchanges DESC"


def show(request: PageRequest) -> Shown:
    """Show the form."""
    return _sql_page(request, EXAMPLE, None)


def ask(request: PageRequest) -> Shown | Response:
    """Record the query and answer it."""
    query = request.form("query", 100_000)
    request.store.look(
        request.user.name, "SQL asked", "cases", {"characters": len(query)}, request.now_us,
        personal={request.user.name: {"query": query[:20_000]}},
    )  # fmt: skip
    answered = _sql_page(request, query, request.desk.snapshots.ask(query))
    form = request.form("format", 10)
    if form == "json":
        return as_json(answered)
    return as_csv(answered, "sql") if form == "csv" else answered


def _sql_page(request: PageRequest, query: str, answer: QueryResult | None) -> Shown:
    names = [] if answer is None else distinct_names(answer.columns)
    rows = [] if answer is None else [dict(zip(names, row, strict=True)) for row in answer.rows]
    data = {
        "query": query,
        "tables": request.desk.snapshots.tables,
        "answer": None if answer is None else {**vars(answer), "rows": rows},
    }
    view = {
        "query": query,
        "answer": answer,
        "tables": request.desk.snapshots.tables,
        "limit_ms": LIMIT_MS,
        "most": MOST_ROWS,
    }
    return Shown("sql.html.j2", "SQL", data, rows, view)
