"""Behaviour: a tenant's use of the service in a window, as far as the provider sees it.

It covers model, settings and volume of the exchanges that carry emerging fingerprints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stillwatch.actors.spread import Spread
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import deal, encode

NEVER = np.iinfo(np.int64).max
NEEDED = 2  # emerging fingerprints that an exchange must carry: a single one may be chance
LOOK_BACK = 64  # exchanges read per tenant and window: more cost time and add no certainty


@dataclass(frozen=True)
class EmergingRows:
    """Exchanges by tenant: all, or those with NEEDED emerging fingerprints, and when each begins to count."""

    begin: np.ndarray  # (tenants + 1,) int64
    row: np.ndarray  # (rows,) int32, in time order within a tenant
    ts_us: np.ndarray  # (exchanges,) int64 the log's own
    counts_from_us: np.ndarray  # (rows,) int64; empty if each counts from its own time


@dataclass(frozen=True)
class SettingCodes:
    """Values of several settings: the combinations that occur, and the combination of each exchange."""

    code: np.ndarray  # (exchanges,) int32
    values: np.ndarray  # (settings, combinations) int32 codes from 0, in Fortran order

    @cached_property
    def levels(self) -> int:
        """Greatest number of codes of a setting."""
        return int(self.values.max(initial=0)) + 1


def settings_of(columns: Sequence[np.ndarray]) -> tuple[SettingCodes, tuple[np.ndarray, ...]]:
    """Encode whole numbers of exchanges, one column per setting: combinations, and each one's values by code.

    >>> settings, values = settings_of([np.array([7, 7, 5]), np.array([0, 1, 0])])
    >>> settings.code, settings.values, values
    (array([1, 2, 0], dtype=int32), array([[0, 1, 1],
           [0, 0, 1]], dtype=int32), (array([5, 7]), array([0, 1])))
    """
    code = np.zeros(len(columns[0]), np.int32)
    combinations = np.zeros((0, 1), np.int64)
    values = []
    for column in columns:
        levels, level = encode(column)
        values.append(levels)
        pairs, code = encode(code.astype(np.int64) * max(len(levels), 1) + level)
        earlier, latest = np.divmod(pairs, max(len(levels), 1))
        combinations = np.vstack([combinations[:, earlier], latest])
    return SettingCodes(code, np.asfortranarray(combinations.astype(np.int32))), tuple(values)


def emerging_rows(log: ExchangeLog, spread: Spread, tenant: np.ndarray, tenants: int) -> EmergingRows:
    """Return exchanges whose wording was, from some time on, new among accounts and shared."""
    ts, seen = log["ts_us"], np.empty(NEEDED, np.int64)
    # when each exchange first carried NEEDED emerging fingerprints
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
    """Return every exchange, for the population's behaviour."""
    return EmergingRows(*deal(tenant, tenants), log["ts_us"], np.zeros(0, np.int64))


def posture(
    rows: EmergingRows, until: int, since: int, settings: SettingCodes, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each tenant's most used value of each setting, over its latest counted ones in [since, until).

    settings, weight: as `most_used` takes them. Returns (counted (tenants,) int32, dominant (settings,
    tenants) int32 with -1 if nothing was counted).
    """
    tenants = len(rows.begin) - 1
    begin = np.empty(tenants + 1, np.int64)
    # each tenant's latest exchanges that count by then
    latest = np.empty(min(len(rows.row), tenants * LOOK_BACK), np.int32)
    n = kernels.latest(
        *(rows.begin, tenants, rows.row, *np.searchsorted(rows.ts_us, [since, until])),
        *(rows.counts_from_us, len(rows.counts_from_us), until, LOOK_BACK, begin, latest),
    )
    return np.diff(begin).astype(np.int32), most_used(begin, latest[:n], settings, weight)[0]


def most_used(
    begin: np.ndarray, rows: np.ndarray, settings: SettingCodes, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each group's most used value of each setting, and its count; ties go to the smaller code.

    begin: (groups + 1,) int64 into rows; rows: (rows,) int32 exchanges; weight: (exchanges,) int32, the
    weight of each in the first setting, at least 1. The weights are output tokens: a tenant's model is the
    one that produced most of its tokens, so that cheap requests to other models hide nothing. Counted by
    requests, 1.3 short ones per real one were enough to hide it. Returns two (settings, groups) arrays, the
    values with -1 for a group without rows.
    """
    shape = (len(settings.values), len(begin) - 1)
    value, used = np.full(shape, -1, np.int32), np.zeros(shape, np.int64)
    tally = np.zeros(settings.levels, np.int64)
    kernels.most_used(
        begin, shape[1], rows, settings.code, settings.values.T, shape[0], weight, tally, value, used
    )
    return value, used
