"""A whole log in memory without its texts: one row per exchange, in event time, each exchange once.

Sixteen million exchanges take 0.7 GB of memory and 4.0 GB of temporary files.
"""

import ipaddress
import re
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges import RECORD, ids, sketched
from stillwatch.exchanges.column_file import IN_MEMORY_ROWS, ColumnFile, is_mapped, put_in_order, trim_heap
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.text.keyed import M1

Columns = dict[str, np.ndarray]

# how an answer ended: complete, cut, refused, by a tool call; 0 not recorded, 5 another way
FINISH = {"stop": 1, "end_turn": 1, "stop_sequence": 1, "eos": 1, "completed": 1}
FINISH |= {"complete": 1, "finish": 1}  # Cohere's and Titan's names
FINISH |= {"length": 2, "max_tokens": 2, "incomplete": 2}
FINISH |= {"refusal": 3, "content_filter": 3, "content_filtered": 3, "guardrail_intervened": 3}
FINISH |= {"tool_calls": 4, "tool_use": 4, "function_call": 4}

# column -> (dtype, the value for null); values out of the dtype's range are clipped
NUMBERS: dict[str, tuple[type, int]] = {
    "turn": (np.int32, 0),
    "asn": (np.int32, -1),
    "tools": (np.int32, -1),
    "input_tokens": (np.int32, -1),
    "output_tokens": (np.int32, -1),
    "reasoning_tokens": (np.int32, -1),
    "max_tokens": (np.int32, -1),
    "n": (np.int32, -1),
    "top_logprobs": (np.int32, -1),
    "latency_ms": (np.int32, -1),
    "status": (np.int16, 200),
}
RECORD_NAMES = frozenset(RECORD.names)
STEP = 16  # a full column grows by one part in so many
MATRICES = ("phrases", "system_phrases", "content")  # columns with several values per row
PASSAGES = ("answered", "brought")  # the same, in logs with completions only
# read once from end to end, or a few rows at a time: in a longer log these go to temporary files
SELDOM_READ = frozenset((
    *MATRICES, *PASSAGES, "head", "tail", "system", "end_user", "turn", "asn", "tools", "input_tokens",
    "reasoning_tokens", "n", "top_logprobs", "latency_ms", "top_p_milli", "stream", "json_format", "finish",
    "cell", "classes", "words", "max_tokens", "temperature_milli",
))  # fmt: skip
CODED = ("account", "model", "user_agent", "client_ip")
CODED_AS = {"account": "account", "model": "model", "agent": "user_agent", "net": "client_ip"}
BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
IPV4 = re.compile(rf"{BYTE}(?:\.{BYTE}){{3}}", re.ASCII)  # as `ipaddress` takes it, which is ten times slower


