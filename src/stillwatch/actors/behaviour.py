"""Behaviour: what a party did with the service in a window, as far as the provider sees it.

Model, settings and volume of the exchanges that carry hot markers. It does not know who belongs together.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors.spread import Spread
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import deal

NEVER = np.iinfo(np.int64).max
NEEDED = 2  # hot markers that an exchange must carry: one may be chance
LOOK_BACK = 64  # exchanges read per party and window: more add no certainty, only cost


@dataclass(frozen=True)
class HotRows:
    """Exchanges by party: all, or those that carry NEEDED hot markers, and when each comes to count."""

    begin: np.ndarray  # (parties + 1,) int64
    row: np.ndarray  # (rows,) int32, in time order within a party
    ts_us: np.ndarray  # (exchanges,) int64 the log's own
    counts_from_us: np.ndarray  # (rows,) int64; or none, where each counts from its own moment on


def tokens_of(log: ExchangeLog) -> np.ndarray:
    """(exchanges,) int32: the output tokens of each, at least 1.

    A party's model is the one that most of its tokens came from: cheap requests to other models then hide
    nothing. Counted by requests, 1.3 short ones for each wanted one were enough.
    """
    tokens: np.ndarray = np.maximum(log["output_tokens"], 1)
    return tokens


def hot_rows(log: ExchangeLog, spread: Spread, party: np.ndarray, parties: int) -> HotRows:
    """Exchanges whose wording was, from some moment on, new among accounts and shared."""
    ts, seen = log["ts_us"], np.empty(NEEDED, np.int64)
    counts_from = np.full(len(ts), NEVER, np.int64)  # when each exchange came to carry NEEDED hot markers
    kernels.counts_from(
        *(spread.row, spread.marker, len(spread.row), spread.hot_from_us, ts, NEEDED, seen, counts_from)
    )
    rows = np.flatnonzero(counts_from < NEVER).astype(np.int32)
    begin, order = deal(party[rows], parties)
    rows = rows[order]
    return HotRows(begin, rows, ts, counts_from[rows])


def all_rows(log: ExchangeLog, party: np.ndarray, parties: int) -> HotRows:
    """Every exchange, for the population's behaviour."""
    return HotRows(*deal(party, parties), log["ts_us"], np.zeros(0, np.int64))


def posture(
    rows: HotRows, until: int, since: int, values: np.ndarray, weight: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each party's most used value of each setting, over its latest counted exchanges in [since, until).

    values, weight, levels: as `most_used` takes them. Returns (counted (parties,) int32, dominant (settings,
    parties) int32 with -1 where nothing was counted).
    """
    parties = len(rows.begin) - 1
    begin = np.empty(parties + 1, np.int64)
    # each party's last that count by then
    latest = np.empty(min(len(rows.row), parties * LOOK_BACK), np.int32)
    n = kernels.latest(
        *(rows.begin, parties, rows.row, *np.searchsorted(rows.ts_us, [since, until])),
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
