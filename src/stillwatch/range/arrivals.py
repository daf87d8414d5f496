"""Arrival times of requests: the windows of real API clients (Alibaba ServeGen), and sittings of people.

The extract has 120 clients' request rates in windows of ten minutes over fourteen days, relative to each
client's own median, and the burstiness of each window.
Source: Xiang et al., ServeGen (2025), data of github.com/alibaba/ServeGen, Apache-2.0.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

FILE = Path(__file__).with_name("data") / "arrivals.parquet"
WINDOWS_A_DAY = 144
FORTNIGHT = 14 * WINDOWS_A_DAY


@dataclass(frozen=True)
class ClientProfile:
    """One real client: the windows in which it was active, with its rate and burstiness in each."""

    windows: np.ndarray
    rate: np.ndarray  # relative to its own median
    cv: np.ndarray  # coefficient of variation of the gaps


@cache
def clients() -> tuple[ClientProfile, ...]:
    """Read the extract."""
    table = pq.read_table(FILE)
    number, window = table["client"].to_numpy(), table["window"].to_numpy().astype(int)
    rate = 2.0 ** (table["rate_eighths"].to_numpy() / 8)
    cv = 2.0 ** (table["cv_eighths"].to_numpy() / 8)
    edges = np.searchsorted(number, np.arange(number[-1] + 2))
    return tuple(ClientProfile(window[a:b], rate[a:b], cv[a:b]) for a, b in pairwise(edges))


def client_days(count: int, begin: float, end: float, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` times in [begin, end), in days and in order, distributed like one real client's requests.

    A scene longer than a fortnight repeats it.
    """
    one = clients()[rng.integers(len(clients()))]
    first, last = int(begin * WINDOWS_A_DAY), max(int(begin * WINDOWS_A_DAY) + 1, int(end * WINDOWS_A_DAY))
    rounds = range(first // FORTNIGHT, (last - 1) // FORTNIGHT + 1)
    windows = np.concatenate([one.windows + FORTNIGHT * k for k in rounds])
    rate, cv = np.tile(one.rate, len(rounds)), np.tile(one.cv, len(rounds))
    inside = (windows >= first) & (windows < last)
    if not inside.any():  # the client was inactive all that time
        return np.sort(rng.uniform(begin, end, count))
    windows, rate, cv = windows[inside], rate[inside], cv[inside]
    chosen = np.sort(rng.choice(len(windows), size=count, p=rate / rate.sum()))
    gaps = rng.standard_gamma(np.clip(1 / cv[chosen] ** 2, 0.05, 20.0)) + 1e-9
    starts = np.flatnonzero(np.r_[True, chosen[1:] != chosen[:-1]])
    per = np.diff(np.r_[starts, count])
    ends = np.add.reduceat(gaps, starts) + rng.standard_gamma(1.0, size=len(starts)) * gaps.mean()
    within = np.cumsum(gaps) - np.repeat(np.cumsum(np.add.reduceat(gaps, starts)), per)
    within += np.repeat(np.add.reduceat(gaps, starts), per)
    moments = (windows[chosen] + within / np.repeat(ends, per)) / WINDOWS_A_DAY
    return np.clip(np.sort(moments), begin, np.nextafter(end, begin))


def sitting_days(sittings: int, begin: float, end: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the beginnings of a person's sittings:

    a real client's rhythm, shifted to waking hours of their own.
    """
    moments = client_days(sittings, begin, end, rng)
    waking = rng.random()
    asleep = (moments - waking) % 1.0 > 0.67
    moments[asleep] = np.floor(moments[asleep] - waking) + waking + 0.67 * rng.random(int(asleep.sum()))
    return np.sort(begin + (moments - begin) % max(end - begin, 1e-6))
