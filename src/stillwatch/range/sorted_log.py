"""Writes a log larger than memory in order of time: rows go to files by time bucket, each sorted alone."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BUCKET_US = 6 * 3_600_000_000
KEEP_ROWS = 250_000  # in memory before they go to disk
ROW_GROUP = 120_000


class Spill:
    """Accepts tables in any order; `finish` writes one sorted Parquet file. A context manager."""

    def __init__(self, folder: Path, schema: pa.Schema, begin_us: int) -> None:
        self.folder, self.schema, self.begin_us = folder, schema, begin_us
        self.waiting: list[pa.Table] = []
        self.rows = 0  # waiting rows
        self.taken = 0
        self.pieces: dict[int, int] = {}  # bucket -> number of its files
        folder.mkdir(parents=True, exist_ok=True)
        self._clear()

    def __enter__(self) -> "Spill":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()
        self.folder.rmdir()

    def _clear(self) -> None:
        for file in self.folder.glob("*.arrow"):
            file.unlink()

    def add(self, table: pa.Table) -> None:
        """Accept some rows."""
        self.waiting.append(table)
        self.rows += len(table)
        self.taken += len(table)
        if self.rows >= KEEP_ROWS:
            self._spill()

    def _spill(self) -> None:
        if not self.rows:
            return
        table = pa.concat_tables(self.waiting)
        self.waiting, self.rows = [], 0
        bucket = (table["time"].cast(pa.int64()).to_numpy() - self.begin_us) // BUCKET_US
        order = np.argsort(bucket, kind="stable")
        table = table.take(order)
        values, starts = np.unique(bucket[order], return_index=True)
        ends = [*starts[1:], len(table)]
        for value, start, end in zip(values, starts, ends, strict=True):
            number = self.pieces.get(int(value), 0)
            self.pieces[int(value)] = number + 1
            file = self.folder / f"{int(value)}-{number}.arrow"
            with pa.OSFile(str(file), "wb") as raw, pa.ipc.new_file(raw, self.schema) as out:
                out.write_table(table.slice(start, end - start))

    def finish(self, path: Path, tell: Callable[[int], None] = lambda rows: None) -> int:
        """Write everything to `path`, by time and exchange_id; return the number of rows."""
        self._spill()
        written = 0
        part = path.with_suffix(".part")
        with pq.ParquetWriter(part, self.schema, compression="zstd", compression_level=1) as out:
            for bucket in sorted(self.pieces):
                tables = []
                for number in range(self.pieces[bucket]):
                    file = self.folder / f"{bucket}-{number}.arrow"
                    with pa.memory_map(str(file)) as raw:
                        tables.append(pa.ipc.open_file(raw).read_all())
                table = pa.concat_tables(tables).sort_by(
                    [("time", "ascending"), ("exchange_id", "ascending")]
                )
                out.write_table(table, row_group_size=ROW_GROUP)
                written += len(table)
                tell(written)
        part.rename(path)
        return written
