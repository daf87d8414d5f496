"""Which markers of a log were ever hot: new among its parties, and shared. Exact, and linear in the log.

Markers are dealt into rounds by hash in one pass over the log, and within a round into buckets that fit a
cache; every marker is then followed alone. Rounds know nothing of each other, so threads may take them in any
order. What a marker is and when it is hot, `spread` says. It does not know what links two parties.
"""

# mypy: allow-untyped-defs

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile, gettempdir
from threading import Lock

import numpy as np
from numba import njit

from stillwatch.errors import InputError
from stillwatch.stats.arrays import twice

Columns = tuple[np.ndarray, ...]  # phrases, system phrases, head, tail, exact, system, words

PLACE_BITS = 5  # a use's place in a word: its row, and below it which of at most 32 markers of the row
ROUND_USES = 1 << 22  # at most: 32 MB a round and thread, and as much again by bucket
BLOCK_ROWS = 1 << 17  # that are dealt into rounds at once
IN_MEMORY_BYTES = 1 << 29  # of dealt uses, 8 bytes each; more lie in a temporary file
BUCKET_USES = 1 << 15
FAR = np.iinfo(np.int64).max
SALT = np.array([0, 0x5BD1E995, 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F], np.uint32)
LEAST_WORDS = 6  # a shorter prompt is no question of its own: "yes", "continue"


@dataclass(frozen=True)
class HotMarkers:
    """Markers that were ever hot, in order of first use; entries grouped by marker, in time order."""

    value: np.ndarray  # (markers,) uint32
    kind: np.ndarray  # (markers,) int8
    hot_from_us: np.ndarray  # (markers,) int64
    begin: np.ndarray  # (markers + 1,) int64 into entry_row
    entry_row: np.ndarray  # (entries,) int32 first use by each party
    uses: np.ndarray  # (exchanges,) uint32, one bit for each marker of the row that was ever hot
    entries: np.ndarray  # (exchanges,) uint32, one bit for each that is its party's first use


def hot_markers(
    columns: Columns,
    party: np.ndarray,
    ts: np.ndarray,
    window: int,
    settled: int,
    least: int,
    novelty: float,
    threads: int,
) -> HotMarkers:
    """Find them. columns: what `fill_markers` takes; window, settled in µs: an entry before the window, or
    before the log had settled, is an earlier one; least, novelty: as `is_hot` takes them."""
    n = len(ts)
    parties = int(party.max()) + 1 if n else 0
    rounds = max(threads, -(-n * width(columns) // ROUND_USES))
    with ThreadPoolExecutor(threads) as pool, _UsesByRound(rounds) as dealt:
        blocks = range(0, n, BLOCK_ROWS)
        for k in range(0, len(blocks), threads):
            some = blocks[k : k + threads]
            for block in pool.map(lambda at: _by_round(columns, at, min(at + BLOCK_ROWS, n), rounds), some):
                dealt.add(*block)

        def follow(first: int) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, ...]]]:
            """Every `threads`-th round, from the first."""
            uses, entries = np.zeros(n, np.uint32), np.zeros(n, np.uint32)
            found = [
                _round(
                    *(dealt.of_round(r), *dealt.bounds(r), party, ts, parties),
                    *(window, settled, least, novelty, uses, entries),
                )
                for r in range(first, rounds, threads)
            ]
            return uses, entries, found

        shares = list(pool.map(follow, range(threads)))
    uses, entries, found = shares[0]
    for more_uses, more_entries, more in shares[1:]:
        uses |= more_uses
        entries |= more_entries
        found = found + more
    value, place, hot_from, length, rows = (np.concatenate(part) for part in zip(*found, strict=True))
    kinds = np.array(kinds_of(columns), np.int8)
    order = np.argsort(place)  # no two markers share a place
    starts = np.cumsum(length) - length
    begin = np.zeros(len(order) + 1, np.int64)
    np.cumsum(length[order], out=begin[1:])
    rows = rows[np.repeat(starts[order] - begin[:-1], length[order]) + np.arange(begin[-1])]
    kind = kinds[place[order] & np.uint32((1 << PLACE_BITS) - 1)]
    return HotMarkers(value[order], kind, hot_from[order], begin, rows, uses, entries)


