"""Make logs of any size for the speed benchmark by repeating a scene.

Every copy has its own ids, conversations, end users and wording: in each text a fixed three fifths of the
words are respelled, letter by letter, with the copy's key, so that a copy shares wording within itself and
with no other. (Lexical classes and texts in other scripts are not preserved.) The first nine copies have
their own accounts, organisations, payment and networks; further copies are further work of the same accounts,
so that sixteen million exchanges come from 24,000 accounts. Days are written in order, as in a real log.

`crowd=True` makes another log, of many accounts with few requests: every copy has its own accounts and keeps
`KEPT` of its exchanges, campaigns are in one copy of `CAMPAIGN_COPIES`, and copies share wording: system
texts, and the words that one in `EVERYDAY` of the scene's prompts has. So a released template has as many
users as there are copies times its users in the scene.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

GROUPS = 9  # of accounts: 9 x 2,632 of dev-a are the 24,000 of the aim
DAY_US = 86_400_000_000
SHIFT_US = 137_000_000  # between copies, within an hour: copies do not act in the same second
ROW_GROUP = 120_000
KEPT, CAMPAIGN_COPIES, EVERYDAY = 0.36, 50, 50  # of a crowd: 16 million exchanges of a million accounts


@dataclass(frozen=True)
class _Crowd:
    """What copies of a crowd share, and which part of a scene each keeps."""

    everyday: np.ndarray  # hashes of words, sorted
    honest: pa.Array  # accounts

    def keep(self, table: pa.Table, copy: int) -> pa.Table:
        kept = np.random.default_rng((copy, len(table))).random(len(table)) < KEPT
        if copy % CAMPAIGN_COPIES:
            kept &= pc.is_in(table["account"], value_set=self.honest).to_numpy()
        return table.filter(pa.array(kept))


def make(scene: Path, folder: Path, copies: int, *, crowd: bool = False) -> tuple[Path, Path]:
    """Write a log of `copies` times the scene and its accounts table, unless they exist; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{'crowd-' if crowd else ''}{copies}.parquet"
    log, accounts = folder / f"exchanges-{name}", folder / f"accounts-{name}"
    if log.exists() and accounts.exists():
        return log, accounts
    known = pq.read_table(scene / "accounts.parquet")
    groups = range(copies if crowd else min(copies, GROUPS))
    pq.write_table(
        pa.concat_tables(_owned(known, g, ("account", "org", "payment")) for g in groups), accounts
    )
    source = pq.read_table(scene / "exchanges.parquet").sort_by("time")
    shared = _crowd_of(scene, source) if crowd else None
    ts = source["time"].cast(pa.int64()).to_numpy()
    start = int(ts[0]) // DAY_US * DAY_US
    edges = np.searchsorted(ts, start + DAY_US * np.arange(1, int(ts[-1] - start) // DAY_US + 2))
    unfinished = log.with_suffix(".part")
    with pq.ParquetWriter(unfinished, source.schema, compression="zstd", compression_level=1) as out:
        lo = 0
        for hi in edges:
            day, rows = [], 0
            for copy in range(copies):
                day.append(_copied(source.slice(lo, hi - lo), copy, shared))
                rows += len(day[-1])
                if rows >= ROW_GROUP or copy == copies - 1:
                    out.write_table(pa.concat_tables(day).combine_chunks(), row_group_size=ROW_GROUP)
                    day, rows = [], 0
            lo = hi
    unfinished.rename(log)
    return log, accounts


def _crowd_of(scene: Path, source: pa.Table) -> _Crowd:
    truth = pq.read_table(scene / "truth.parquet")
    honest = truth.filter(pc.is_null(truth["campaign"]))["account"].combine_chunks()
    letters, ends = _letters(source["prompt"].combine_chunks())
    words = _words(letters, ends)
    text = np.searchsorted(ends, words.begin, "right") - 1
    uses = np.unique(np.stack([words.value, text.astype(np.uint64)]), axis=1)[0]
    value, texts = np.unique(uses, return_counts=True)
    return _Crowd(value[texts * EVERYDAY >= len(source)], honest)


def _copied(table: pa.Table, copy: int, crowd: _Crowd | None) -> pa.Table:
    """Return one copy of some of the scene's rows."""
    group = copy if crowd else copy % GROUPS
    if crowd:
        table = crowd.keep(table, copy)
    table = _owned(table, group, ("account",))
    table = _owned(table, copy, ("exchange_id", "conversation", "end_user"))
    table = _with(table, "client_ip", _elsewhere(table["client_ip"], group))
    shifted = table["time"].cast(pa.int64()).to_numpy() + copy * SHIFT_US % 3_600_000_000
    table = _with(table, "time", pa.array(shifted).cast(table.schema.field("time").type))
    key = np.random.default_rng(copy).integers(1, 26, 64).astype(np.uint8)
    for name in ("prompt",) if crowd else ("prompt", "system"):
        if copy:
            respelt = _respelt(table[name].combine_chunks(), key, crowd.everyday if crowd else None)
            table = _with(table, name, respelt)
    return table


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


def _owned(table: pa.Table, number: int, names: tuple[str, ...]) -> pa.Table:
    """Return the table with a number added to every value of some columns."""
    for name in names:
        table = _with(table, name, pc.binary_join_element_wise(table[name], f"{number:03d}", "-"))
    return table


def _elsewhere(addresses: pa.ChunkedArray, group: int) -> pa.Array:
    """Move every IPv4 address to another network, with a network's addresses together."""
    offset = group if group < GROUPS else group * 2_246_822_519  # some copies' networks of a crowd collide
    coded = addresses.combine_chunks().dictionary_encode()
    moved = []
    for address in coded.dictionary.to_pylist():
        a, b, c, d = (int(part) for part in address.split("."))
        network = (((a << 16) + (b << 8) + c) * 16 + offset) * 2_654_435_761 % (1 << 28)  # odd: one to one
        moved.append(
            f"{network >> 20}.{network >> 12 & 255}.{network >> 4 & 255}.{(network & 15) * 16 + d % 16}"
        )
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(moved)).cast(pa.string())


def _respelt(texts: pa.Array, key: np.ndarray, everyday: np.ndarray | None) -> pa.Array:
    letters, ends = _letters(texts)
    _respell(letters, _words(letters, ends), key, everyday)
    built = pa.Array.from_buffers(
        pa.string(), len(texts), [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(letters)]
    )
    return pc.if_else(pc.is_valid(texts), built, pa.scalar(None, pa.string())) if texts.null_count else built


def _letters(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return (bytes of all texts, offsets of each one's start and of the last one's end)."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    letters = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].copy() if data else np.zeros(0, np.uint8)
    return letters, ends - ends[0]


@dataclass(frozen=True)
class _Words:
    """The words of ASCII letters of some texts."""

    inside: np.ndarray  # of each byte: whether it is in a word
    word: np.ndarray  # of each byte: the latest word
    begin: np.ndarray  # of each word
    value: np.ndarray  # of each word: its case-insensitive hash


def _words(letters: np.ndarray, ends: np.ndarray) -> _Words:
    inside = (letters < 128) & ((letters | 32) >= 97) & ((letters | 32) <= 122)
    first = inside & ~np.r_[False, inside[:-1]]
    opening = ends[:-1][ends[:-1] < len(letters)]  # a word does not continue in the next text
    first[opening] = inside[opening]
    begin, word = np.flatnonzero(first), np.cumsum(first) - 1
    length = np.bincount(word[inside], minlength=len(begin))
    value = np.full(len(begin), 1469598103934665603, np.uint64)
    for k in range(int(length.max(initial=0))):  # FNV-1a of all words at once, a letter each
        some = length > k
        value[some] = (value[some] ^ (letters[begin[some] + k] | 32)) * np.uint64(1099511628211)
    return _Words(inside, word, begin, value)


def _respell(letters: np.ndarray, words: _Words, key: np.ndarray, everyday: np.ndarray | None) -> None:
    """Respell nine tenths of the words, or all but the everyday ones, in place; equal words stay equal."""
    value = words.value
    respelt = (
        (value >> np.uint64(20)) % np.uint64(10) < np.uint64(9)
        if everyday is None
        else ~np.isin(value, everyday)
    )
    at = np.flatnonzero(words.inside)
    word = words.word[at]
    at, word = at[respelt[word]], word[respelt[word]]
    base = np.where(letters[at] < 97, 65, 97)
    shift = key[((value[word] >> np.uint64(40)).astype(np.int64) + at - words.begin[word]) & 63]
    letters[at] = base + (letters[at] - base + shift) % 26
