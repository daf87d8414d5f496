"""Make logs of any size for the speed benchmark by repeating a scene.

Every copy has ids, conversations, end users and wording of its own: in each text a fixed three fifths of
the words are spelt anew, letter by letter, with the copy's key, so that a copy shares wording inside itself
and with no other. (Lexical classes and texts in other scripts are what this does not keep.) The first nine
copies have accounts, organisations, payment and networks of their own; further copies are further work of
the same accounts, so that sixteen million exchanges come from 24,000 accounts. Days are written in order,
as a real log is.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

GROUPS = 9  # of accounts: 9 x 2,632 of dev-a are the 24,000 of the aim
DAY_US = 86_400_000_000
SHIFT_US = 137_000_000  # between copies, within an hour: copies do not act in the same second
ROW_GROUP = 120_000


def make(scene: Path, folder: Path, copies: int) -> tuple[Path, Path]:
    """Write a log of `copies` times the scene and its accounts table; both paths. What is there is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    log, accounts = folder / f"exchanges-{copies}.parquet", folder / f"accounts-{copies}.parquet"
    if log.exists() and accounts.exists():
        return log, accounts
    known = pq.read_table(scene / "accounts.parquet")
    groups = [_owned(known, g, ("account", "org", "payment")) for g in range(min(copies, GROUPS))]
    pq.write_table(pa.concat_tables(groups), accounts)
    source = pq.read_table(scene / "exchanges.parquet").sort_by("time")
    ts = source["time"].cast(pa.int64()).to_numpy()
    start = int(ts[0]) // DAY_US * DAY_US
    edges = np.searchsorted(ts, start + DAY_US * np.arange(1, int(ts[-1] - start) // DAY_US + 2))
    unfinished = log.with_suffix(".part")
    with pq.ParquetWriter(unfinished, source.schema, compression="zstd", compression_level=1) as out:
        lo = 0
        for hi in edges:
            day, rows = [], 0
            for copy in range(copies):
                day.append(_copied(source.slice(lo, hi - lo), copy))
                rows += hi - lo
                if rows >= ROW_GROUP or copy == copies - 1:
                    out.write_table(pa.concat_tables(day).combine_chunks(), row_group_size=ROW_GROUP)
                    day, rows = [], 0
            lo = hi
    unfinished.rename(log)
    return log, accounts


def _copied(table: pa.Table, copy: int) -> pa.Table:
    """One copy of some of the scene's rows."""
    group = copy % GROUPS
    table = _owned(table, group, ("account",))
    table = _owned(table, copy, ("exchange_id", "conversation", "end_user"))
    table = _with(table, "client_ip", _elsewhere(table["client_ip"], group))
    shifted = table["time"].cast(pa.int64()).to_numpy() + copy * SHIFT_US % 3_600_000_000
    table = _with(table, "time", pa.array(shifted).cast(table.schema.field("time").type))
    key = np.random.default_rng(copy).integers(1, 26, 64).astype(np.uint8)
    for name in ("prompt", "system"):
        if copy:
            table = _with(table, name, _respelt(table[name].combine_chunks(), key))
    return table


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


def _owned(table: pa.Table, number: int, names: tuple[str, ...]) -> pa.Table:
    """The table with a number added to every value of some columns."""
    for name in names:
        table = _with(table, name, pc.binary_join_element_wise(table[name], f"{number:03d}", "-"))
    return table


def _elsewhere(addresses: pa.ChunkedArray, group: int) -> pa.Array:
    """Every IPv4 address in another network, a network's addresses together."""
    coded = addresses.combine_chunks().dictionary_encode()
    moved = []
    for address in coded.dictionary.to_pylist():
        a, b, c, d = (int(part) for part in address.split("."))
        network = (((a << 16) + (b << 8) + c) * 16 + group) * 2_654_435_761 % (1 << 28)  # odd: one to one
        moved.append(
            f"{network >> 20}.{network >> 12 & 255}.{network >> 4 & 255}.{(network & 15) * 16 + d % 16}"
        )
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(moved)).cast(pa.string())


def _respelt(texts: pa.Array, key: np.ndarray) -> pa.Array:
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    letters = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].copy() if data else np.zeros(0, np.uint8)
    _respell(letters, ends - ends[0], key)
    built = pa.Array.from_buffers(
        pa.string(),
        len(texts),
        [None, pa.py_buffer((ends - ends[0]).astype(np.int32)), pa.py_buffer(letters)],
    )
    return pc.if_else(pc.is_valid(texts), built, pa.scalar(None, pa.string())) if texts.null_count else built


def _respell(letters: np.ndarray, ends: np.ndarray, key: np.ndarray) -> None:
    """Spell nine tenths of the words of ASCII letters anew, in place; equal words stay equal."""
    inside = (letters < 128) & ((letters | 32) >= 97) & ((letters | 32) <= 122)
    first = inside & ~np.r_[False, inside[:-1]]
    opening = ends[:-1][ends[:-1] < len(letters)]  # a word does not go on in the next text
    first[opening] = inside[opening]
    begin, word = np.flatnonzero(first), np.cumsum(first) - 1
    length = np.bincount(word[inside], minlength=len(begin))
    value = np.full(len(begin), 1469598103934665603, np.uint64)
    for k in range(int(length.max(initial=0))):  # FNV-1a of all words at once, a letter each
        some = length > k
        value[some] = (value[some] ^ (letters[begin[some] + k] | 32)) * np.uint64(1099511628211)
    at = np.flatnonzero(inside)
    at = at[(value[word[at]] >> np.uint64(20)) % np.uint64(10) < np.uint64(9)]
    base = np.where(letters[at] < 97, 65, 97)
    shift = key[((value[word[at]] >> np.uint64(40)).astype(np.int64) + at - begin[word[at]]) & 63]
    letters[at] = base + (letters[at] - base + shift) % 26
