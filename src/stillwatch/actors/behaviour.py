"""Behaviour: what a tenant did with the service in a window, as far as the provider sees it.

Model, settings and volume of the exchanges that carry emerging fingerprints. It does not know who belongs
together.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors.spread import Spread
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import deal

NEVER = np.iinfo(np.int64).max
NEEDED = 2  # emerging fingerprints that an exchange must carry: one may be chance
LOOK_BACK = 64  # exchanges read per tenant and window: more add no certainty, only cost


@dataclass(frozen=True)
class EmergingRows:
    """Exchanges by tenant: all, or those with NEEDED emerging fingerprints, and when each comes to count."""

    begin: np.ndarray  # (tenants + 1,) int64
    row: np.ndarray  # (rows,) int32, in time order within a tenant
    ts_us: np.ndarray  # (exchanges,) int64 the log's own
    counts_from_us: np.ndarray  # (rows,) int64; or none, where each counts from its own moment on


def tokens_of(log: ExchangeLog) -> np.ndarray:
    """(exchanges,) int32: the output tokens of each, at least 1.

    A tenant's model is the one that most of its tokens came from: cheap requests to other models then hide
    nothing. Counted by requests, 1.3 short ones for each wanted one were enough.
    """
    tokens: np.ndarray = np.maximum(log["output_tokens"], 1)
    return tokens


def emerging_rows(log: ExchangeLog, spread: Spread, tenant: np.ndarray, tenants: int) -> EmergingRows:
    """Exchanges whose wording was, from some moment on, new among accounts and shared."""
    ts, seen = log["ts_us"], np.empty(NEEDED, np.int64)
    # when each exchange came to carry NEEDED emerging fingerprints
    counts_from = np.full(len(ts), NEVER, np.int64)
    kernels.counts_from(
        *(spread.row, spread.fingerprint, len(spread.row), spread.emerging_from_us),
        *(ts, NEEDED, seen, counts_from),
    )
    rows = np.flatnonzero(counts_from < NEVER).astype(np.int32)
    begin, order = deal(tenant[rows], tenants)
    rows = rows[order]
    return EmergingRows(begin, rows, ts, counts_from[rows])


def all_rows(log: ExchangeLog, tenant: np.ndarray, tenants: int) -> EmergingRows:
    """Every exchange, for the population's behaviour."""
    return EmergingRows(*deal(tenant, tenants), log["ts_us"], np.zeros(0, np.int64))


def posture(
    rows: EmergingRows, until: int, since: int, values: np.ndarray, weight: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each tenant's most used value of each setting, over its latest counted exchanges in [since, until).

    values, weight, levels: as `most_used` takes them. Returns (counted (tenants,) int32, dominant (settings,
    tenants) int32 with -1 where nothing was counted).
    """
    tenants = len(rows.begin) - 1
    begin = np.empty(tenants + 1, np.int64)
    # each tenant's last that count by then
    latest = np.empty(min(len(rows.row), tenants * LOOK_BACK), np.int32)
    n = kernels.latest(
        *(rows.begin, tenants, rows.row, *np.searchsorted(rows.ts_us, [since, until])),
        *(rows.counts_from_us, len(rows.counts_from_us), until, LOOK_BACK, begin, latest),
    )
    return np.diff(begin).astype(np.int32), most_used(begin, latest[:n], values, weight, levels)[0]


def most_used(
    begin: np.ndarray, rows: np.ndarray, values: np.ndarray, weight: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each group's most used value of each setting, and how often it is used; ties go to the smaller code.

    begin: (groups + 1,) int64 into rows; rows: (rows,) int32 columns of values; values: (settings, n) int32
    codes from 0, fewer than `levels`, in Fortran's order; weight: (n,) int32, what each counts for in the
    first setting. Returns two (settings, groups) arrays, the values with -1 for a group without rows.
    """
    shape = (len(values), len(begin) - 1)
    value, used = np.full(shape, -1, np.int32), np.zeros(shape, np.int64)
    tally = np.zeros(levels, np.int64)
    kernels.most_used(begin, shape[1], rows, values.T, shape[0], weight, tally, value, used)
    return value, used
