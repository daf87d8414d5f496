"""The values of a log's exchanges that indicators are compared with, as numbers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.cases.indicators import DIGITS, IDENTIFIERS, SKETCHED, IndicatorKind
from stillwatch.cases.indicators.keys import IndicatorKey, normalise
from stillwatch.exchanges import sketched
from stillwatch.exchanges.read import Progress, read
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher

LEAST_WORDS = 6  # a shorter prompt is nobody's own: "yes", "continue" (as in actors.fingerprints)
BATCH_ROWS = 65_536
COLUMNS = ("exchange_id", "client_ip", "asn", "system", "prompt", "status")


@dataclass(frozen=True)
class LogHistory:
    """A log that can be read repeatedly: its files, and the key under which values are wanted.

    Files may hold sketches instead of texts (a gateway's segments), under their own key, `stored`. Under
    another key a row can be compared only if its text was kept.
    """

    paths: Sequence[str | Path]
    key: IndicatorKey
    stored: Sketcher | None = None  # of sketched files; None if `key` made them, or there are none
    accounts: pa.Table | None = None  # in the ACCOUNTS schema: for payment and email-domain
    assume_utc: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)  # the log's own names: exchanges/mapping.py

    def batches(self, rejects: Rejects, progress: Progress | None = None) -> Iterator[pa.RecordBatch]:
        """Read the log once."""
        yield from read(
            self.paths,
            rejects=rejects,
            sketcher=self.stored or self.key.sketcher,
            batch_rows=BATCH_ROWS,
            columns=COLUMNS,
            progress=progress,
            assume_utc=self.assume_utc,
            mapping=self.columns,
        )


class IndicatorNumbers:
    """Turns batches into numbers, one array per kind: (n,) or (n, k) uint64, 0 if there is none.

    Sketches are numbers already. Identifiers are keyed and numbered in order of first occurrence.
    """

    def __init__(self, history: LogHistory, kinds: Collection[IndicatorKind]) -> None:
        self.kinds = [kind for kind in IndicatorKind if kind in kinds]
        self._history = history
        self._code: dict[IndicatorKind, dict[str, int]] = {kind: {} for kind in IDENTIFIERS}
        self._plain: dict[IndicatorKind, dict[str, int]] = {kind: {} for kind in IDENTIFIERS}

    def of(self, batch: pa.RecordBatch) -> dict[IndicatorKind, np.ndarray]:
        """Return the numbers of every requested kind."""
        out = self._sketches(batch) if set(self.kinds) & set(SKETCHED) else {}
        return out | {kind: self._identifiers(batch, kind) for kind in self.kinds if kind in IDENTIFIERS}

    def blind(self, batch: pa.RecordBatch) -> np.ndarray:
        """Return (n,) bool: rows stored only as sketches under another key, which cannot be compared."""
        if self._under_it or not sketched.is_sketched(batch.schema) or not set(self.kinds) & set(SKETCHED):
            return np.zeros(batch.num_rows, bool)
        return batch.column("prompt").is_null().to_numpy(zero_copy_only=False)

    @property
    def _under_it(self) -> bool:
        """Return whether stored sketches were made under the key."""
        stored = self._history.stored
        return stored is None or stored.fingerprint == self._history.key.fingerprint

    def number(self, kind: IndicatorKind, value: str) -> int:
        """Return the number that stands for a value."""
        if kind in SKETCHED:
            return int(value, 16)
        code = self._code[kind]
        return code.setdefault(value, len(code) + 1)

    def values(self, kind: IndicatorKind, numbers: Sequence[int]) -> list[str]:
        """Return the values that numbers stand for."""
        if kind in SKETCHED:
            return [f"{number:0{DIGITS[kind]}x}" for number in numbers]
        by_code = list(self._code[kind])
        return [by_code[number - 1] for number in numbers]

    def _sketches(self, batch: pa.RecordBatch) -> dict[IndicatorKind, np.ndarray]:
        if sketched.is_sketched(batch.schema) and self._under_it:
            columns = sketched.of_columns(batch)
        else:
            columns = sketched.of_texts(batch, self._history.key.sketcher)
        all_columns = {
            IndicatorKind.QUESTION: np.where(columns["words"] >= LEAST_WORDS, columns["exact"], np.uint64(0)),
            IndicatorKind.OPENING: columns["head"],
            IndicatorKind.ENDING: columns["tail"],
            IndicatorKind.SYSTEM: columns["system"],
            IndicatorKind.WORDING: columns["phrases"],
        }
        return {kind: all_columns[kind].astype(np.uint64) for kind in self.kinds if kind in all_columns}

    def _identifiers(self, batch: pa.RecordBatch, kind: IndicatorKind) -> np.ndarray:
        if kind is IndicatorKind.NETWORK:
            column, numbers = batch.column("client_ip"), self._plain[kind]
        else:
            column, numbers = batch.column("account"), self._of_accounts(kind)
        coded = column.dictionary_encode()
        names = coded.dictionary.to_pylist()
        if kind is IndicatorKind.NETWORK:
            for name in names:
                if name not in numbers:
                    numbers[name] = self._hash_value(kind, name)
        lookup = np.array([*(numbers.get(name, 0) for name in names), 0], np.uint64)
        return lookup[pc.fill_null(coded.indices, len(names)).to_numpy(zero_copy_only=False)]

    def _of_accounts(self, kind: IndicatorKind) -> dict[str, int]:
        """Return account -> number, from the accounts table; computed once."""
        numbers, table = self._plain[kind], self._history.accounts
        if not numbers and table is not None:
            column = {IndicatorKind.PAYMENT: "payment", IndicatorKind.DOMAIN: "email_domain"}[kind]
            for name, value in zip(table["account"].to_pylist(), table[column].to_pylist(), strict=True):
                numbers[name] = self._hash_value(kind, value) if value else 0
        return numbers

    def _hash_value(self, kind: IndicatorKind, plain: str) -> int:
        value = normalise(kind, plain)
        return 0 if value is None else self.number(kind, self._history.key.identify(kind, value))
