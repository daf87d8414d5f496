"""How wording spreads: phrases, frames and questions that are new among accounts, with their users over time.

A *fingerprint* is one hash of a sketch (a phrase, a head, a tail, a whole prompt, a system text). Its
*entrants* are the tenants that used it, each at its first use. A fingerprint is *emerging* at an entry when
at least `MIN_ENTRANTS` tenants entered within `WINDOW_DAYS` and they outnumber all earlier ones `NOVELTY` to
one: new *and* shared. Everything here looks back only: whether a fingerprint is emerging at an entry follows
from earlier entries.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stillwatch.actors.fingerprints import (
    FAR,
    PLACE_BITS,
    Columns,
    EmergingFingerprints,
    emerging_fingerprints,
    row_columns,
)
from stillwatch.actors.links import Links, links, no_links
from stillwatch.compiled_code.library import kernels
from stillwatch.errors import InputError
from stillwatch.exchanges.column_file import let_go, seldom_read
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.units import DAY_US

WINDOW_DAYS = 5.0  # a pool of 100 accounts with 25 a day each takes 10,000 in four days (docs/field.md)
BURN_IN_DAYS = 3.0  # in which most customers of long-installed software are seen at least once
MIN_ENTRANTS = 4  # smaller groups are judged account by account
NOVELTY = 3.0  # recent entrants per earlier one
NEIGHBOURS = 16  # an entrant is linked only to the latest few, so that the work per fingerprint is linear
WINDOW_US = int(WINDOW_DAYS * DAY_US)
BURN_IN_US = int(BURN_IN_DAYS * DAY_US)
KINDS = ("wording", "system wording", "opening", "ending", "question", "system text")


@dataclass(frozen=True)
class Spread:
    """Links between tenants through emerging fingerprints, in time order, and exchanges that carry them."""

    links: Links
    entry_tenant: np.ndarray  # (entries,) int32 first uses of fingerprints that emerged, in time order
    entry_fingerprint: np.ndarray  # (entries,) int32
    entry_row: np.ndarray  # (entries,) int32
    # the uses; for a long log in files
    row: np.ndarray  # (uses,) int32 exchange that carries an emerging fingerprint, in time order
    fingerprint: np.ndarray  # (uses,) int32 which fingerprint
    emerging_from_us: np.ndarray  # (fingerprints,) int64 first moment at which it was emerging
    fingerprint_kind: np.ndarray  # (fingerprints,) int8
    fingerprint_value: np.ndarray  # (fingerprints,) uint32: the hash, the same in every log under one key
    ts_us: np.ndarray  # (exchanges,) int64 the log's own

    def entry_us(self, entries: np.ndarray) -> np.ndarray:
        """(n,) int64 times of some entries."""
        times_us: np.ndarray = self.ts_us[self.entry_row[entries]]
        return times_us


def spread(
    log: ExchangeLog,
    tenant: np.ndarray,
    *,
    threads: int = 2,
    kinds: Collection[str] = KINDS,
    forgotten_us: int = 0,
    window_us: int = WINDOW_US,
    burn_in_us: int = BURN_IN_US,
    min_entrants: int = MIN_ENTRANTS,
    novelty: float = NOVELTY,
    neighbours: int = NEIGHBOURS,
    linked: bool = True,
) -> Spread:
    """Follow every fingerprint of a log over its tenants. The result does not depend on `threads`.

    tenant: (exchanges,) int32, the tenant of each (an organisation, else the account); kinds: of KINDS, those
    to follow; forgotten_us: earlier exchanges are no longer in the log. If nothing was forgotten, the log's
    first days are its burn-in: what is in use then is not new. linked: whether to build the links, which take
    most of the memory.

    Raises: InputError for a log with more rows than a fingerprint's place can number.
    """
    n = len(log)
    if n >> (32 - PLACE_BITS):
        raise InputError(f"a log of {n:,} exchanges is too long to watch at once: give at most 134,000,000")
    if n == 0:
        return _no_spread()
    sketches = (log.phrases, log.system_phrases, log["head"], log["tail"], log["exact"], log["system"])
    sketch_columns = (  # 0 means no fingerprint
        column if kind in kinds else np.zeros_like(column)
        for kind, column in zip(KINDS, sketches, strict=True)
    )
    columns = (*sketch_columns, log["words"])
    ts = log["ts_us"]
    settled = 0 if forgotten_us else int(ts[0]) + burn_in_us
    emerging = emerging_fingerprints(columns, tenant, ts, window_us, settled, min_entrants, novelty, threads)
    with ThreadPoolExecutor(threads) as pool:
        uses = [
            seldom_read(part, n) for part in _marked_uses(columns, emerging, emerging.uses, pool, threads)
        ]
        entries = _marked_uses(columns, emerging, emerging.entries, pool, threads)
    pairs = no_links()
    if linked:
        first = np.full(int(tenant.max()) + 2, FAR)  # for each tenant, and for none
        np.minimum.at(first, tenant + 1, ts)
        seen_us = np.sort(first[first < FAR])
        pairs = links(emerging, tenant, ts, seen_us, window_us, settled, min_entrants, novelty, neighbours)
    return Spread(
        pairs,
        tenant[entries[0]],
        entries[1],
        entries[0],
        uses[0],
        uses[1],
        emerging.emerging_from_us,
        emerging.kind,
        emerging.value,
        ts,
    )


def _no_spread() -> Spread:
    kinds = (np.int32, np.int32, np.int32, np.int32, np.int32, np.int64, np.int8, np.uint32, np.int64)
    return Spread(no_links(), *(np.zeros(0, kind) for kind in kinds))


def _marked_uses(
    columns: Columns, emerging: EmergingFingerprints, bits: np.ndarray, pool: ThreadPoolExecutor, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """(row, fingerprint) of every set bit, in the order of the log."""
    cuts = np.linspace(0, len(bits), 4 * threads + 1).astype(np.int64)
    counts = [int(np.bitwise_count(bits[a:b]).sum()) for a, b in pairwise(cuts)]
    ends = np.cumsum([0, *counts])
    keys, numbers = _number_fingerprints(emerging.value)
    row, fingerprint = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.int32)

    def fill(k: int) -> None:
        a, b = ends[k], ends[k + 1]
        kernels.fill_uses(
            *(*row_columns(columns), bits, cuts[k], cuts[k + 1], keys, numbers, len(keys)),
            *(row[a:b], fingerprint[a:b]),
        )
        let_go(columns)

    list(pool.map(fill, range(len(counts))))
    return row, fingerprint


def _number_fingerprints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fingerprints and their numbers as an open-addressed table."""
    size = 1 << max(10, int(2 * len(values) - 1).bit_length())
    keys, numbers = np.zeros(size, np.uint32), np.empty(size, np.int32)
    kernels.number_fingerprints(values, len(values), keys, numbers, size)
    return keys, numbers
