"""Inspects a log before a scan: formats, filled columns, what is missing and what that costs.

The costs are measured (docs/evidence.md, "What a log lacks").
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError
from stillwatch.exchanges import NEEDED, RECORD, mapping, sketched
from stillwatch.exchanges.documents import unread_text
from stillwatch.exchanges.formats import Refused, own
from stillwatch.exchanges.intake import Intake
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.read import first_record, read, read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.values import Clock, as_time
from stillwatch.scan import Coverage
from stillwatch.scan.coverage import coverage
from stillwatch.scan.parts import TESTED
from stillwatch.scan.pipeline import Options
from stillwatch.units import time_of

TABLE = "accounts table"
COSTS = {  # column -> what cannot be judged without it, the most serious first
    "prompt": "groups by wording and lone payers cannot be judged: only volume and timing are left",
    "model": "the strongest test of a group is lost; where output limit and temperature do not vary either, "
    "groups cannot be judged (exit code 4)",
    "max_tokens": "one of three settings by which groups are tested; without it and temperature half of "
    "the campaigns of a test world were found",
    "temperature": "one of three settings by which groups are tested; see max_tokens",
    TABLE: "no group becomes a finding, because a class or a company looks like a pool: groups stay leads",
    "org": "keys of one firm are not known to be one customer's, so that a firm which runs them on one "
    "server can be named",
    "payment": "accounts behind one instrument are not known to be one payer's, and people who pay nothing "
    "at an event can be named",
    "email_domain": "a class with addresses of its school is not told from a pool",
    "created": "accounts that signed up together are no clue",
    "output_tokens": "what was taken is counted in exchanges only",
    "status": "every exchange counts as answered",
    "client_ip": "shared networks are no clue",
    "asn": "the network of an office or a campus looks like a rented server's: people who share one can be "
    "named by mistake",
    "user_agent": "users of one program look more like one operator",
    "completion": "answers that come back in other accounts' requests are not seen",
    "conversation": "dialogues look more like single questions",
}
OF_ACCOUNTS = ("org", "payment", "email_domain", "created")  # columns of the accounts table
CHOSEN = ("max_tokens", "temperature", "completion", "conversation", *OF_ACCOUNTS)  # missing if no row has it
REMEDIES = {  # settings of the logging software to change: by format and column, then by column
    ("LiteLLM", "prompt"): "log to S3 or another callback; in the database: general_settings."
    "store_prompts_in_spend_logs: true (cut at 2,048 characters)",
    ("OpenTelemetry GenAI", "prompt"): "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true in the "
    "application (TRACELOOP_TRACE_CONTENT=true for Traceloop)",
    ("Kong AI Gateway", "prompt"): "logging.log_payloads: true in the ai-proxy plugin",
    ("AWS Bedrock", "prompt"): "textDataDeliveryEnabled in the logging configuration; the files in data/",
    ("Azure", "prompt"): "log ApiManagementGatewayLlmLog with messages: Azure OpenAI's own logs hold none",
    ("access log in JSON", "prompt"): "put $request_body into the log_format",
    "prompt": "log the request's messages, or name their column: --map prompt=COLUMN (--map messages=COLUMN)",
    TABLE: "--accounts FILE",
    "asn": "--networks FILE looks it up by client_ip in a table of networks (ip2asn-*.tsv.gz of iptoasn.com)",
}  # fmt: skip
GUESS_LIMIT = 60
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class FileFormat:
    file: str  # empty for rows that a format joined across files
    format: str
    version: str | None  # version of the logging software, as recorded in the log
    rows: int


@dataclass(frozen=True)
class MissingColumn:
    column: str
    filled: float  # share of the rows that have it
    costs: str
    remedy: str


@dataclass(frozen=True)
class Inspection:
    files: tuple[FileFormat, ...]
    rows: int
    refused: int
    examples: tuple[str, ...]  # of rejected lines
    whole: bool  # whether the log was read to its end
    filled: Mapping[str, float]  # column -> share of the rows
    missing: tuple[MissingColumn, ...]
    judged: Coverage | None  # None if nothing could be read
    notes: tuple[str, ...] = ()
    # field -> the column from which it was read in the first record
    taken: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()  # of the first record, if it needs a mapping
    proposal: Mapping[str, str] = field(default_factory=dict)  # proposed mapping
    accounts: int = 0
    models: int = 0
    first: datetime | None = None
    last: datetime | None = None


class _RowCounter:
    """Counts batches as they pass; `limit` rows at most, 0 for all."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows = 0
        self.cut = False
        self.filled = dict.fromkeys(RECORD.names[1:], 0)  # a missing id is generated

    def through(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if self.limit and self.rows + batch.num_rows > self.limit:
                batch = batch.slice(0, self.limit - self.rows)
                self.cut = True
            self.rows += batch.num_rows
            for column in self.filled:
                self.filled[column] += _count_filled(batch, column)
            yield batch
            if self.cut:
                return


def _count_filled(batch: pa.RecordBatch | pa.Table, name: str) -> int:
    if name in ("prompt", "system") and sketched.is_sketched(batch.schema):
        exact = batch.column(f"{name}_exact").fill_null(0).to_numpy(zero_copy_only=False)
        return int(np.count_nonzero(exact))
    column = batch.column(name)
    empty = pc.sum(pc.equal(column, "")).as_py() or 0 if pa.types.is_string(column.type) else 0
    return int(batch.num_rows - column.null_count - empty)


def inspect(
    paths: Sequence[str | Path],
    *,
    accounts: Path | None = None,
    options: Options | None = None,
    limit: int = 100_000,
) -> Inspection:
    """Read up to `limit` rows (0: all) and report what they contain.

    Raises: InputError if a path names nothing, or if nothing can be read and no column is recognisable.
    """
    options = options or Options()
    rejects = Rejects()
    clock = Clock(options.now or datetime.now(UTC), options.assume_utc)
    intake = Intake(rejects, clock, needs_texts=False, columns=options.columns)
    counter = _RowCounter(limit)
    table = None
    if accounts is not None:
        table = read_accounts(accounts, rejects=Rejects(), assume_utc=options.assume_utc, now=options.now)
    sketcher = Sketcher(options.key)
    size = min(limit or BATCH_ROWS, BATCH_ROWS)
    batches = read(paths, rejects=rejects, sketcher=sketcher, now=options.now, intake=intake, batch_rows=size)
    try:
        log = build(counter.through(batches), sketcher, threads=options.threads)
    except InputError as error:
        return _unread_inspection(paths, rejects, error, clock)
    if not len(log):
        return _unread_inspection(paths, rejects, InputError("no record could be read"), clock)
    plain = {name for _, name in intake.formats} == {own.FORMAT.name}
    taken = _columns_taken(first_record(paths[0]), options.columns) if plain else {}
    return _inspection(log, intake, counter, rejects, table, taken)


def _columns_taken(record: Mapping[str, object], columns: mapping.Columns) -> dict[str, str]:
    """Field -> the column from which it is read, in a record with names of its own."""
    usual = {field: name for field, name in own.columns_of(list(record)).items() if field not in columns}
    return usual | dict(columns)


def _inspection(
    log: ExchangeLog,
    intake: Intake,
    counter: _RowCounter,
    rejects: Rejects,
    table: pa.Table | None,
    taken: Mapping[str, str],
) -> Inspection:
    alone = np.arange(len(log.accounts))
    untested = [name for name in TESTED.values() if len(np.unique(log[name])) < 2]
    known_accounts = (
        len(set(table.column("account").to_pylist()) & set(log.accounts)) if table is not None else 0
    )
    filled = {name: count / counter.rows for name, count in counter.filled.items()}
    filled[TABLE] = known_accounts / len(log.accounts)
    if known_accounts and table is not None:
        filled_rows = table.filter(pc.is_in(table.column("account"), pa.array(log.accounts)))
        filled |= {name: _count_filled(filled_rows, name) / filled_rows.num_rows for name in OF_ACCOUNTS}
    files = tuple(
        FileFormat(file, name, intake.versions.get((file, name)), rows)
        for (file, name), rows in sorted(intake.formats.items())
    )
    formats = {file_format.format for file_format in files}
    missing = tuple(
        MissingColumn(name, filled[name], costs, _remedy(name, formats))
        for name, costs in COSTS.items()
        if name in filled
        and (not filled[name] if name in CHOSEN else filled[name] < 1)
        and not (name == "prompt" and filled["system"] == 1)
    )
    ts_us = log["ts_us"]
    return Inspection(
        files=files,
        rows=counter.rows,
        refused=rejects.count,
        examples=tuple(rejects.examples),
        whole=not counter.cut,
        filled=filled,
        missing=missing,
        judged=coverage(log, alone, alone, untested),
        notes=_notes(rejects, strangers=table is not None and not known_accounts),
        taken=taken,
        accounts=len(log.accounts),
        models=len([name for name in log.models if name]),
        first=time_of(int(ts_us[0])),
        last=time_of(int(ts_us[-1])),
    )


def _notes(rejects: Rejects, strangers: bool) -> tuple[str, ...]:
    """Describe what was lost. strangers: whether the accounts table has none of the log's accounts."""
    notes = [unread_text(rejects.unread_documents)] if rejects.unread_documents else []
    notes += [hint for hint in (rejects.bodies_hint(), rejects.talks_hint()) if hint]
    if rejects.mended:
        notes.append(
            f"{rejects.mended:,} values could not be read and count as empty, as: {rejects.first_note}"
        )
    if rejects.without_account:
        notes.append(
            f"{rejects.without_account:,} rows name no account and count as their service's: if an attribute "
            "that you set names it, --map account=ATTRIBUTE"
        )
    if rejects.named_by_key:
        notes.append(f"{rejects.named_by_key:,} rows name the account by a live API key: log its id or hash")
    if strangers:
        notes.append(
            "the accounts table names none of the log's accounts: is its account the same identifier?"
        )
    return tuple(notes)


def _remedy(column: str, formats: set[str]) -> str:
    remedies = [f"{name}: {REMEDIES[name, column]}" for name in sorted(formats) if (name, column) in REMEDIES]
    if remedies:
        return "; ".join(remedies)
    if column in OF_ACCOUNTS:
        return f"a column {column} in the accounts table"
    return REMEDIES.get(column, f"log it, or name its column: --map {column}=COLUMN")


def _unread_inspection(
    paths: Sequence[str | Path], rejects: Rejects, error: InputError, clock: Clock
) -> Inspection:
    """Report on a log of which no record could be read: its columns, and a proposed mapping.

    Raises: `why` if no column is recognisable, or if the columns are known and something else is wrong.
    """
    values = mapping.paths_of(first_record(paths[0]))
    columns = own.columns_of(list(values))
    needed = [field for field in NEEDED if field not in columns]
    if not values or not needed:
        raise error
    proposal = {
        field: path
        for field, path in mapping.suggest(tuple(values)).items()
        if field != "time" or _is_time(values[path], clock)
    }
    return Inspection(
        files=(),
        rows=0,
        refused=rejects.count,
        examples=tuple(rejects.examples) or (str(error),),
        whole=True,
        filled={},
        missing=tuple(MissingColumn(name, 0.0, "without it nothing can be scanned", "") for name in needed),
        judged=None,
        taken=columns,
        columns=tuple(islice(values, GUESS_LIMIT)),
        proposal=proposal,
    )


def _is_time(value: object, clock: Clock) -> bool:
    try:
        as_time(value, clock)
    except Refused as error:
        return "has no zone" in str(error)  # a time without a zone: --assume-utc reads it
    return True
