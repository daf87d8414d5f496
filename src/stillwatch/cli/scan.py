"""`stillwatch scan`: parse the arguments, run, print."""

import math
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stillwatch.api.result import ScanReport
from stillwatch.api.scanning import scan
from stillwatch.cases.evidence import inputs_of
from stillwatch.cases.fold import fold
from stillwatch.cli.case_opening import AuditKey, WitnessFile, new_cases
from stillwatch.cli.case_text import words_of
from stillwatch.cli.options import AS_CALLED, LogPlaces, NameOptions, key_in
from stillwatch.cli.verb import verb
from stillwatch.engine.named import DEFAULT
from stillwatch.errors import InputError, StillwatchError, refuse_os_errors
from stillwatch.exchanges.database import is_database
from stillwatch.exchanges.documents import DOCUMENTS_CPU_S
from stillwatch.exchanges.sources import local_files
from stillwatch.report.amounts import plural
from stillwatch.report.findings import FOLDER
from stillwatch.report.terminal import print_result, progress
from stillwatch.scan.explanations import SHORT
from stillwatch.scan.settings import DetectionSettings
from stillwatch.units import utc_us

KEY_VARIABLE = "STILLWATCH_KEY_FILE"
FOUND, REJECTED, NOT_JUDGED, INTERRUPTED = 1, 3, 4, 130  # 128 + SIGINT, as shells count


