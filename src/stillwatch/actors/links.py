"""Links between the parties that entered a hot marker, in time order: a pair of parties each.

The entries that link are put in order (they are fewer), each knows how many links it makes and what they
weigh, and a link itself is no more than the number of its pair. What a hot entry is, `spread` says. It does
not know what the links add up to.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors.markers import HotMarkers
from stillwatch.compiled_code.library import kernels
from stillwatch.stats.dealing import deal


@dataclass(frozen=True)
class Links:
    """The entries that link, in time order, the links that each makes, and the pairs that were ever linked.

    A link's weight is its entry's. Pairs stand in compressed rows of parties, once in the row of either.
    """

    at_us: np.ndarray  # (entries,) int64 when the entry's links arose
    weight: np.ndarray  # (entries,) int32 of each of its links, in thousandths of a bit
    begin: np.ndarray  # (entries + 1,) int64 where its links begin
    place: np.ndarray  # (links,) int32 its pair's place in the row of the lower party
    row_begin: np.ndarray  # (parties + 1,) int64
    neighbour: np.ndarray  # (places,) int32, ascending within a row
    other: np.ndarray  # (places,) int32 the pair's other place
    heaviest: int  # what all links of one pair weigh together, at most

    def __len__(self) -> int:
        return len(self.place)


def nothing() -> Links:
    """No link."""
    none, few = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return Links(none, few, np.zeros(1, np.int64), few, np.zeros(1, np.int64), few, few, 0)


def links(
    hot: HotMarkers,
    party: np.ndarray,
    ts: np.ndarray,
    known: np.ndarray,
    window: int,
    settled: int,
    least: int,
    novelty: float,
    neighbours: int,
) -> Links:
    """Every link, by time, marker and entry.

    known: sorted times at which each party was first seen; window, settled in µs, as `hot_markers` takes
    them; neighbours: how many of the latest entrants an entrant is linked to.
    """
    n = len(ts)
    # the hot entries that link, by time and marker: their number, the oldest entry in their window (as
    # -1 - it where the marker was not hot at the entry before), and what a link of theirs weighs
    entry, oldest, weight = (np.empty(len(hot.entry_row), np.int32) for _ in range(3))
    found = kernels.linking(
        *(hot.begin, len(hot.begin) - 1, hot.entry_row, ts, n, known, len(known)),
        *(window, settled, least, novelty, neighbours, np.empty(n, np.int32), np.zeros(n + 1, np.int64)),
        *(entry, oldest, weight),
    )
    entry, oldest, weight = (column[:found].copy() for column in (entry, oldest, weight))
    begin = _begins(entry, oldest, neighbours)
    # each link's pair, numbered as they arise; the pairs' parties; and what each weighs in all
    many = int(begin[-1])
    pair, low, high = (np.empty(many, np.int32) for _ in range(3))
    weighs, pairs = np.empty(many, np.int64), np.zeros(1, np.int64)
    kernels.pair_links(
        *(hot.entry_row, party, entry, oldest, weight, len(entry), begin, neighbours),
        *(pair, low, high, weighs, pairs),
    )
    low, high = (parties[: pairs[0]].copy() for parties in (low, high))
    row_begin, neighbour, place, other = _rows(low, high, int(high.max(initial=-1)) + 1)
    heaviest = int(weighs[: pairs[0]].max(initial=0))
    pair = place[pair]
    return Links(ts[hot.entry_row[entry]], weight, begin, pair, row_begin, neighbour, other, heaviest)


def _begins(entry: np.ndarray, oldest: np.ndarray, neighbours: int) -> np.ndarray:
    """(entries + 1,) where each entry's links begin."""
    newly = oldest < 0
    recent = entry - np.where(newly, -1 - oldest, oldest).astype(np.int64)
    linked = np.minimum(recent, neighbours)
    earlier = linked * (linked - 1) // 2 + (recent - linked) * neighbours  # links of those before it
    begin = np.zeros(len(entry) + 1, np.int64)
    np.cumsum(linked + newly * earlier, out=begin[1:])
    return begin


def _rows(
    low: np.ndarray, high: np.ndarray, parties: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of both directions, ascending: where each begins, its neighbours, the place of each pair in the
    row of its lower party, and of every place the pair's other one."""
    pairs = len(low)
    begin, fill = np.empty(parties + 1, np.int64), np.empty(parties + 1, np.int64)
    neighbour, other = np.empty(2 * pairs, np.int32), np.empty(2 * pairs, np.int32)
    place, back = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    kernels.pair_rows(
        *(low, high, deal(low, parties)[1], deal(high, parties)[1], pairs, parties),
        *(begin, fill, neighbour, place, other, back),
    )
    return begin, neighbour, place, other
