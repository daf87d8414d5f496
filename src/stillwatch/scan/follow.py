"""Finds tenants that take up a raised alarm's signature and do little else: replacement accounts of a pool.

Such a group needs no second test: its wording is known, and the newcomers do little else. It runs at full
hours with the whole log's fingerprints, and in between with the alarms' own.

Null: only the alarm's operator takes up two of its fingerprints and then does hardly anything else.
Blind to: a newcomer with traffic of its own, or with another signature.
Fooled by: someone who copies a campaign's texts and sends little else is named with it.
Source: the range's pools that are banned and come back (docs/evidence.md).
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors.behaviour import EmergingRows, all_rows
from stillwatch.actors.fingerprints import BLOCK_ROWS, Columns, row_columns, width
from stillwatch.actors.links import no_links
from stillwatch.actors.signature import NEEDED, Signature
from stillwatch.actors.spread import Spread
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import deal_rows

LEAST_SIGNATURE = 5  # fingerprints needed to recognise a known signature
DEVOTED_LEAST = 3  # exchanges
DEVOTED_SHARE = 0.6  # a tenant that does little else is named whatever model it has moved to
MARKED = ("head", "tail", "exact", "system", "words")


@dataclass(frozen=True)
class Followers:
    """Tenants devoted to a signature, the number of their exchanges that carry it, and the first of those."""

    tenant: np.ndarray  # (n,) int32, ascending
    exchanges: np.ndarray  # (n,) int64
    first_row: np.ndarray  # (n,) int64


def followers(
    own: np.ndarray,
    signature: Signature,
    every: EmergingRows,
    tenant: np.ndarray,
    rows: tuple[int, int],
    entered_since_us: int,
    until_us: int,
    share: float = DEVOTED_SHARE,
) -> Followers:
    """Return tenants that use the own fingerprints in [rows), do little else since, and are new to them.

    own: numbers of fingerprints, at least LEAST_SIGNATURE; every: all exchanges by tenant; tenant:
    (exchanges,). Earlier users than `entered_since_us` are bystanders whose wording was copied, and are left
    out. share: least share of a tenant's exchanges since then that carry them.
    """
    matching_rows = signature.matching_rows(own, *rows)
    if len(matching_rows) == 0:
        return Followers(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))
    matching, begin, dealt = deal_rows(matching_rows, tenant)
    first, counts = dealt[begin[:-1]].astype(np.int64), np.diff(begin)
    devoted = (counts >= DEVOTED_LEAST) & (
        counts >= share * exchanges_since(matching, first, every.begin, every.row, rows[1])
    )
    matching, counts, first = matching[devoted], counts[devoted], first[devoted]
    lately = entered_in_span(signature, own, matching, entered_since_us, until_us)
    return Followers(matching[lately], counts[lately], first[lately])


def entered_in_span(
    signature: Signature, own: np.ndarray, tenants: np.ndarray, since_us: int, until_us: int
) -> np.ndarray:
    """(tenants,) whether each took up at least two of the own fingerprints in [since, until).

    Earlier users are bystanders whose wording was copied, and are not named.
    """
    return signature.entries(own, tenants, since_us, until_us) >= NEEDED


def exchanges_since(
    tenants: np.ndarray, first: np.ndarray, begin: np.ndarray, row: np.ndarray, row_hi: int
) -> np.ndarray:
    """(tenants,) exchanges of each tenant from its first matching row up to row_hi."""
    counts = np.empty(len(tenants), np.int64)
    kernels.exchanges_since(tenants, first, len(tenants), begin, row, row_hi, counts)
    return counts


# --- some fingerprints alone, in a few exchanges --------------------------------------------------------


def marked_columns(log: ExchangeLog) -> Columns:
    """The columns of a log that hold fingerprints."""
    return (log.phrases, log.system_phrases, *(log[name] for name in MARKED))


def uses(log: ExchangeLog, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, fingerprint) of every use of some fingerprints, in the order of the rows.

    values: (fingerprints,) uint32, ascending.
    """
    if len(values) == 0 or len(log) == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    columns = marked_columns(log)
    rows, fingerprints = [], []
    capacity = BLOCK_ROWS * width(columns)
    row, fingerprint = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    for at in range(0, len(log), BLOCK_ROWS):
        end = min(at + BLOCK_ROWS, len(log))
        k = kernels.find_uses(*row_columns(columns), at, end, values, len(values), row, fingerprint)
        rows.append(row[:k].copy())
        fingerprints.append(fingerprint[:k].copy())
    return np.concatenate(rows), np.concatenate(fingerprints)


def signature_of(
    log: ExchangeLog, tenant: np.ndarray, tenants: int, values: np.ndarray
) -> tuple[Signature, EmergingRows]:
    """Return a signature over some fingerprints alone, and all the rows by tenant. tenant: (exchanges,)."""
    row, fingerprint = uses(log, values)
    ts = log["ts_us"]
    pairs = tenant[row].astype(np.int64) * max(len(values), 1) + fingerprint
    first = np.sort(np.unique(pairs, return_index=True)[1])
    spread = Spread(
        no_links(), tenant[row[first]], fingerprint[first], row[first], row, fingerprint,
        np.zeros(len(values), np.int64), np.zeros(len(values), np.int8), values, ts,
    )  # fmt: skip
    return Signature(spread, tenants), all_rows(log, tenant, tenants)
