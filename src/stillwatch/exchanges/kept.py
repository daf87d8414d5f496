"""A log that grows as exchanges arrive and forgets the oldest: sorted by time, each exchange once.

What it gives is what `log.build` would give of the exchanges it holds. It does not know who asks for it.
"""

# mypy: allow-untyped-defs

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError
from stillwatch.exchanges import ids, sketched
from stillwatch.exchanges.log import (
    CODED,
    CODED_AS,
    MATRICES,
    PASSAGES,
    Codes,
    Columns,
    ExchangeLog,
    close_log,
    columns_of,
    encode_batch,
    filled_columns,
    identities,
)
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.stats.dealing import deal
from stillwatch.text.kernel import CONTENT
from stillwatch.units import HOUR_US

MANY_PARTS = 64


class KeptLog:
    """Exchanges of some days. `add` takes them in any order; `merged` sorts in what has come since.

    `log` is what was merged last, `parts` what has come since, in the columns of a log whose codes are those
    of `codes`; both are to be read only.
    """

    def __init__(self, sketcher: Sketcher) -> None:
        self.sketcher = sketcher
        self.log: ExchangeLog = close_log({}, {}, frozenset())
        self.parts: list[Columns] = []
        self.codes = {name: Codes() for name in CODED}
        self.duplicates = 0
        self.forgotten_us = 0  # what was before it is not held any more; 0: everything is
        # exchanges that came from before it, by the hour of their own time
        self.dropped: Counter[int] = Counter()
        self._order: tuple[str, ...] = ()
        self._has: set[str] = set()
        self._ids: np.ndarray | None = None  # of the log, sorted
        self._ids_since: set[int] = set()  # of the parts
        self._by_account: tuple[np.ndarray, np.ndarray] | None = None
        self._whole = True  # not while columns are moved from one place to the other

    def __len__(self) -> int:
        return len(self.log) + sum(len(part["ts_us"]) for part in self.parts)

    def add(self, batch: pa.RecordBatch) -> Columns:
        """Take a batch in, sketched or with its texts; gives the rows that are new, as columns.

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
            self._ids_since.update(part["id"].tolist())
            self.parts.append(part)
            if len(self.parts) > MANY_PARTS:
                self.parts = [_together(self._take_parts(self.parts))]
                self._whole = True
        return part

    def merged(self) -> ExchangeLog:
        """The log with all that has come."""
        self._check_whole()
        if self.parts:
            self._close(_together(self._take_parts()))
        return self.log

    def _check_whole(self) -> None:
        """Raises: InputError after a merge that was broken off, by Ctrl-C or for lack of memory."""
        if not self._whole:
            raise InputError(
                "a merge of exchanges was broken off, and some of them are gone: load the saved state, or "
                "begin anew from the log"
            )

    def rows_of(self, accounts: Iterable[int]) -> np.ndarray:
        """The rows of some accounts, by their codes, in what was merged last; in the order of time."""
        if self._by_account is None:
            self._by_account = deal(self.log["account"], len(self.log.accounts))
        begin, order = self._by_account
        parts = [order[begin[a] : begin[a + 1]] for a in accounts if a < len(self.log.accounts)]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int32)

    def columns(self, names: Iterable[str]) -> Columns:
        """Columns of what was merged last, the phrases among them."""
        of_log = (*MATRICES, *PASSAGES)
        return {
            name: getattr(self.log, name) if name in of_log else self.log[name]
            for name in names
            if name not in PASSAGES or len(getattr(self.log, name))
        }

    def _take_parts(self, parts: list[Columns] | None = None) -> list[Columns]:
        """Parts, or the log and all parts, that nothing here holds any more: their columns can be let go one
        by one. The dicts are new ones, as who was given a part may still read it."""
        self._whole = False
        if parts is None:
            parts = [self.columns(self._order), *self.parts] if len(self.log) else self.parts
            self.log = close_log({}, {}, frozenset())
        self.parts, self._by_account = [], None
        return [dict(part) for part in parts]

    def forget(self, before_us: int) -> None:
        """Let the exchanges before a moment go, and the names that nobody else has."""
        cut = int(np.searchsorted(self.log["ts_us"], before_us))
        if self.parts or cut == 0:
            self.merged()
            cut = int(np.searchsorted(self.log["ts_us"], before_us))
        if cut == 0:
            return
        self.forgotten_us = max(self.forgotten_us, before_us)
        (held,) = self._take_parts()
        columns = {name: held.pop(name)[cut:].copy() for name in list(held)}
        for column, name in CODED_AS.items():
            names = sorted(self.codes[name].index)
            used = np.unique(columns[column])
            used = used[used >= 0]
            lookup = np.full(len(names) + 1, -1, np.int32)
            lookup[used] = np.arange(len(used))
            columns[column] = lookup[columns[column]]
            self.codes[name].index = {names[code]: k for k, code in enumerate(used.tolist())}
        self._close(columns)

    def _close(self, columns: Columns) -> None:
        self.log = close_log(columns, self.codes, frozenset(self._has))
        self.duplicates += self.log.duplicates
        for code in self.codes.values():
            code.index = {name: k for k, name in enumerate(sorted(code.index))}
        self.parts = []
        self._ids = self._by_account = None
        self._ids_since = set()
        self._whole = True

    def _new(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The exchanges of a batch that have not come before and are not of the forgotten past."""
        given = batch.column("exchange_id")
        if given.null_count:
            given = pc.coalesce(given, ids.derive(batch))
            at = batch.schema.get_field_index("exchange_id")
            batch = batch.set_column(at, batch.schema.field(at), given)
        if self._ids is None:
            self._ids = np.sort(self.log["id"]) if len(self.log) else np.zeros(0, np.uint64)
        keys = identities(batch, self.sketcher)
        held = np.zeros(len(keys), bool)
        if len(self._ids):
            at = np.minimum(np.searchsorted(self._ids, keys), len(self._ids) - 1)
            held = self._ids[at] == keys
        if self._ids_since:
            held |= np.fromiter((key in self._ids_since for key in keys.tolist()), bool, len(keys))
        again = np.ones(len(keys), bool)
        again[np.unique(keys, return_index=True)[1]] = False
        self.duplicates += int((held | again).sum())
        ts = batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False)
        fresh, kept_time = ~(held | again), ts >= self.forgotten_us
        self.dropped.update((ts[fresh & ~kept_time] // HOUR_US).tolist())
        keep = fresh & kept_time
        return batch if keep.all() else batch.filter(pa.array(keep))

    # --- stored and read back ---------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is held, as arrays that `restore` takes; what has come is merged first."""
        self.merged()
        told = {
            "names": {name: sorted(code.index) for name, code in self.codes.items()},
            "has": sorted(self._has),
            "order": list(self.columns(self._order)),
            "duplicates": self.duplicates,
            "forgotten_us": self.forgotten_us,
            "dropped": sorted(self.dropped.items()),
            "key": self.sketcher.fingerprint,
        }
        out = {f"log.{name}": column for name, column in self.columns(self._order).items()}
        return out | {"log": np.frombuffer(json.dumps(told).encode(), np.uint8)}

    def restore(self, arrays: dict[str, np.ndarray], place: str) -> None:
        """Take up what `arrays` gave. Raises: InputError for what was kept under another key."""
        told = json.loads(arrays["log"].tobytes())
        mark = {sketched.FORM: sketched.FORM_NOW, sketched.KEY: told["key"].encode()}
        sketched.check_key(mark, self.sketcher, place)
        self._has, self._order = set(told["has"]), tuple(told["order"])
        for name, names in told["names"].items():
            self.codes[name].index = {value: k for k, value in enumerate(names)}
        if self._order and "content" not in self._order:  # what a version before content words has stored
            self._order += ("content",)
            arrays["log.content"] = np.zeros((len(arrays["log.ts_us"]), CONTENT), np.uint32)
        if self._order:
            self._close({name: arrays[f"log.{name}"] for name in self._order})
        self.duplicates, self.forgotten_us = told["duplicates"], told["forgotten_us"]
        self.dropped = Counter(dict(told.get("dropped", ())))


def _together(parts: list[Columns]) -> Columns:
    """One set of columns out of several, emptied on the way: one column at a time is there twice."""
    lengths = [len(part["ts_us"]) for part in parts]
    whole: Columns = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        like = next(part[name] for part in parts if name in part)
        whole[name] = np.zeros((sum(lengths), *like.shape[1:]), like.dtype)
        end = 0
        for part, length in zip(parts, lengths, strict=True):
            end += length
            if name in part:  # passages are in parts with completions only
                whole[name][end - length : end] = part.pop(name)
    return whole


def batches_of(given: pa.Table | pa.RecordBatch | Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """A table, a batch or several batches, as batches."""
    if isinstance(given, pa.RecordBatch):
        return [given]
    if isinstance(given, pa.Table):
        return given.combine_chunks().to_batches()
    return given
