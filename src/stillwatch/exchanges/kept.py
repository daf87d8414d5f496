"""A log that grows as exchanges arrive and drops the oldest: sorted by time, each exchange once.

Its content equals what `log.build` makes of the same exchanges. Beyond some number of rows, rarely read
columns are in temporary files. Rows before the earliest new exchange are not rewritten, in memory or on disk,
so an hour costs only what is new in it.
"""

# mypy: allow-untyped-defs

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError
from stillwatch.exchanges import ids, sketched
from stillwatch.exchanges.column_file import IN_MEMORY_ROWS, ColumnFile, NoRoomError, let_go
from stillwatch.exchanges.log import (
    CODED,
    CODED_AS,
    MATRICES,
    PASSAGES,
    SELDOM_READ,
    Codes,
    Columns,
    ExchangeLog,
    close_log,
    columns_of,
    encode_batch,
    filled_columns,
    identities,
    log_of,
)
from stillwatch.exchanges.row_files import PART_ROWS, RowFile, read_rows, write_rows
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.stats.dealing import deal
from stillwatch.text.kernel import CONTENT
from stillwatch.units import HOUR_US

MANY_PARTS = 64


class KeptLog:
    """Exchanges of some days. `add` takes them in any order; `merged` sorts new ones in.

    `log` is the result of the last merge, `parts` what has come since, in a log's columns with the codes in
    `codes`. Both are read-only, and an earlier `log` must not be used once there is another.

    in_memory_rows: beyond this number, rarely read columns are in temporary files.
    """

    def __init__(self, sketcher: Sketcher, in_memory_rows: int = IN_MEMORY_ROWS) -> None:
        self.sketcher, self._in_memory_rows = sketcher, in_memory_rows
        self.log: ExchangeLog = close_log({}, {}, frozenset())  # without rows
        self.parts: list[Columns] = []
        self.codes = {name: Codes() for name in CODED}
        self.duplicates = 0
        self.forgotten_us = 0  # exchanges before it are no longer held; 0: all are held
        self.no_room_us = 0  # the last `forgotten_us` that was due to a full disk
        # exchanges that arrived from before it, by the hour of their own time
        self.dropped: Counter[int] = Counter()
        self._order: tuple[str, ...] = ()
        self._has: set[str] = set()
        self._ids: np.ndarray | None = None  # of the log, sorted
        self._ids_since = np.zeros(0, np.uint64)  # of the parts, sorted
        self._by_account: tuple[np.ndarray, np.ndarray] | None = None
        self.whole = True  # false while columns are being moved
        self._files: dict[str, ColumnFile] = {}
        self._stored_in: Path | None = None
        self._stored: list[RowFile] = []  # the files in the folder, from the first row on
        self._unchanged = 0  # rows that are the same as stored

    def __len__(self) -> int:
        return len(self.log) + sum(len(part["ts_us"]) for part in self.parts)

    def add(self, batch: pa.RecordBatch) -> Columns:
        """Add a batch, sketched or with texts, and return the new rows as columns.

        Raises: InputError for sketches under another key.
        """
        self._check_whole()
        if sketched.is_sketched(batch.schema):
            sketched.check_key(batch.schema.metadata, self.sketcher, "a batch of exchanges")
        batch = self._new(batch)
        part = columns_of(batch, encode_batch(batch, self.codes), self.sketcher)
        if batch.num_rows:
            self._has |= filled_columns(batch)
            self._order += tuple(name for name in part if name not in self._order)
            self._ids_since = _with_more(self._ids_since, part["id"])
            self.parts.append(part)
            if len(self.parts) > MANY_PARTS:
                self.whole = False
                parts, self.parts = [dict(part_columns) for part_columns in self.parts], []
                self.parts = [_concatenated(parts)]
                self.whole = True
        return part

    @property
    def short_of_disk(self) -> bool:
        """Return whether the oldest exchanges were dropped because the disk was full."""
        return 0 < self.no_room_us == self.forgotten_us

    @property
    def waiting(self) -> int:
        """Return how many exchanges have come since the last merge; these are all in memory."""
        return sum(len(part["ts_us"]) for part in self.parts)

    def merged(self) -> ExchangeLog:
        """Return the log with all new exchanges. If the disk is full, the oldest are dropped."""
        self._check_whole()
        if self.parts:
            self.whole = False
            closed, in_files = None, True
            while closed is None:
                first_us = min(int(part["ts_us"].min()) for part in self.parts)
                cut = int(np.searchsorted(self.log["ts_us"], first_us))
                try:
                    closed = close_log(self._since(cut, in_files), self.codes, frozenset(self._has))
                except NoRoomError:
                    in_files = len(self.log) > 0
                    if in_files:
                        columns = self.columns(self._order)
                        self._drop_first(len(self.log) // 4 + 1, columns)
                        self._set(columns)
                        oldest_us = int(columns["ts_us"][0]) if len(self.log) else first_us
                        self.no_room_us = self.forgotten_us = max(self.forgotten_us, oldest_us)
            self._close(cut, closed)
            if self.short_of_disk:
                columns = self.columns(self._order)
                self._keep_names_of([columns])
                self._set(columns)
        return self.log

    def _since(self, cut: int, in_files: bool) -> Columns:
        """Return the log's rows from `cut` on and all new ones, as new columns, in files if they are many."""
        columns = self.columns(self._order) if cut < len(self.log) else {}
        parts = [{name: column[cut:] for name, column in columns.items()}] if columns else []
        # new dicts, since someone may still read the parts that were handed out
        parts += [dict(part) for part in self.parts]
        rows = sum(len(part["ts_us"]) for part in parts)
        return _concatenated(parts, SELDOM_READ if in_files and rows > self._in_memory_rows else frozenset())

    def _check_whole(self) -> None:
        """Raises: InputError after a merge that was interrupted by Ctrl-C or lack of memory."""
        if not self.whole:
            raise InputError(
                "a merge of exchanges was broken off, and some of them are gone: load the saved state, or "
                "begin anew from the log"
            )

    def rows_of(self, accounts: Iterable[int]) -> np.ndarray:
        """Return the rows of some accounts, by their codes, in the last merged log, in order of time."""
        if self._by_account is None:
            self._by_account = deal(self.log["account"], len(self.log.accounts))
        begin, order = self._by_account
        parts = [order[begin[a] : begin[a + 1]] for a in accounts if a < len(self.log.accounts)]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int32)

    def columns(self, names: Iterable[str]) -> Columns:
        """Return columns of the last merged log, including its phrases."""
        return _columns_of(self.log, names)

    def forget(self, before_us: int) -> None:
        """Drop the exchanges before a time, and the names that only they use."""
        cut = int(np.searchsorted(self.merged()["ts_us"], before_us))
        if cut == 0:
            return
        self.whole = False
        columns = self.columns(self._order)
        self.log = close_log({}, {}, frozenset())
        self._drop_first(cut, columns)
        self.forgotten_us = max(self.forgotten_us, before_us)
        self._keep_names_of([columns])
        self._set(columns)
        self.whole = True

    def _close(self, cut: int, closed: ExchangeLog) -> None:
        """Replace the rows from `cut` on with those of another log."""
        head = {name: column[:cut] for name, column in self.columns(self._order).items()} if cut else {}
        self.log = close_log({}, {}, frozenset())
        self.duplicates += closed.duplicates
        self._unchanged = min(self._unchanged, cut)
        if self._ids is not None:
            self._ids = _with_more(self._ids, self._ids_since)
        self._ids_since = np.zeros(0, np.uint64)
        for column, name in CODED_AS.items():
            recoded = self.codes[name].by_name()[1]
            if column in head and (np.diff(recoded[:-1]) != 1).any():
                head[column] = recoded[head[column]]
        for code in self.codes.values():
            code.index = {name: k for k, name in enumerate(sorted(code.index))}
        tail = _columns_of(closed, self._order)
        del closed
        for name in self._order:
            like = tail[name] if name in tail else head[name]
            head.setdefault(name, np.zeros((cut, *like.shape[1:]), like.dtype))
            tail.setdefault(name, np.zeros((len(tail["ts_us"]), *like.shape[1:]), like.dtype))
        self._write_files(head, tail)
        rows = len(head["ts_us"]) + len(tail["ts_us"])
        for name in self._order:
            file, old, new = self._files.get(name), head.pop(name), tail.pop(name)
            tail[name] = file.view(rows) if file else np.concatenate([old, new]) if len(old) else new
        self.parts = []
        self._set(tail)
        self.whole = True

    def _set(self, columns: Columns) -> None:
        """Make these columns the log."""
        names = {name: tuple(code.index) for name, code in self.codes.items()}
        self.log = log_of(columns, names, frozenset(self._has))
        self._by_account = None

    def _write_files(self, head: Columns, tail: Columns) -> None:
        """Move rarely read columns to files if there are many rows.

        If the disk is full, the oldest rows are dropped: a quarter, or all that do not fit in memory either.
        """
        seldom = [name for name in self._order if name in SELDOM_READ]
        while self._files or len(head["ts_us"]) + len(tail["ts_us"]) > self._in_memory_rows:
            old_rows = len(head["ts_us"])
            try:
                for name in seldom:
                    if name not in self._files:
                        file = ColumnFile(head[name])
                        file.write(head[name], 0)
                        self._files[name] = file
                    self._files[name].write(tail[name], old_rows)
                return
            except NoRoomError:
                rows_left, room = old_rows - old_rows // 4 - 1, self._in_memory_rows - len(tail["ts_us"])
                if rows_left <= max(room, 0) or len(self._files) < len(seldom):
                    rows_left = max(0, min(old_rows, room))  # as many as memory holds without files
                    for name in self._files:
                        head[name] = head[name][old_rows - rows_left :].copy()
                    self._files.clear()
                if old_rows:
                    self._drop_first(old_rows - rows_left, head)
                    self.no_room_us = self.forgotten_us = max(
                        self.forgotten_us, int((head if rows_left else tail)["ts_us"][0])
                    )
                    self._keep_names_of([head, tail])
                if not self._files:
                    return

    def _drop_first(self, rows: int, columns: Columns) -> None:
        """Drop the first rows of the log's columns."""
        rows_left = len(columns["ts_us"]) - rows
        for name in list(columns):
            if name in self._files:
                self._files[name].forget(rows, rows_left)
                columns[name] = self._files[name].view(rows_left)
            elif len(columns[name]) > rows_left:
                columns[name] = columns[name][len(columns[name]) - rows_left :].copy()
        self._ids = None
        self._unchanged = max(self._unchanged - rows, 0)
        self._stored = [
            part for part in (part.without(rows, at) for part, at in _with_places(self._stored)) if part
        ]

    def _keep_names_of(self, parts: list[Columns]) -> None:
        """Drop the names that no row uses, and renumber the others by name."""
        for column, name in CODED_AS.items():
            names = list(self.codes[name].index)
            used = np.unique(np.concatenate([np.unique(part[column]) for part in parts]))
            used = used[used >= 0]
            lookup = np.full(len(names) + 1, -1, np.int32)
            lookup[used] = np.arange(len(used))
            for part in parts:
                part[column] = lookup[part[column]]
            self.codes[name].index = {names[code]: k for k, code in enumerate(used.tolist())}

    def _new(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the exchanges of a batch that are new and not from before the dropped past."""
        given = batch.column("exchange_id")
        if given.null_count:
            given = pc.coalesce(given, ids.derive(batch))
            at = batch.schema.get_field_index("exchange_id")
            batch = batch.set_column(at, batch.schema.field(at), given)
        if self._ids is None:
            self._ids = np.sort(self.log["id"]) if len(self.log) else np.zeros(0, np.uint64)
        keys = identities(batch, self.sketcher)
        is_known = np.zeros(len(keys), bool)
        for known_ids in (self._ids, self._ids_since):
            if len(known_ids):
                at = np.minimum(np.searchsorted(known_ids, keys), len(known_ids) - 1)
                is_known |= known_ids[at] == keys
        is_repeat = np.ones(len(keys), bool)
        is_repeat[np.unique(keys, return_index=True)[1]] = False
        self.duplicates += int((is_known | is_repeat).sum())
        ts = batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False)
        fresh, kept_time = ~(is_known | is_repeat), ts >= self.forgotten_us
        self.dropped.update((ts[fresh & ~kept_time] // HOUR_US).tolist())
        keep = fresh & kept_time
        return batch if keep.all() else batch.filter(pa.array(keep))

    # --- stored and read back ---------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all exchanges as arrays for `restore`, after merging new ones."""
        self.merged()
        description = self._description()
        stored = {f"log.{name}": column for name, column in self.columns(self._order).items()}
        return stored | {"log": np.frombuffer(json.dumps(description).encode(), np.uint8)}

    def _description(self) -> dict[str, object]:
        return {
            "names": {name: sorted(code.index) for name, code in self.codes.items()},
            "has": sorted(self._has),
            "order": list(self.columns(self._order)),
            "duplicates": self.duplicates,
            "forgotten_us": self.forgotten_us,
            "no_room_us": self.no_room_us,
            "dropped": sorted(self.dropped.items()),
            "key": self.sketcher.fingerprint,
        }

    def store(self, folder: Path) -> dict[str, np.ndarray]:
        """Do the same as `arrays`, with the rows in files of a folder, each written once.

        Existing files are not rewritten, except short ones, which are combined into longer ones. Files of an
        earlier state stay until `clean`. Raises: OSError.
        """
        rows_in_log = len(self.merged())
        if folder != self._stored_in:
            self._stored_in, self._stored, self._unchanged = folder, [], 0
        folder.mkdir(exist_ok=True, mode=0o700)
        stored, end = [], 0
        for part, at in _with_places(self._stored):
            if at < self._unchanged:
                stored.append(part.at_most(self._unchanged - at))
                end = at + stored[-1].rows
        while stored and stored[-1].rows < min(2 * (rows_in_log - end), PART_ROWS):
            end -= stored.pop().rows
        columns = self.columns(self._order)
        names = {column: list(self.codes[name].index) for column, name in CODED_AS.items()}
        for first in range(end, rows_in_log, PART_ROWS):
            rows = {name: column[first : first + PART_ROWS] for name, column in columns.items()}
            try:
                stored.append(write_rows(folder, rows, names))
            except OSError:
                for part in stored:
                    if part not in self._stored:  # files of the earlier state are still needed
                        (folder / part.name).unlink(missing_ok=True)
                raise
            let_go(columns.values())
        self._stored, self._unchanged = stored, rows_in_log
        description = self._description() | {"names": {}, "rows": [vars(part) for part in stored]}
        return {"log": np.frombuffer(json.dumps(description).encode(), np.uint8)}

    def clean(self) -> None:
        """Delete files in the folder of `store` that the last state does not name."""
        if self._stored_in is not None:
            needed = {part.name for part in self._stored}
            for path in self._stored_in.iterdir():
                if path.name not in needed:
                    path.unlink(missing_ok=True)

    def restore(self, arrays: dict[str, np.ndarray], place: str, folder: Path | None = None) -> None:
        """Load the result of `arrays`, or of `store` in a folder.

        Raises: InputError if it was stored under another key; `row_files.DAMAGED_ARRAYS` if rows are missing
        or damaged.
        """
        description = json.loads(arrays["log"].tobytes())
        mark = {sketched.FORM: sketched.FORM_NOW, sketched.KEY: description["key"].encode()}
        sketched.check_key(mark, self.sketcher, place)
        self._has, self._order = set(description["has"]), tuple(description["order"])
        if "rows" in description and folder is not None:
            self._read_rows(folder, [RowFile(**part) for part in description["rows"]])
        else:
            for name, names in description["names"].items():
                self.codes[name].index = {value: k for k, value in enumerate(names)}
            if self._order and "content" not in self._order:  # stored by a version without content words
                self._order += ("content",)
                arrays["log.content"] = np.zeros((len(arrays["log.ts_us"]), CONTENT), np.uint32)
            if self._order:
                columns = {name: arrays.pop(f"log.{name}") for name in self._order}
                self._close(0, close_log(columns, self.codes, frozenset(self._has)))
        self.duplicates, self.forgotten_us = description["duplicates"], description["forgotten_us"]
        self.no_room_us = description.get("no_room_us", 0)
        self.dropped = Counter(dict(description.get("dropped", ())))

    def _read_rows(self, folder: Path, parts: list[RowFile]) -> None:
        """Load rows from files, one column of a file at a time."""
        total_rows = sum(part.rows for part in parts)
        columns: Columns = {}
        for part, at in _with_places(parts):
            for name, rows in read_rows(folder, part, self.codes):
                if total_rows > self._in_memory_rows and name in SELDOM_READ:
                    if name not in self._files:
                        self._files[name] = ColumnFile(rows)
                    self._files[name].write(rows, at)
                    continue
                if name not in columns:
                    columns[name] = np.zeros((total_rows, *rows.shape[1:]), rows.dtype)
                columns[name][at : at + part.rows] = rows
        for name, file in self._files.items():
            columns[name] = file.view(total_rows)
        for column, name in CODED_AS.items():
            names, recoded = self.codes[name].by_name()
            self.codes[name].index = {value: k for k, value in enumerate(names)}
            if column in columns:
                columns[column] = recoded[columns[column]]
        if parts:
            self._keep_names_of([columns])  # a file includes those of its dropped rows
            self._set({name: columns[name] for name in self._order})
        self._stored_in, self._stored, self._unchanged = folder, parts, total_rows


def _columns_of(log: ExchangeLog, names: Iterable[str]) -> Columns:
    """Return columns of a log, including its matrices."""
    of_log = (*MATRICES, *PASSAGES)
    return {
        name: getattr(log, name) if name in of_log else log[name]
        for name in names
        if name not in PASSAGES or len(getattr(log, name))
    }


def _with_more(ordered: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Insert keys into sorted values."""
    added = np.sort(keys)
    return np.insert(ordered, np.searchsorted(ordered, added), added)


def _with_places(parts: list[RowFile]) -> Iterable[tuple[RowFile, int]]:
    """Yield parts of a log, each with the position of its first row."""
    at = 0
    for part in parts:
        yield part, at
        at += part.rows


def _concatenated(parts: list[Columns], in_files: frozenset[str] = frozenset()) -> Columns:
    """Concatenate sets of columns, emptying them on the way: only one column at a time exists twice.

    in_files: columns to keep out of memory. Raises: NoRoomError.
    """
    lengths = [len(part["ts_us"]) for part in parts]
    columns: Columns = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        like = next(part[name] for part in parts if name in part)
        file = ColumnFile(like) if name in in_files else None
        if file is None:
            columns[name] = np.zeros((sum(lengths), *like.shape[1:]), like.dtype)
        end = 0
        for part, length in zip(parts, lengths, strict=True):
            end += length
            if name in part:  # only parts with completions have passages
                rows = part.pop(name)
                if file is None:
                    columns[name][end - length : end] = rows
                else:
                    file.write(rows, end - length)
        if file is not None:
            columns[name] = file.whole(end)
    return columns


def batches_of(given: pa.Table | pa.RecordBatch | Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Return a table, a batch or several batches as batches."""
    if isinstance(given, pa.RecordBatch):
        return [given]
    if isinstance(given, pa.Table):
        return given.combine_chunks().to_batches()
    return given
