"""Known pools: sketches of public sets of prompts, and the exchanges that ask one of their items.

An item is stored as its sample of shingles under the key of the logs, without its text. If a text contains a
whole item, whatever surrounds it, the text's sample begins with the item's own shingles, because an item
keeps its smallest hashes. So an exchange asks an item if the shingles they share are the item's first ones,
at least three, one of them rare in the pool.

Blind to: paraphrase, translation, an item that is less than about a quarter of the text, and an item of under
six tokens. Items that differ only in numbers are one item.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.compiled_code.library import kernels
from stillwatch.errors import InputError
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.stats.dealing import begins
from stillwatch.text.kernel import PHRASES

LEAST_PHRASES = 4  # of an item: a shorter text is not an item
LEAST_SHARED = 3  # shingles of an item that an exchange must contain, the item's first ones
RARE = 8  # items that may share an identifying shingle: if more do, it is a template's
MOST_ALIKE = 64  # items that may share the shingle used for lookup; bounds the work
BATCH = 50_000  # texts sketched at a time
PREFIX_BITS = 18  # of a hash, used for lookup
FORM = b"1"
COLUMNS = ("prompt", "question", "problem", "instruction", "query", "text", "messages", "conversations")
RIGHT = ".parquet, .jsonl, .json, .csv or .txt (one prompt a line), each but Parquet also with .gz"


@dataclass(frozen=True)
class KnownPool:
    """A public set of prompts as sketches."""

    name: str
    training: bool  # whether it is training data, which few people ask for other reasons
    key_fingerprint: str  # of the key that it was sketched under
    phrases: np.ndarray  # (items, k) uint32, shingles of each distinct item, in the sketch's order
    rarest: np.ndarray  # (items,) uint8, which of its first three shingles is in the fewest items
    # (items,) uint8, how many of its first shingles a text must contain: one of them rare
    needed: np.ndarray
    texts: int  # in the source
    short: int  # texts that are too short to be items
    alike: int  # texts left out: equal but for numbers, or only a template

    def __len__(self) -> int:
        return len(self.phrases)

    def items_of(self, phrases: np.ndarray) -> np.ndarray:
        """Return (n,) int32: the item that each text asks, or -1. phrases: (n, j) uint32 as in a log."""
        item = np.full(len(phrases), -1, np.int32)
        if len(self) and phrases.shape[1] >= LEAST_SHARED:
            keys = self.phrases[np.arange(len(self)), self.rarest]
            order = np.argsort(keys, kind="stable").astype(np.int32)
            # each item's rarest shingle, ascending, and where each prefix of hashes begins in them
            begin = begins(np.bincount(keys >> (32 - PREFIX_BITS), minlength=1 << PREFIX_BITS))
            kernels.match_items(
                *(phrases, *phrases.shape, self.phrases, self.phrases.shape[1], self.needed),
                *(keys[order], order, begin, PREFIX_BITS, item),
            )
        return item

    def write(self, path: Path) -> None:
        """Write the pool's file.

        Raises: InputError if it cannot be written.
        """
        metadata = {
            "stillwatch.known_pool": FORM,
            "name": self.name.encode(),
            "training": str(int(self.training)).encode(),
            "key": self.key_fingerprint.encode(),
            "counts": json.dumps([self.texts, self.short, self.alike]).encode(),
        }
        width = self.phrases.shape[1] * 4
        raw = pa.py_buffer(np.ascontiguousarray(self.phrases.astype("<u4")))
        items = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(self), [None, raw])
        columns = {"phrases": items, "rarest": pa.array(self.rarest), "needed": pa.array(self.needed)}
        table = pa.table(columns).replace_schema_metadata(metadata)
        try:
            pq.write_table(table, path, compression="zstd")
        except OSError as why:
            raise InputError(f"{path}: cannot be written: {why.strerror or why}") from None


def read_pool(path: str | Path, sketcher: Sketcher) -> KnownPool:
    """Read a pool's file.

    Raises: InputError if it is not a pool's file, or was sketched under another key than the logs are.
    """
    try:
        table = pq.read_table(path)
        metadata = table.schema.metadata or {}
        if metadata.get(b"stillwatch.known_pool") != FORM:
            raise ValueError("no known pool")
        counts = json.loads(metadata[b"counts"])
        raw = table["phrases"].combine_chunks()
        width = raw.type.byte_width
        items = np.frombuffer(raw.buffers()[1], "<u4")[raw.offset * width // 4 :]
        items = items[: len(raw) * width // 4].reshape(len(raw), width // 4)
        rarest, needed = (table[name].to_numpy().astype(np.uint8) for name in ("rarest", "needed"))
        if items.shape[1] != PHRASES or (rarest >= LEAST_SHARED).any() or (needed < LEAST_SHARED).any():
            raise ValueError("sketches of another form")
        pool = KnownPool(
            metadata[b"name"].decode(),
            metadata[b"training"] == b"1",
            metadata[b"key"].decode(),
            items,
            rarest,
            needed,
            *map(int, counts),
        )
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make one: stillwatch pool TEXTS --out {path}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as why:
        raise InputError(
            f"{path}: is no known pool ({why}); make one: stillwatch pool TEXTS --out FILE"
        ) from None
    if pool.key_fingerprint != sketcher.fingerprint:
        raise InputError(
            f"{path}: was sketched under another key than this log; sketch it anew with the log's --key-file"
        )
    return pool


def sketch_pool(texts: Iterable[str], sketcher: Sketcher, name: str, *, training: bool = False) -> KnownPool:
    """Sketch a set of prompts. The order of the texts is irrelevant."""
    parts, total, short = [], 0, 0
    waiting = iter(texts)
    while batch := list(islice(waiting, BATCH)):
        phrases = sketcher(pa.array(batch, pa.large_string()), content=0).phrases
        long = phrases[:, LEAST_PHRASES - 1] != 0
        parts.append(phrases[long])
        total += len(batch)
        short += int((~long).sum())
    all_phrases = np.concatenate(parts) if parts else np.zeros((0, PHRASES), np.uint32)
    items = np.unique(all_phrases, axis=0)
    _, place, count = np.unique(items, return_inverse=True, return_counts=True)
    items_with = count[place.reshape(items.shape)]  # in how many items each shingle occurs
    rare = (items_with <= RARE) & (items != 0)
    rarest = items_with[:, :LEAST_SHARED].argmin(axis=1) if len(items) else np.zeros(0, np.int64)
    is_item = rare.any(axis=1) & (items_with[np.arange(len(items)), rarest] <= MOST_ALIKE)
    needed = np.maximum(LEAST_SHARED, rare.argmax(axis=1) + 1)[is_item].astype(np.uint8)
    items, rarest = items[is_item], rarest[is_item].astype(np.uint8)
    alike = total - short - len(items)
    return KnownPool(name, training, sketcher.fingerprint, items, rarest, needed, total, short, alike)


def texts_of(path: Path, columns: Sequence[str] = ()) -> Iterator[str]:
    """Yield the prompts of a file. columns: joined by a line break; by default the first known one.

    Raises: InputError for a file of another kind, or without such a column.
    """
    kind = "".join(path.suffixes[-2:]).lower().removesuffix(".gz").rpartition(".")[2]
    try:
        if kind == "parquet":
            yield from _texts(_parquet_rows(path, columns), columns, path)
            return
        with _open_text(path) as file:
            if kind in ("txt", "text"):
                yield from (line.rstrip("\r\n") for line in file)
            elif kind in ("jsonl", "ndjson"):
                yield from _texts((json.loads(line) for line in file if line.strip()), columns, path)
            elif kind == "json":
                rows = json.load(file)
                yield from _texts(rows if isinstance(rows, list) else [], columns, path)
            elif kind == "csv":
                yield from _texts(csv.DictReader(file), columns, path)
            else:
                raise InputError(f"{path}: no file of prompts by its name; right would be {RIGHT}")
    except (OSError, ValueError, csv.Error, pa.ArrowException) as why:
        reason = getattr(why, "strerror", None) or why
        raise InputError(f"{path}: cannot be read as {kind}: {reason}") from None


def _open_text(path: Path) -> io.TextIOBase:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8", errors="replace", newline="")


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    wanted = [name for name in columns or COLUMNS if name in names]
    for batch in file.iter_batches(BATCH, columns=wanted or names):
        yield from batch.to_pylist()


def _texts(rows: Iterable[Any], columns: Sequence[str], path: Path) -> Iterator[str]:
    for row in rows:
        if isinstance(row, str):
            yield row
            continue
        if not isinstance(row, dict):
            raise InputError(
                f"{path}: a row is neither a text nor an object; right would be one object a row"
            )
        columns = columns or [next((name for name in COLUMNS if name in row), "")]
        if missing := [name for name in columns if name not in row]:
            has = ", ".join(map(str, list(row)[:12]))
            raise InputError(
                f"{path}: has no column {missing[0] or COLUMNS[0]!r}; say which (--column): {has}"
            )
        yield "\n".join(filter(None, (_prompt(row[name]) for name in columns)))


def _prompt(value: Any) -> str:
    """Return a cell's text; of a conversation the first turn, or the user's first."""
    if not isinstance(value, list):
        return "" if value is None else str(value)
    turns = [turn for turn in value if isinstance(turn, dict)]
    if not turns:
        return str(value[0]) if value else ""
    users = [turn for turn in turns if (turn.get("role") or turn.get("from")) in ("user", "human")]
    first = (users or turns)[0]
    return str(first.get("content") or first.get("value") or "")
