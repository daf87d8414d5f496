"""Links between the tenants that entered an emerging fingerprint, in time order: a pair of tenants each.

The linking entries are sorted, since they are fewer. Each has the number of its links and their weight, and a
link itself is only the index of its pair. `spread` defines emerging entries.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors.fingerprints import EmergingFingerprints
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.column_file import ROWS_AT_ONCE, seldom_read
from stillwatch.stats.dealing import begins, deal


@dataclass(frozen=True)
class Links:
    """The entries that link, in time order, the links of each, and all pairs ever linked.

    A link's weight is its entry's. Pairs are in compressed rows of tenants, once in the row of each.
    """

    at_us: np.ndarray  # (entries,) int64 when the entry's links arose
    weight: np.ndarray  # (entries,) int32 of each of its links, in thousandths of a bit
    begin: np.ndarray  # (entries + 1,) int64 where its links begin
    # (links,) int32 index of its pair in the row of the lower tenant; for a long log in a file
    place: np.ndarray
    row_begin: np.ndarray  # (tenants + 1,) int64
    neighbour: np.ndarray  # (places,) int32, ascending within a row
    other: np.ndarray  # (places,) int32 the pair's place in the other row
    heaviest: int  # upper bound on the total weight of one pair's links

    def __len__(self) -> int:
        return len(self.place)


def no_links() -> Links:
    """Return an empty set of links."""
    no_times, no_codes = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return Links(
        no_times, no_codes, np.zeros(1, np.int64), no_codes, np.zeros(1, np.int64), no_codes, no_codes, 0
    )


def links(
    emerging: EmergingFingerprints,
    tenant: np.ndarray,
    ts: np.ndarray,
    first_seen_us: np.ndarray,
    window: int,
    settled: int,
    least: int,
    novelty: float,
    neighbours: int,
) -> Links:
    """Return every link, by time, fingerprint and entry.

    first_seen_us: (tenants,) when each tenant was first seen, sorted; window, settled in µs, as for
    `emerging_fingerprints`; neighbours: the number of latest entrants to which an entrant is linked.
    """
    n = len(ts)
    # the linking entries, by time and fingerprint: their index, the oldest entry in their window (as -1 - it
    # if the fingerprint was not emerging at the entry before), and the weight of each of their links
    entry, oldest, weight = (np.empty(len(emerging.entry_row), np.int32) for _ in range(3))
    count = kernels.linking(
        *(
            emerging.begin,
            len(emerging.begin) - 1,
            emerging.entry_row,
            ts,
            n,
            first_seen_us,
            len(first_seen_us),
        ),
        *(window, settled, least, novelty, neighbours, np.empty(n, np.int32), np.zeros(n + 1, np.int64)),
        *(entry, oldest, weight),
    )
    entry, oldest, weight = (column[:count].copy() for column in (entry, oldest, weight))
    begin = _begins(entry, oldest, neighbours)
    # each link's pair, numbered in order; the pairs' tenants; and each pair's total weight
    total = int(begin[-1])
    pair, low, high = (np.empty(total, np.int32) for _ in range(3))
    pair_weight, pairs = np.empty(total, np.int64), np.zeros(1, np.int64)
    kernels.pair_links(
        *(emerging.entry_row, tenant, entry, oldest, weight, len(entry), begin, neighbours),
        *(pair, low, high, pair_weight, pairs),
    )
    low, high = (tenants[: pairs[0]].copy() for tenants in (low, high))
    row_begin, neighbour, place, other = _rows(low, high, int(high.max(initial=-1)) + 1)
    heaviest = int(pair_weight[: pairs[0]].max(initial=0))
    for first in range(0, total, ROWS_AT_ONCE):
        pair[first : first + ROWS_AT_ONCE] = place[pair[first : first + ROWS_AT_ONCE]]
    pair = seldom_read(pair, n)
    return Links(ts[emerging.entry_row[entry]], weight, begin, pair, row_begin, neighbour, other, heaviest)


def _begins(entry: np.ndarray, oldest: np.ndarray, neighbours: int) -> np.ndarray:
    """(entries + 1,) where each entry's links begin."""
    newly = oldest < 0
    recent = entry - np.where(newly, -1 - oldest, oldest).astype(np.int64)
    linked = np.minimum(recent, neighbours)
    earlier = linked * (linked - 1) // 2 + (recent - linked) * neighbours  # links of earlier entries
    return begins(linked + newly * earlier)


def _rows(
    low: np.ndarray, high: np.ndarray, tenants: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of both directions, ascending: where each begins, its neighbours, the place of each pair in
    the row of its lower tenant, and for every place the pair's other place."""
    pairs = len(low)
    begin, fill = np.empty(tenants + 1, np.int64), np.empty(tenants + 1, np.int64)
    neighbour, other = np.empty(2 * pairs, np.int32), np.empty(2 * pairs, np.int32)
    place, back = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    kernels.pair_rows(
        *(low, high, deal(low, tenants)[1], deal(high, tenants)[1], pairs, tenants),
        *(begin, fill, neighbour, place, other, back),
    )
    return begin, neighbour, place, other
