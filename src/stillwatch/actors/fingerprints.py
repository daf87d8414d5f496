"""Finds the fingerprints of a log that ever emerged: new among its tenants, and shared. The result is exact,
and the time linear in the log.

Fingerprints are distributed into rounds by hash in one pass over the log, and within a round into buckets
that fit a cache; every fingerprint is then followed alone. Rounds are independent, so threads may take them
in any order. `spread` defines fingerprints and when they are emerging.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile, gettempdir
from threading import Lock

import numpy as np

from stillwatch.compiled_code.library import constant, kernels
from stillwatch.exchanges.column_file import NoRoomError, let_go
from stillwatch.stats.dealing import begins

Columns = tuple[np.ndarray, ...]  # phrases, system phrases, head, tail, exact, system, words

# the lowest bits of a use: which of at most 32 fingerprints of the row; the row is above them
PLACE_BITS = constant("PLACE_BITS")
ROUND_USES = 1 << 22  # at most: 32 MB per round and thread, and as much again by bucket
BLOCK_ROWS = 1 << 17  # distributed into rounds at once
IN_MEMORY_BYTES = 1 << 27  # of distributed uses, 8 bytes each; more go to a temporary file
FAR = np.iinfo(np.int64).max
LEAST_WORDS = constant("LEAST_WORDS")  # a shorter prompt ("yes", "continue") does not count as a question


@dataclass(frozen=True)
class EmergingFingerprints:
    """Fingerprints that ever emerged, in order of first use; entries by fingerprint, in time order."""

    value: np.ndarray  # (fingerprints,) uint32
    kind: np.ndarray  # (fingerprints,) int8
    emerging_from_us: np.ndarray  # (fingerprints,) int64
    begin: np.ndarray  # (fingerprints + 1,) int64 into entry_row
    entry_row: np.ndarray  # (entries,) int32 first use by each tenant
    uses: np.ndarray  # (exchanges,) uint32, one bit for each fingerprint of the row that was ever emerging
    entries: np.ndarray  # (exchanges,) uint32, one bit for each that is its tenant's first use


def emerging_fingerprints(
    columns: Columns,
    tenant: np.ndarray,
    ts: np.ndarray,
    window: int,
    settled: int,
    least: int,
    novelty: float,
    threads: int,
) -> EmergingFingerprints:
    """Find them. columns: as for `fill_fingerprints`; window, settled in µs: an entry before the window, or
    before the log had settled, counts as earlier; least, novelty: as for `is_emerging`."""
    n = len(ts)
    tenants = int(tenant.max()) + 1 if n else 0
    rounds = max(threads, -(-n * width(columns) // ROUND_USES))
    with ThreadPoolExecutor(threads) as pool, _UsesByRound(rounds) as dealt:
        blocks = range(0, n, BLOCK_ROWS)
        for k in range(0, len(blocks), threads):
            block_starts = blocks[k : k + threads]
            for block in pool.map(
                lambda at: _by_round(columns, at, min(at + BLOCK_ROWS, n), rounds), block_starts
            ):
                dealt.add(*block)
            let_go(columns)

        def follow(first: int) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, ...]]]:
            """Process every `threads`-th round, from the first."""
            uses, entries = np.zeros(n, np.uint32), np.zeros(n, np.uint32)
            rounds_found = [
                _round(
                    *(dealt.of_round(r), dealt.bounds(r), tenant, ts, tenants),
                    *((window, settled, least, novelty), (uses, entries)),
                )
                for r in range(first, rounds, threads)
            ]
            return uses, entries, rounds_found

        shares = list(pool.map(follow, range(threads)))
    uses, entries, rounds_found = shares[0]
    for more_uses, more_entries, more_found in shares[1:]:
        uses |= more_uses
        entries |= more_entries
        rounds_found = rounds_found + more_found
    value, place, emerging_from, length, rows = (
        np.concatenate(part) for part in zip(*rounds_found, strict=True)
    )
    kinds = np.array(kinds_of(columns), np.int8)
    order = np.argsort(place)  # each fingerprint has its own place
    starts = np.cumsum(length) - length
    begin = begins(length[order])
    rows = rows[np.repeat(starts[order] - begin[:-1], length[order]) + np.arange(begin[-1])]
    kind = kinds[place[order] & np.uint32((1 << PLACE_BITS) - 1)]
    return EmergingFingerprints(value[order], kind, emerging_from[order], begin, rows, uses, entries)


class _UsesByRound:
    """The uses of fingerprints, split into rounds by their hashes; within a round in the log's order."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115
        self._begins: list[np.ndarray] = []  # for each block: where each round begins in the file, in uses
        self._end = 0
        self._lock = Lock()

    def __enter__(self) -> "_UsesByRound":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, packed: np.ndarray, begin: np.ndarray) -> None:
        """Store the log's next block. begin: (rounds + 1,) where each round begins.

        Raises: NoRoomError if the folder for temporary files has no room for it.
        """
        try:
            self._file.write(packed.data)
        except OSError as error:
            raise NoRoomError(
                f"{gettempdir()}: cannot hold the log's fingerprints: {error.strerror}; "
                "set TMPDIR to a folder with more room"
            ) from error
        self._begins.append(begin + self._end)
        self._end += len(packed)

    def bounds(self, r: int) -> tuple[int, int]:
        """Return the range of hashes of a round, as `_by_round` distributes them."""
        return -(-(r << 32) // self._rounds), -(-((r + 1) << 32) // self._rounds)

    def of_round(self, r: int) -> np.ndarray:
        """(uses,) uint64 of a round: a fingerprint's value in the upper half and its place in the lower."""
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
    """Return the kinds of a row's fingerprints: phrases, system phrases, head, tail, prompt, system."""
    return [0] * columns[0].shape[1] + [1] * columns[1].shape[1] + [2, 3, 4, 5]


def width(columns: Columns) -> int:
    """Return the greatest number of fingerprints in a row."""
    return len(kinds_of(columns))


def row_columns(columns: Columns) -> tuple[np.ndarray | int, ...]:
    """Return the columns in the kernels' form, with the numbers of phrases and system phrases in a row.

    Raises: ValueError for more fingerprints in a row than a place can number.
    """
    if width(columns) > 1 << PLACE_BITS:
        raise ValueError(f"{width(columns)} fingerprints a row; right would be at most {1 << PLACE_BITS}")
    phrases, system_phrases, *others = columns
    return phrases, phrases.shape[1], system_phrases, system_phrases.shape[1], *others


def carried_values(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """(uses,) uint32 values and int64 rows of the fingerprints that some rows carry, in the rows' order."""
    packed, _ = _by_round(columns, 0, len(columns[0]), 1)
    row = (packed & np.uint64(0xFFFFFFFF)) >> np.uint64(PLACE_BITS)
    return (packed >> np.uint64(32)).astype(np.uint32), row.astype(np.int64)


def _by_round(columns: Columns, first: int, last: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the uses of some rows by round, in row order, and where each round begins (rounds + 1,)."""
    begin, fill = np.zeros(rounds + 1, np.int64), np.empty(rounds, np.int64)
    packed = np.empty((last - first) * width(columns), np.uint64)
    n = kernels.by_round(*row_columns(columns), first, last, rounds, begin, fill, packed)
    return packed[:n], begin


def _round(
    dealt: np.ndarray,
    bounds: tuple[int, int],
    tenant: np.ndarray,
    ts: np.ndarray,
    tenants: int,
    when_emerging: tuple[int, int, int, float],
    bits: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, ...]:
    """Follow the fingerprints whose hash is in [low, high), by all their uses.

    when_emerging: window, settled, least, novelty, as for `emerging_fingerprints`; bits: uses and entries,
    which it sets. Returns each emerging fingerprint's value, first place, time and number of entries, and the
    entries' rows.
    """
    most = len(dealt) // max(when_emerging[2], 1) + 1
    value, place = np.empty(most, np.uint32), np.empty(most, np.uint32)
    emerging_from, length = np.empty(most, np.int64), np.empty(most, np.int64)
    rows, counts = np.empty(len(dealt), np.int32), np.empty(2, np.int64)
    kernels.follow_round(
        *(dealt, len(dealt), *bounds, tenant, ts, tenants, *when_emerging, *bits),
        *(value, place, emerging_from, length, rows, counts),
    )
    fingerprints, entries = counts
    return *(part[:fingerprints].copy() for part in (value, place, emerging_from, length)), rows[
        :entries
    ].copy()
