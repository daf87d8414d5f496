"""The harvest meter: what a campaign has taken, and when it reaches the next published training-set size."""

from datetime import timedelta

import numpy as np

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import Harvest, Hour
from stillwatch.scan.milestones import MILESTONES
from stillwatch.stats.dealing import run_starts
from stillwatch.units import HOUR_US, time_of


def harvest(log: ExchangeLog, rows: np.ndarray, until_us: int | None = None) -> Harvest:
    """Return answered exchanges and their output tokens among `rows`, up to a moment.

    Value tokens weigh an answer by its novelty: the k-th answer to the same prompt counts 1/k, and a refused
    or cut answer counts nothing. This is a convention, documented in docs/harvest.md.
    """
    rows = np.sort(rows)
    if until_us is not None:
        rows = rows[log["ts_us"][rows] < until_us]
    rows = rows[log["status"][rows] == 200]
    tokens = np.maximum(log["output_tokens"][rows], 0)
    complete = ~np.isin(log["finish"][rows], (2, 3))
    exact = log["exact"][rows]
    order = np.argsort(exact, kind="stable")
    starts = run_starts(exact[order])
    place = np.arange(len(rows)) - np.maximum.accumulate(np.where(starts, np.arange(len(rows)), 0))
    nth = np.empty(len(rows))
    nth[order] = place + 1
    value = round(float((tokens * complete / nth).sum()), 3)
    return Harvest(len(rows), int(tokens.sum()), value, int(starts.sum()))


def timeline(log: ExchangeLog, rows: np.ndarray) -> tuple[Hour, ...]:
    """Return answered exchanges per hour, without empty hours."""
    rows = np.sort(rows)
    rows = rows[log["status"][rows] == 200]
    hours, at = np.unique(log["ts_us"][rows] // HOUR_US, return_inverse=True)
    counts = np.bincount(at, minlength=len(hours))
    tokens = np.bincount(at, weights=np.maximum(log["output_tokens"][rows], 0), minlength=len(hours))
    return tuple(
        Hour(time_of(int(h) * HOUR_US), int(n), int(k)) for h, n, k in zip(hours, counts, tokens, strict=True)
    )


def next_milestone(log: ExchangeLog, rows: np.ndarray, taken: int) -> str | None:
    """Return when the campaign reaches the next published size, at the pace of its own last day."""
    ahead = [m for m in MILESTONES if m.exchanges > taken]
    rows = rows[log["status"][rows] == 200]
    if not ahead or len(rows) == 0:
        return None
    ts = log["ts_us"][rows]
    end, last = int(log["ts_us"][-1]), int(ts.max())
    if last < end - 24 * HOUR_US:
        return (
            f"stopped on {time_of(last):%Y-%m-%d %H:%M} UTC, before {ahead[0].exchanges:,} ({ahead[0].name})"
        )
    pace = max(int((ts >= end - 24 * HOUR_US).sum()), 1)  # per day
    days = (ahead[0].exchanges - taken) / pace
    if days > 3650:
        return None
    when = time_of(end) + timedelta(days=days)
    return (
        f"{ahead[0].exchanges:,} exchanges ({ahead[0].name}) on {when:%Y-%m-%d} at the pace of its last day"
    )
