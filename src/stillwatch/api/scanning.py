"""`stillwatch.scan(...)`: one call from logs to a result. The command line uses it too."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path as FilePath
from typing import Any

from stillwatch.api import Log, Path, Table
from stillwatch.api.exchanges import aware, gateways, key_of, logs_of, table_of
from stillwatch.api.result import ScanReport
from stillwatch.engine.named import DEFAULT
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.exchanges import mapping
from stillwatch.exchanges.documents import DOCUMENTS_CPU_S
from stillwatch.exchanges.networks import read_networks, unusable_lines
from stillwatch.exchanges.rejects import Rejects
from stillwatch.gateway.control.holds import schedules_in
from stillwatch.report.losses import losses
from stillwatch.scan.pipeline import Options, run, silent
from stillwatch.scan.settings import DetectionSettings

MOST_THREADS = 64


def scan(
    logs: Log,
    accounts: Path | Table | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    settings: DetectionSettings | None = None,
    key: bytes | None = None,
    assume_utc: bool = False,
    threads: int | None = None,
    engine: str = DEFAULT,
    now: datetime | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
    rejected: Path | None = None,
    keep_text: bool = False,
    networks: Sequence[Path] = (),
    document_cpu_s: float = DOCUMENTS_CPU_S,
) -> ScanReport:
    """Find the campaigns in a log: which accounts extract the model, since when, and how much they took.

    The same log gives the same findings in any order, with any number of threads and on any engine.

    Arguments:
        logs: A path, folder or pattern; several of them; or a table that speaks Arrow (pyarrow, pandas 2.2,
            polars, DuckDB), or an iterable of tables. Its columns are those of the exchange record or their
            aliases (docs/exchanges.md): time, account and prompt are required; model, max_tokens and
            temperature make groups detectable. A gateway's folder is read under its own key, with its holds.
        accounts: The accounts table as a path or table: account, org, created, tier, country, email_domain,
            payment, declared_use, permissions. Without it many groups stay leads.
        columns: Maps fields of the record to the log's columns: {"account": "tenant_name"}.
        settings: The false-positive budget and the constants of detection.
        key: Secret for the sketches of texts, at least 16 bytes. Another key keeps other shingles of long
            texts, so findings can differ at their edges: on the sample by one account of 114.
        assume_utc: Treat times without a zone as UTC. Otherwise such rows are rejected.
        threads: From 1 to 64. Default: two, or one on a machine with one core.
        engine: Where the SQL of the scan runs: duckdb, clickhouse, spark, or spark:MASTER (docs/engine.md).
        now: Times more than five minutes after it are rejected. Default: the present.
        progress: Called as progress(stage, done, total or None). An exception that it raises ends the scan.
        rejected: File for rows that cannot be used, one JSON object a line. Without it they are only counted.
        keep_text: Write the raw bytes of such rows to that file, too.
        networks: Files of a network table (docs/exchanges.md) that gives the `asn` of addresses without one.
            Accounts that openly share a network are not a pool.
        document_cpu_s: CPU seconds for PDF and Office files in requests, shared out so that no account uses
            up the time of the others (docs/exchanges.md).

    Rows that cannot be used are counted in `ScanReport.warnings`.

    Raises: InputError if no row is usable, a setting is invalid, or the input is not a log; StillwatchError
    if the engine does not start.
    """
    logs_found = logs_of(logs)
    network_table = read_networks(networks) if networks else None
    options = options_of(
        settings,
        threads=threads,
        engine=engine,
        key=key_of(logs_found, key),
        assume_utc=assume_utc,
        now=None if now is None else aware(now, "now"),
        keep_text=keep_text,
        columns=mapping.from_names(columns),
        held=tuple(schedule for folder in gateways(logs_found) for schedule in schedules_in(folder.state)),
        networks=network_table,
        document_cpu_s=document_cpu_s,
    )
    table = None if accounts is None else table_of(accounts, "accounts table")
    place = None if rejected is None else _without_earlier_rows(FilePath(os.fspath(rejected)))
    with Rejects(place, keep_text=keep_text) as rejects:
        result = run(logs_found, accounts=table, rejects=rejects, options=options, tell=progress or silent)
    sentences = losses(rejects, result.scanned.exchanges, "" if place is None else place.name)
    sentences += () if network_table is None else unusable_lines(network_table)
    result = replace(result, cannot_claim=(*sentences, *result.cannot_claim))
    return ScanReport(result, settings or DetectionSettings(), rejects)


def _without_earlier_rows(place: FilePath) -> FilePath:
    """Remove rejected rows of an earlier scan from the file."""
    with refuse_os_errors(InputError, f"rejected: {place} cannot be written"):
        place.unlink(missing_ok=True)
    return place


def options_of(settings: object, *, threads: object = None, engine: object = DEFAULT, **how: Any) -> Options:
    """Return a scan's settings and how it is run.

    Raises: InputError for invalid settings, number of threads or engine name.
    """
    settings = DetectionSettings() if settings is None else settings
    if not isinstance(settings, DetectionSettings):
        raise InputError(f"settings: is a {type(settings).__name__}; right would be stillwatch.Settings(...)")
    threads = min(2, os.cpu_count() or 1) if threads is None else threads
    if not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
        raise InputError(f"threads: is {threads!r}; give a number from 1 to {MOST_THREADS}")
    if not isinstance(engine, str):
        raise InputError(f"engine: is {engine!r}; give a name such as {DEFAULT!r}")
    decides = {setting.name: getattr(settings, setting.name) for setting in fields(DetectionSettings)}
    return Options(**decides, threads=threads, engine=engine, **how)
