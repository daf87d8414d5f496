"""A gateway's exchanges, also sketched under partners' keys, so that a partner's indicators can be searched
for.

A gateway keeps no prompts, and sketches under its own key cannot be compared with a partner's indicators. So
each prompt is sketched once more under each exchange key in `partners/`, and these are kept in `shared/` as
long as other sketches. This starts when the key is added: earlier exchanges cannot be compared. It never
blocks the recorder.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.cases.indicators import IndicatorError
from stillwatch.cases.indicators.keys import IndicatorKey, read_exchange
from stillwatch.errors import refuse_os_errors
from stillwatch.exchanges.sketched import sketch_batch

KEYS, SHELVES = "partners", "shared"
COLUMNS = ("exchange_id", "time", "account", "client_ip", "system", "prompt")
_HOUR = "%Y-%m-%dT%H"
_OVER = timedelta(hours=1, minutes=5)  # an hour's files are merged some time after its end


def place_key(folder: Path, file: Path) -> IndicatorKey:
    """Store an exchange key where the recorder looks. Raises: IndicatorError."""
    key = read_exchange(file)
    path = folder / KEYS / f"{key.fingerprint}.key"
    with refuse_os_errors(IndicatorError, f"{path}: cannot hold the key"):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(file.read_bytes())
            out.flush()
            os.fsync(out.fileno())
    return key


def shelf_of(folder: Path, key: IndicatorKey) -> Path | None:
    """Return the folder of a gateway's exchanges sketched under this key; None if there is none."""
    path = folder / SHELVES / key.fingerprint
    return path if path.is_dir() and any(path.rglob("*.parquet")) else None


class IndicatorRecorder:
    """Receives exchanges from the recorder before it drops their texts. Without keys it does nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: list[IndicatorKey] = []
        self._seen_ns = -1  # of the keys' folder, when last read
        self.missed = 0  # exchanges that could not be written

    @property
    def wants(self) -> bool:
        """Return whether any key is stored; without one no texts need to be kept for this."""
        return bool(self._current())

    def put(self, number: int, batch: pa.RecordBatch, now: datetime) -> None:
        """Store a batch of the record under every key. The same number again replaces the first."""
        for key in self._current():
            try:
                _write(
                    self._folder / SHELVES / key.fingerprint / now.strftime(_HOUR) / f"{number:010d}.parquet",
                    pa.Table.from_batches([sketch_batch(batch.select(COLUMNS), key.sketcher)]),
                )
            except OSError as why:
                self.missed += batch.num_rows
                print(f"stillwatch: shared sketches: {why.strerror}; capture goes on", file=sys.stderr)

    def tidy(self, now: datetime, days: int) -> None:
        """Merge the files of each hour that is over, and delete hours past the retention of sketches."""
        for below, hour in list(self._hours()):
            with suppress(OSError):  # the next run tries again
                files = sorted(below.glob("[0-9]*.parquet"))
                if now - hour > timedelta(days=days, hours=1):
                    for path in files:
                        path.unlink()
                    below.rmdir()
                elif now - hour > _OVER and len(files) > 1:
                    _merge(files)

    def _hours(self) -> Iterator[tuple[Path, datetime]]:
        for below in (self._folder / SHELVES).glob("*/*"):
            with suppress(ValueError):
                yield below, datetime.strptime(below.name, _HOUR).replace(tzinfo=UTC)

    def _current(self) -> list[IndicatorKey]:
        """Return the present keys; a file without a key is skipped and reported once."""
        place = self._folder / KEYS
        try:
            changed_ns = place.stat().st_mtime_ns
        except OSError:
            return []
        if changed_ns != self._seen_ns:
            self._keys, self._seen_ns = [], changed_ns
            for path in sorted(place.glob("*.key")):
                try:
                    self._keys.append(read_exchange(path))
                except IndicatorError as why:
                    print(f"stillwatch: {why}", file=sys.stderr)
        return self._keys


def _merge(files: list[Path]) -> None:
    """Merge many files into one. If interrupted, rows exist twice; a search counts each exchange once."""
    name = f"{files[0].stem.partition('-')[0]}-{files[-1].stem.rpartition('-')[2]}.parquet"
    newest = pq.read_schema(files[-1])  # an older version's files may lack columns
    tables = [pq.read_table(path, schema=newest) for path in files]
    _write(files[0].with_name(name), pa.concat_tables(tables).combine_chunks())
    for path in files:
        if path.name != name:
            path.unlink()


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.new")  # hidden from readers
    try:
        with beside.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
