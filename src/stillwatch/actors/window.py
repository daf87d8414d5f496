"""The links of the last few days as a graph, hour by hour; sums are updated, never recomputed."""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors.links import Links
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.column_file import let_go

SMALL = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Graph:
    """A symmetric graph in compressed rows; weights are whole thousandths of a bit, so sums are exact.

    A tenant without a link in the window is not a node: most have none, and each node costs time.
    """

    tenant: np.ndarray  # (nodes,) int32 the tenant of each node, ascending
    begin: np.ndarray  # (nodes + 1,) int64
    neighbour: np.ndarray  # (edges,) int32, each edge in both directions, ascending within a node
    weight: np.ndarray  # (edges,) int64


class LinkWindow:
    """A window that moves forward over links in time order. A pair's sum is stored at both its places."""

    def __init__(self, links: Links, tenants: int) -> None:
        self._links = links
        self._begin = np.full(tenants + 1, len(links.neighbour), np.int64)
        self._begin[: len(links.row_begin)] = links.row_begin
        self._sum = np.zeros(len(links.neighbour), np.int32 if links.heaviest <= SMALL else np.int64)
        self._lo = self._hi = self._edges = 0

    def moved(self, since_us: int, until_us: int) -> Graph:
        """Return the links of [since, until), with parallel ones summed. Neither end may move back."""
        lo, hi = (int(k) for k in np.searchsorted(self._links.at_us, [since_us, until_us]))
        self._edges += self._add(self._lo, min(self._hi, lo), -1) + self._add(max(self._hi, lo), hi, 1)
        self._lo, self._hi = lo, hi
        let_go((self._links.place,))
        # one extra place for values that are written and ignored
        neighbour, weight = np.empty(self._edges + 1, np.int32), np.empty(self._edges + 1, np.int64)
        tenants = len(self._begin) - 1
        number, tenant = np.full(tenants, -1, np.int32), np.empty(tenants, np.int32)
        begin = np.empty(tenants + 1, np.int64)
        compact = kernels.compact if self._sum.dtype == np.int32 else kernels.compact_wide
        nodes = compact(
            *(self._begin, tenants, self._links.neighbour, self._sum),
            *(neighbour, weight, number, tenant, begin),
        )
        return Graph(tenant[:nodes].copy(), begin[: nodes + 1].copy(), neighbour[:-1], weight[:-1])

    def _add(self, lo: int, hi: int, sign: int) -> int:
        """Add the links of some entries; return how many edges were added."""
        links = self._links
        add = kernels.add_links if self._sum.dtype == np.int32 else kernels.add_links_wide
        return int(add(self._sum, links.place, links.other, links.begin, links.weight, lo, hi, sign))