class _UsesByRound:
    """The uses of markers, dealt into rounds by the markers' hashes; in the log's order within a round."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115
        self._begins: list[np.ndarray] = []  # of each block: where each round begins in the file, in uses
        self._end = 0
        self._lock = Lock()

    def __enter__(self) -> "_UsesByRound":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, packed: np.ndarray, begin: np.ndarray) -> None:
        """Keep the log's next block. begin: (rounds + 1,) where each round begins.

        Raises: InputError where the folder for temporary files has no room for it.
        """
        try:
            self._file.write(packed.data)
        except OSError as error:
            raise InputError(
                f"{gettempdir()}: cannot hold the log's markers: {error.strerror}; "
                "set TMPDIR to a folder with more room"
            ) from error
        self._begins.append(begin + self._end)
        self._end += len(packed)

    def bounds(self, r: int) -> tuple[int, int]:
        """Between which hashes a round's markers lie, as `_by_round` deals them."""
        return -(-(r << 32) // self._rounds), -(-((r + 1) << 32) // self._rounds)

    def of_round(self, r: int) -> np.ndarray:
        """(uses,) uint64 of a round: a marker's value in the upper half and its place in the lower."""
        parts = [(int(begin[r]), int(begin[r + 1])) for begin in self._begins]
        out = np.empty(sum(end - begin for begin, end in parts), np.uint64)
        filled = 0
        with self._lock:
            for begin, end in parts:
                self._file.seek(begin * out.itemsize)
                self._file.readinto(out[filled : filled + end - begin].data.cast("B"))
                filled += end - begin
        return out


def kinds_of(columns: Columns) -> list[int]:
    """Kind of each of a row's markers: phrases, system phrases, head, tail, whole prompt, system text."""
    return [0] * columns[0].shape[1] + [1] * columns[1].shape[1] + [2, 3, 4, 5]


def width(columns: Columns) -> int:
    """How many markers a row has at most."""
    return len(kinds_of(columns))


@njit(cache=True, nogil=True)
def fill_markers(phrases, system_phrases, head, tail, exact, system, words, i, out):
    """Every marker of exchange i into out (width,), 0 where it has none. Equal hashes of two kinds differ."""
    k = phrases.shape[1]
    s = k + system_phrases.shape[1]
    for j in range(k):
        out[j] = phrases[i, j]
    for j in range(k, s):
        out[j] = _add_salt(system_phrases[i, j - k], SALT[1])
    half = np.uint64(32)
    out[s] = _add_salt(head[i] >> half, SALT[2])
    out[s + 1] = _add_salt(tail[i] >> half, SALT[3])
    out[s + 2] = _add_salt(exact[i] >> half if words[i] >= LEAST_WORDS else np.uint64(0), SALT[4])
    out[s + 3] = _add_salt(system[i] >> half, SALT[5])


@njit(cache=True, nogil=True, inline="always")
def _add_salt(value, salt):
    if value == 0:
        return np.uint32(0)
    salted = np.uint32(value) ^ salt
    return salted if salted != np.uint32(0) else np.uint32(1)


@njit(cache=True, nogil=True, inline="always")
def is_hot(recent, earlier, least, novelty):
    """Whether enough parties entered lately, and far more than before."""
    return recent >= least and recent >= novelty * earlier


@njit(cache=True, nogil=True, inline="always")
def _hash(value):
    return np.int64((np.uint64(value) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF))


@njit(cache=True, nogil=True)
def _by_round(columns, first, last, rounds):
    """The uses of some rows by round, in row order within each, and where each round begins (rounds + 1,)."""
    each = columns[0].shape[1] + columns[1].shape[1] + 4
    phrases, system_phrases, head, tail, exact, system, words = columns
    values = np.empty(each, np.uint32)
    begin = np.zeros(rounds + 1, np.int64)
    for i in range(first, last):
        fill_markers(phrases, system_phrases, head, tail, exact, system, words, i, values)
        for j in range(each):
            if values[j] != np.uint32(0):
                begin[(_hash(values[j]) * rounds >> 32) + 1] += 1
    for r in range(rounds):
        begin[r + 1] += begin[r]
    fill = begin[:-1].copy()
    packed = np.empty(begin[rounds], np.uint64)
    for i in range(first, last):
        fill_markers(phrases, system_phrases, head, tail, exact, system, words, i, values)
        for j in range(each):
            if values[j] != np.uint32(0):
                r = _hash(values[j]) * rounds >> 32
                packed[fill[r]] = np.uint64(values[j]) << np.uint64(32) | np.uint64(i << PLACE_BITS | j)
                fill[r] += 1
    return packed, begin


@njit(cache=True, nogil=True)
def _round(dealt, low, high, party, ts, parties, window, settled, least, novelty, uses, entries):
    """Follow the markers whose hash lies in [low, high), by all their uses."""
    packed, begin = _deal(dealt, low, high)
    biggest = 0
    for b in range(len(begin) - 1):
        biggest = max(biggest, begin[b + 1] - begin[b])
    size = 1024
    while size < 2 * biggest:
        size *= 2
    keys = np.zeros(size, np.uint32)
    code_of = np.empty(size, np.int32)
    codes = np.empty(biggest, np.int32)
    names = np.empty(biggest, np.uint32)
    count = np.empty(biggest + 1, np.int64)
    places = np.empty(biggest, np.uint32)
    entrants = np.empty(biggest, np.uint32)
    stamp = np.full(parties + 1, -1, np.int64)
    stamps = 0
    value = np.empty(1024, np.uint32)
    place = np.empty(1024, np.uint32)
    hot_from = np.empty(1024, np.int64)
    length = np.empty(1024, np.int64)
    rows = np.empty(4096, np.int32)
    found = 0
    filled = 0
    for b in range(len(begin) - 1):
        bucket = packed[begin[b] : begin[b + 1]]
        size = 64
        while size < 2 * len(bucket):
            size *= 2
        keys[:size] = 0
        different = 0
        for k in range(len(bucket)):
            v = np.uint32(bucket[k] >> np.uint64(32))
            s = (np.int64(v) * 0x2545F491 >> 12) & (size - 1)
            while keys[s] != np.uint32(0) and keys[s] != v:
                s = (s + 1) & (size - 1)
            if keys[s] == np.uint32(0):
                keys[s] = v
                code_of[s] = different
                names[different] = v
                count[different] = 0
                different += 1
            codes[k] = code_of[s]
            count[code_of[s]] += 1
        end = 0
        for c in range(different):
            many = count[c]
            count[c] = end if many >= least else -1
            end += many if many >= least else 0
        for k in range(len(bucket)):
            at = count[codes[k]]
            if at >= 0:
                places[at] = np.uint32(bucket[k] & np.uint64(0xFFFFFFFF))
                count[codes[k]] += 1
        start = 0
        for c in range(different):
            if count[c] < 0:
                continue
            group = places[start : count[c]]
            start = count[c]
            m = 0
            stamps += 1
            for k in range(len(group)):
                p = party[group[k] >> np.uint32(PLACE_BITS)] + 1
                if stamp[p] != stamps:
                    stamp[p] = stamps
                    entrants[m] = group[k]
                    m += 1
            since = _hot_from(entrants[:m], ts, window, settled, least, novelty)
            if since == FAR:
                continue
            if found == len(value):
                value, place = twice(value), twice(place)
                hot_from, length = twice(hot_from), twice(length)
            while filled + m > len(rows):
                rows = twice(rows)
            first = group[0]
            value[found] = names[c]
            place[found] = first
            hot_from[found] = since
            length[found] = m
            found += 1
            _mark(group, uses)
            _mark(entrants[:m], entries)
            for k in range(m):
                rows[filled + k] = entrants[k] >> np.uint32(PLACE_BITS)
            filled += m
    return (
        value[:found].copy(),
        place[:found].copy(),
        hot_from[:found].copy(),
        length[:found].copy(),
        rows[:filled].copy(),
    )


@njit(cache=True, nogil=True)
def _deal(dealt, low, high):
    """A round's uses by bucket, in their order within each, and where each bucket begins."""
    buckets = 1
    while buckets * BUCKET_USES < len(dealt):
        buckets *= 2
    shift = 0
    while (high - 1 - low) >> shift >= buckets:
        shift += 1
    begin = np.zeros(buckets + 1, np.int64)
    for use in dealt:
        begin[((_hash(use >> np.uint64(32)) - low) >> shift) + 1] += 1
    for b in range(buckets):
        begin[b + 1] += begin[b]
    fill = begin[:-1].copy()
    packed = np.empty(len(dealt), np.uint64)
    for use in dealt:
        b = (_hash(use >> np.uint64(32)) - low) >> shift
        packed[fill[b]] = use
        fill[b] += 1
    return packed, begin


@njit(cache=True, nogil=True)
def _hot_from(entrants, ts, window, settled, least, novelty):
    """The first entry's time at which a marker is hot, or FAR."""
    old = 0
    for j in range(len(entrants)):
        now = ts[entrants[j] >> np.uint32(PLACE_BITS)]
        oldest = max(now - window, settled)
        while old <= j and ts[entrants[old] >> np.uint32(PLACE_BITS)] < oldest:
            old += 1
        if is_hot(j - old + 1, old, least, novelty):
            return now
    return FAR


@njit(cache=True, nogil=True)
def _mark(places, bits):
    for k in range(len(places)):
        bits[places[k] >> np.uint32(PLACE_BITS)] |= np.uint32(1) << (places[k] & np.uint32(31))