@dataclass(frozen=True)
class ExchangeLog:
    """Columns of equal length, sorted by time and then by exchange id, and the names behind the codes."""

    columns: dict[str, np.ndarray]
    phrases: np.ndarray  # (n, k) uint32
    system_phrases: np.ndarray  # (n, j) uint32
    accounts: tuple[str, ...]
    models: tuple[str, ...]
    has: frozenset[str]  # optional columns with at least one value
    duplicates: int  # exchanges seen more than once, kept once
    content: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint32))  # (n, i) content words
    agents: tuple[str, ...] = ()
    conflicts: int = 0  # duplicates whose prompt differs from the one kept
    # passages of answers and of their requests; no rows if no exchange has a completion
    answered: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint32))  # (n, j)
    brought: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint32))  # (n, k)

    def __len__(self) -> int:
        return len(self.columns["ts_us"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def before(self, until_us: int) -> "ExchangeLog":
        """Return the exchanges before a time as a view. Accounts, models and agents keep their codes."""
        end = int(np.searchsorted(self["ts_us"], until_us))
        columns = {name: column[:end] for name, column in self.columns.items()}
        matrices = {name: getattr(self, name)[:end] for name in (*MATRICES, *PASSAGES)}
        return replace(self, columns=columns, **matrices)

    def table(self) -> pa.Table:
        """Return the columns as one Arrow table for the SQL engines, with each row's `place` in the log.

        Shingles and content words are left out. Hashes are signed, since not every engine has unsigned
        integers.
        """
        columns = {
            name: pa.array(column.view(np.int64) if column.dtype == np.uint64 else column)
            for name, column in self.columns.items()
            if name != "id"
        }
        return pa.table({"place": pa.array(np.arange(len(self), dtype=np.int32)), **columns})


class GrowingColumns:
    """Columns that grow in place as batches come, so that they never exist twice.

    Beyond IN_MEMORY_ROWS the SELDOM_READ ones move into files: six sevenths of a log.
    """

    def __init__(self) -> None:
        self.columns: Columns = {}
        self.length = 0
        self._files: dict[str, ColumnFile] = {}

    def add(self, part: Columns) -> None:
        end = self.length + len(part["ts_us"])
        for name, values in part.items():
            self.columns.setdefault(name, np.empty((0, *values.shape[1:]), values.dtype))
        for name, column in self.columns.items():
            if end > IN_MEMORY_ROWS and name in SELDOM_READ and name not in self._files:
                self._files[name] = ColumnFile(column)
                self._files[name].write(column[: self.length], 0)
                column.resize((0, *column.shape[1:]), refcheck=False)
            if name in self._files:
                if name in part:
                    self._files[name].write(part[name], self.length)
                continue
            if end > len(column):
                room = end + end // STEP  # the system moves pages, not bytes, when a large array grows
                column.resize((room, *column.shape[1:]), refcheck=False)  # filled with 0
            if name in part:
                column[self.length : end] = part[name]
        self.length = end

    def whole(self) -> Columns:
        for name, column in self.columns.items():  # in a fixed order, by which rows are told apart
            if name in self._files:
                self.columns[name] = self._files[name].whole(self.length)
            else:
                column.resize((self.length, *column.shape[1:]), refcheck=False)
        return self.columns


class Codes:
    """Strings to dense numbers in order of first occurrence; renumbered by name when the log is closed."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}

    def encode(self, column: pa.Array, transform: Callable[[str], str | None] | None = None) -> np.ndarray:
        coded = column.dictionary_encode()
        names = coded.dictionary.to_pylist()
        index = self.index
        codes = np.empty(len(names) + 1, np.int32)
        for i, name in enumerate(names):
            value = transform(name) if transform else name
            codes[i] = -1 if value is None else index.setdefault(value, len(index))
        codes[-1] = -1
        places = coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
        return codes[places]

    def by_name(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the names in order, and the new code of each old one (the last entry stays -1)."""
        names = sorted(self.index)
        remap = np.full(len(names) + 1, -1, np.int32)
        for new, name in enumerate(names):
            remap[self.index[name]] = new
        return tuple(names), remap


def network(address: str) -> str | None:
    """Return the /24 (IPv4, mapped or not) or /48 (IPv6) of an address, or None if it is not one.

    >>> network("192.0.2.17"), network("2001:db8:1:2::9"), network("unknown")
    ('192.0.2', '2001:db8:1', None)
    """
    if IPV4.fullmatch(address):
        return address.rpartition(".")[0]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return ":".join(f"{int(parsed) >> shift & 0xFFFF:x}" for shift in (112, 96, 80))
        parsed = parsed.ipv4_mapped
    return str(parsed).rpartition(".")[0]


def build(batches: Iterable[pa.RecordBatch], sketcher: Sketcher, *, threads: int = 2) -> ExchangeLog:
    """Read batches of the exchange record into a log; texts are sketched and then released.

    Batches are sketched on `threads` threads while the next ones are read. The result does not depend on the
    number of threads, the order of the exchanges or the batches.
    """
    columns = GrowingColumns()
    codes = {name: Codes() for name in CODED}
    has: set[str] = set()
    waiting: deque[Future[Columns]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            has |= filled_columns(batch)
            waiting.append(pool.submit(columns_of, batch, encode_batch(batch, codes), sketcher))
            while len(waiting) > threads:  # waiting texts are most of the memory that reading takes
                columns.add(waiting.popleft().result())
        while waiting:
            columns.add(waiting.popleft().result())
    pa.default_memory_pool().release_unused()  # memory of texts
    trim_heap()
    return close_log(columns.whole(), codes, frozenset(has))


def filled_columns(batch: pa.RecordBatch) -> set[str]:
    """Return the record's columns that have at least one value."""
    names = RECORD_NAMES & set(batch.schema.names)
    return {name for name in names if batch.column(name).null_count < batch.num_rows}


def encode_batch(batch: pa.RecordBatch, codes: dict[str, Codes]) -> Columns:
    """Return a batch's coded columns; new names get the next codes."""
    return {
        "account": codes["account"].encode(batch.column("account")),
        "model": codes["model"].encode(batch.column("model").fill_null("")),
        "agent": codes["user_agent"].encode(batch.column("user_agent")),
        "net": codes["client_ip"].encode(batch.column("client_ip"), network),
    }


def identities(batch: pa.RecordBatch, sketcher: Sketcher) -> np.ndarray:
    """Return (rows,) uint64, the identity of each exchange: its id, account and time. Never 0.

    The id alone is not enough: a client may choose it (X-Request-ID, x-litellm-call-id), and one id on all
    its requests would reduce a campaign to one exchange; files that number their rows all begin with 1. The
    upper half is the id's own, so that simultaneous exchanges are sorted by id.
    """
    exchange_id = batch.column("exchange_id")
    if exchange_id.null_count:
        exchange_id = pc.coalesce(exchange_id, ids.derive(batch))
    account = batch.column("account").dictionary_encode()
    names = account.dictionary if len(account.dictionary) else pa.array([""])
    who = sketcher.hashes(names)[account.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    when = batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.uint64)
    mixed = who ^ (when * M1)
    mixed ^= mixed >> np.uint64(29)
    mixed *= M1
    keys = sketcher.hashes(exchange_id) ^ (mixed >> np.uint64(32))
    keys[keys == 0] = 1
    return keys


def columns_of(batch: pa.RecordBatch, coded: Columns, sketcher: Sketcher) -> Columns:
    """Return one batch's columns of a log, its texts sketched; `coded` as returned by `encode_batch`."""
    part: Columns = {
        "ts_us": batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False),
        "id": identities(batch, sketcher),
        **coded,
        "end_user": _short(sketcher.hashes(batch.column("end_user"))),
        "conversation": _short(sketcher.hashes(batch.column("conversation"))),
    }
    for name, (dtype, null) in NUMBERS.items():
        values = pc.fill_null(batch.column(name), null).to_numpy(zero_copy_only=False)
        limits = np.iinfo(dtype)
        part[name] = np.clip(values, limits.min, limits.max).astype(dtype)
    for name in ("temperature", "top_p"):
        values = pc.fill_null(batch.column(name), -0.001).to_numpy(zero_copy_only=False)
        bounded = np.clip(np.nan_to_num(values, nan=-0.001), -0.001, 1000.0)
        part[f"{name}_milli"] = np.rint(bounded * 1000).astype(np.int32)
    stream = batch.column("stream").cast(pa.int8())
    part["stream"] = pc.fill_null(stream, -1).to_numpy(zero_copy_only=False).astype(np.int8)
    shape = pc.fill_null(pc.match_substring(batch.column("response_format"), "json"), False)
    part["json_format"] = shape.to_numpy(zero_copy_only=False).astype(np.int8)
    finish = batch.column("finish_reason").dictionary_encode()
    kinds = [FINISH.get(str(name).lower(), 5) for name in finish.dictionary.to_pylist()]
    lookup = np.array([*kinds, 0], np.int8)
    part["finish"] = lookup[finish.indices.fill_null(len(kinds)).to_numpy(zero_copy_only=False)]
    if sketched.is_sketched(batch.schema):
        return part | sketched.of_columns(batch)
    return part | sketched.of_texts(batch, sketcher)


def _short(wide: np.ndarray) -> np.ndarray:
    """Return the low half of each hash; 0 stays reserved for missing values."""
    low = wide.astype(np.uint32)
    low[(low == 0) & (wide != 0)] = 1
    return low


def close_log(columns: Columns, codes: dict[str, Codes], has: frozenset[str]) -> ExchangeLog:
    """Sort columns in place into a log, each exchange once; codes become positions in sorted names."""
    if not columns:
        no_phrases = np.zeros((0, 1), np.uint32)
        return ExchangeLog({"ts_us": np.zeros(0, np.int64)}, no_phrases, no_phrases, (), (), has, 0)
    names = {name: code.by_name() for name, code in codes.items()}
    for name, source in CODED_AS.items():
        columns[name][:] = names[source][1][columns[name]]
    total = len(columns["ts_us"])
    order = _order(columns)
    first = _first_seen(columns["id"], order)
    conflicts = _other_prompts(columns["exact"], order, first)
    order = order[first]
    rows = len(order)
    if rows < total or (np.diff(order) != 1).any():
        # one column at a time, and one of the phrases at a time, to limit what exists twice
        for name, column in columns.items():
            if is_mapped(column):
                columns[name] = put_in_order(column, order)
                continue
            for flat in [column] if column.ndim == 1 else column.T:
                flat[:rows] = flat[order]
            column.resize((rows, *column.shape[1:]), refcheck=False)
    by_code = {name: names_by_code for name, (names_by_code, _) in names.items()}
    return log_of(columns, by_code, has, duplicates=total - rows, conflicts=conflicts)


def log_of(
    columns: Columns,
    names: dict[str, tuple[str, ...]],
    has: frozenset[str],
    *,
    duplicates: int = 0,
    conflicts: int = 0,
) -> ExchangeLog:
    """Make a log of ordered columns, emptying `columns`. names: of each of CODED, by code."""
    phrases, system_phrases, content = (columns.pop(name) for name in MATRICES)
    passages = {name: columns.pop(name) for name in PASSAGES if name in columns}
    return ExchangeLog(
        columns,
        phrases,
        system_phrases,
        names["account"],
        names["model"],
        has,
        duplicates,
        content,
        names["user_agent"],
        conflicts,
        **passages,
    )


def _order(columns: Columns) -> np.ndarray:
    """Return rows by time, then id, then content, the longest prompt first.

    If two exchanges claim one id, input order must not decide, and a copy that was cut or has no text is not
    the one to keep.
    """
    ts, keys = columns["ts_us"], columns["id"]
    order = np.argsort(ts, kind="stable").astype(np.int32 if len(ts) < 2**31 else np.int64)
    tied = _runs(ts[order])
    rows = order[tied]
    order[tied] = rows[np.lexsort((keys[rows], ts[rows]))]
    tied = tied[_runs(ts[order[tied]], keys[order[tied]])]
    rows = order[tied]
    order[tied] = rows[
        np.lexsort((_contents(columns, rows), -columns["words"][rows].astype(np.int64), keys[rows], ts[rows]))
    ]
    return order


def _runs(*sorted_columns: np.ndarray) -> np.ndarray:
    """Return positions whose values equal a neighbour's."""
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in sorted_columns])
    return np.flatnonzero(np.r_[same, False] | np.r_[False, same])


def _contents(columns: Columns, rows: np.ndarray) -> np.ndarray:
    """Return (rows,) uint64, a hash of everything known about each row."""
    state = np.zeros(len(rows), np.uint64)
    for column in columns.values():
        for flat in [column] if column.ndim == 1 else column.T:
            state = (state ^ flat[rows].astype(np.uint64)) * M1
            state ^= state >> np.uint64(32)
    return state


def _other_prompts(exact: np.ndarray, order: np.ndarray, first: np.ndarray) -> int:
    """Return how many of the rows left out have a prompt that differs from that of the row kept."""
    if first.all():
        return 0
    at = np.arange(len(order))
    kept_rows = order[np.maximum.accumulate(np.where(first, at, 0))]  # rows of one id are adjacent
    other = exact[order]
    return int(np.sum(~first & (other != exact[kept_rows]) & (other != 0)))


def _first_seen(keys: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return (rows,) bool, in the given order: whether a row is the first with its key. Keys are never 0."""
    taken = np.zeros(1 << max(10, int(2 * len(order) - 1).bit_length()), np.uint64)
    first = np.ones(len(order), np.bool_)
    kernels.first_seen(keys, order.astype(np.int64), len(order), taken, len(taken), first)
    return first