def scan_command(
    ctx: typer.Context,
    logs: LogPlaces,
    accounts: Annotated[
        Path | None, typer.Option(help="Accounts table (Parquet, JSONL or CSV): sharpens the result.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = FOLDER,
    json: Annotated[bool, typer.Option("--json", help="Print findings.json instead of the table.")] = False,
    fail_on_campaign: Annotated[bool, typer.Option(help="Exit with 1 when a campaign was found.")] = False,
    false_cases: Annotated[
        float,
        typer.Option(
            help="False-positive budget: false cases you accept per 10,000 account-days.", min=0.001, max=100
        ),
    ] = 1.0,
    short_answers: Annotated[
        int,
        typer.Option(
            help="Tokens: groups with shorter answers stay leads; 0 if short answers are valuable, too.",
            min=0,
            max=4_096,
        ),
    ] = SHORT,
    assume_utc: Annotated[bool, typer.Option(help="Treat times without a zone as UTC.")] = False,
    names: NameOptions = AS_CALLED,
    keep_text: Annotated[
        bool, typer.Option(help="Keep the text of rejected lines in the dead-letter file.")
    ] = False,
    key_file: Annotated[
        Path | None, typer.Option(help="Key for the sketches, at least 16 bytes.", envvar=KEY_VARIABLE)
    ] = None,
    known_pool: Annotated[
        list[Path] | None,
        typer.Option(
            help="Sketch of a public set of prompts (stillwatch pool); give several times for several."
        ),
    ] = None,
    networks: Annotated[
        list[Path] | None,
        typer.Option(help="Table of networks: gives addresses their asn; several times for several files."),
    ] = None,
    document_cpu: Annotated[
        float, typer.Option(help="CPU seconds for PDF and Office files in requests.", min=0)
    ] = DOCUMENTS_CPU_S,
    threads: Annotated[int, typer.Option(help="Threads.", min=1, max=64)] = min(2, os.cpu_count() or 1),
    engine: Annotated[
        str,
        typer.Option(help="Where its SQL runs: duckdb, clickhouse, spark or spark:MASTER; same findings."),
    ] = DEFAULT,
    cases: Annotated[
        str | None, typer.Option(help="Add findings to cases at this URL: sqlite:///PATH or postgresql://…")
    ] = None,
    audit_key: AuditKey = None,
    audit_witness: WitnessFile = None,
) -> None:
    """Find the campaigns in a log: which accounts extract the model, since when, and how much they took.

    $ stillwatch scan logs/*.parquet
    $ stillwatch scan logs/ --accounts accounts.csv --out report
    $ stillwatch scan log.csv --map time=when_utc --map account=tenant_name --map prompt=user_message_text
    $ stillwatch scan stillwatch-serve    (a gateway's folder, under its own key)
    $ stillwatch scan logs/ --cases sqlite:///cases/cases.db    (findings become cases: stillwatch case)
    $ stillwatch scan logs/ --known-pool math.pool --known-pool alpaca.pool    (made by stillwatch pool)
    $ stillwatch scan logs/ --networks ip2asn-combined.tsv.gz    (tells offices from rented servers)
    $ stillwatch scan api.jsonl.gz --json | jq '.campaigns[].accounts'
    $ stillwatch scan logs/ --engine spark:spark://head:7077    (needs stillwatch[spark]; docs/engine.md)
    $ stillwatch scan postgresql://reader@db.example/litellm    (LiteLLM's own database; #TABLE for another)

    Exit codes: 0 scanned; 3 scanned, but lines were rejected or values left empty; 4 could not judge: nothing
    was found, but the log lacks texts, models or accounts, or a group can only be judged with --accounts; 2
    could not scan; 1 only with --fail-on-campaign, if a campaign was found.
    """
    errors = Console(stderr=True)
    source = "a database" if is_database(logs[0]) else Path(logs[0]).name or "a log"  # named in exports
    logs = list(map(str, ctx.with_resource(local_files(logs))))
    if not math.isfinite(false_cases):  # nan is in no range, and click accepts it
        raise InputError(f"--false-cases is {false_cases}; give a number from 0.001 to 100")
    pools = tuple(map(str, known_pool or ()))
    dials: dict[str, Any] = {"false_cases_per_10k_account_days": false_cases}
    dials["short_answer_tokens"] = short_answers
    settings = DetectionSettings(known_pools=pools, **dials)
    key = None if key_file is None else key_in(key_file)
    dead_letters = out / "rejected.jsonl"
    _prepare(out, dead_letters)
    if cases is not None:
        with new_cases(cases, audit_key, audit_witness):
            pass  # fail before hours of scanning, not after
    try:
        with progress(errors, quiet=json) as tell:
            result = scan(
                logs,
                accounts,
                columns=names.columns,
                settings=settings,
                key=key,
                assume_utc=assume_utc,
                threads=threads,
                engine=engine,
                progress=tell,
                rejected=dead_letters,
                keep_text=keep_text,
                networks=networks or (),
                document_cpu_s=document_cpu,
            )
    except KeyboardInterrupt:
        errors.print(f"interrupted: {out} holds no report of this scan", markup=False, highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    rejects = result.rejects
    page, unwritten = _write(result, out)
    folded = None
    unfolded: StillwatchError | None = None
    if cases is not None:  # before printing: the reader of a pipe may stop early, like `| head`
        beside = {"accounts": [] if accounts is None else [accounts], "networks": networks or []}
        kept_settings: dict[str, object] = dict(dials)
        kept_settings |= {name: [path.name for path in paths] for name, paths in beside.items() if paths}
        try:
            read = inputs_of([*logs, *beside["accounts"], *beside["networks"]])
            with new_cases(cases, audit_key, audit_witness) as store:
                folded = fold(
                    store, result.scan, utc_us(), f"scan of {source}", inputs=read, settings=kept_settings
                )
        except StillwatchError as why:
            unfolded = why
    if json:
        print(result.to_json(), end="")
    else:
        print_result(result.scan, Console(), page)
    if folded is not None:
        errors.print(words_of(folded), markup=False, highlight=False)
    if unfolded is not None:
        raise unfolded
    if result.totals.rejected:
        errors.print(f"{plural(result.totals.rejected, 'line')} rejected; see {dead_letters}", markup=False)
    if rejects.mended:
        errors.print(f"{plural(rejects.mended, 'value')} left empty; see {dead_letters}", markup=False)
    if rejects.unwritten:
        errors.print(f"{dead_letters}: cannot be written: {rejects.unwritten}; it is not whole", markup=False)
    if unwritten is not None:
        raise unwritten
    if fail_on_campaign and any(c.suppressed_by is None for c in result.campaigns):
        raise typer.Exit(FOUND)
    if result.could_not_judge:  # more serious than rejected lines
        raise typer.Exit(NOT_JUDGED)
    if result.totals.rejected or rejects.mended:
        raise typer.Exit(REJECTED)


def _write(result: ScanReport, out: Path) -> tuple[Path | None, InputError | None]:
    """Write the report's files. If the disk is full, only the files are lost, not the findings."""
    try:
        return result.report(out), None
    except InputError as error:
        return None, InputError(f"{error}; what was found stands above; give another --out")


def _prepare(out: Path, dead_letters: Path) -> None:
    """Create the folder before any work, and remove dead letters of an earlier scan."""
    with refuse_os_errors(InputError, f"{out}: cannot hold the report", "give another --out"):
        out.mkdir(parents=True, exist_ok=True)
        dead_letters.unlink(missing_ok=True)


def register(app: typer.Typer) -> None:
    """Add this command to the top of the command line."""
    verb(app, "scan")(scan_command)
