"""How wording spreads: which phrases, frames and questions are new among accounts, and who took them up when.

A *marker* is one hash of a sketch (a phrase, a head, a tail, a whole prompt, a system text). Its *entrants* are
the parties that used it, each at its first use. A marker is *hot* at an entry when at least `MIN_ENTRANTS`
parties entered within `WINDOW_DAYS` and they outnumber all earlier ones `NOVELTY` to one: new *and* shared.
Everything here looks back only: what is hot at an entry follows from the entries before it.

It does not know whether a marker is honest novelty (a viral prompt, a new framework) or a campaign's.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from stillwatch.exchanges.log import ExchangeLog

WINDOW_DAYS = 5.0  # a pool of 100 accounts at 25 a day takes 10,000 in four days (FIELD.md)
MIN_ENTRANTS = 4  # fewer accounts than this are judged one by one
NOVELTY = 3.0  # recent entrants per earlier one
NEIGHBOURS = 16  # an entrant is linked to the latest few, so that a marker costs linear work
DAY_US = 86_400_000_000
KINDS = ("wording", "system wording", "opening", "ending", "question", "system text")
_SALT = np.array([0, 0x5BD1E995, 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F], np.uint32)


@dataclass(frozen=True)
class Spread:
    """Links between parties through hot markers, in time order, and the exchanges that carry hot markers."""

    a: np.ndarray  # (links,) int32 party that entered
    b: np.ndarray  # (links,) int32 party that was there
    at_us: np.ndarray  # (links,) int64 when the link arose
    weight: np.ndarray  # (links,) int64 thousandths of a bit
    kind: np.ndarray  # (links,) int8 index into KINDS
    entry_party: np.ndarray  # (entries,) int32 first uses of markers that were ever hot, in time order
    entry_marker: np.ndarray  # (entries,) int32
    entry_us: np.ndarray  # (entries,) int64
    row: np.ndarray  # (uses,) int32 exchange that carries a hot marker, in time order
    marker: np.ndarray  # (uses,) int32 which marker
    hot_from_us: np.ndarray  # (markers,) int64 first moment at which it was hot
    marker_kind: np.ndarray  # (markers,) int8


def spread(log: ExchangeLog, party: np.ndarray) -> Spread:
    """Follow every marker of a log over its parties.

    party: (exchanges,) int32, the billing identity that counts as one (an organisation, else an account).
    """
    n = len(log)
    columns = (
        log.phrases,
        log.system_phrases,
        _short(log["head"]),
        _short(log["tail"]),
        np.where(log["words"] >= 6, _short(log["exact"]), np.uint32(0)),
        _short(log["system"]),
    )
    slots = 1 << int(np.clip(np.ceil(np.log2(max(n, 1) * 24)), 12, 27))
    seen = _count_parties(*columns, _SALT, party, slots)
    rows, codes, kinds = _keep(*columns, _SALT, seen, slots)
    entry_marker, entry_party, entry_row = _entries(rows, codes, party, len(kinds))
    ts = log["ts_us"]
    known = np.sort(ts[np.unique(party, return_index=True)[1]])
    order = np.argsort(entry_marker, kind="stable")
    marker, who, when = entry_marker[order], entry_party[order], ts[entry_row[order]]
    a, b, at, weight, which, hot_from = _links(
        marker, who, when, known, len(kinds), int(WINDOW_DAYS * DAY_US), MIN_ENTRANTS, NOVELTY, NEIGHBOURS
    )
    order = np.lexsort((b, a, which, at))
    ever = hot_from < np.iinfo(np.int64).max
    use = ever[codes]
    entered = ever[entry_marker]
    dense = np.cumsum(ever) - 1  # only markers that were ever hot keep a number
    return Spread(
        a[order],
        b[order],
        at[order],
        weight[order],
        kinds[which[order]],
        entry_party[entered],
        dense[entry_marker[entered]].astype(np.int32),
        ts[entry_row[entered]],
        rows[use],
        dense[codes[use]].astype(np.int32),
        hot_from[ever],
        kinds[ever],
    )


def _short(wide: np.ndarray) -> np.ndarray:
    return (wide >> np.uint64(32)).astype(np.uint32)


@njit(cache=True, nogil=True, inline="always")
def _marker(phrases, system_phrases, head, tail, exact, system, salt, i, j):
    """The j-th marker of exchange i (0 where it has none) and its kind."""
    k = phrases.shape[1]
    s = system_phrases.shape[1]
    if j < k:
        value, kind = phrases[i, j], 0
    elif j < k + s:
        value, kind = system_phrases[i, j - k], 1
    elif j == k + s:
        value, kind = head[i], 2
    elif j == k + s + 1:
        value, kind = tail[i], 3
    elif j == k + s + 2:
        value, kind = exact[i], 4
    else:
        value, kind = system[i], 5
    if value == np.uint32(0):
        return np.uint32(0), kind
    value ^= salt[kind]
    return (value if value != np.uint32(0) else np.uint32(1)), kind


@njit(cache=True, nogil=True, inline="always")
def _slot(value, slots):
    return np.int64((np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & (slots - 1)


@njit(cache=True, nogil=True)
def _count_parties(phrases, system_phrases, head, tail, exact, system, salt, party, slots):
    """Upper bound of the parties behind each slot: a marker with fewer than the minimum is never looked at."""
    last = np.full(slots, -1, np.int32)
    count = np.zeros(slots, np.uint8)
    width = phrases.shape[1] + system_phrases.shape[1] + 4
    for i in range(len(party)):
        p = party[i]
        for j in range(width):
            value, _ = _marker(phrases, system_phrases, head, tail, exact, system, salt, i, j)
            if value == np.uint32(0):
                continue
            s = _slot(value, slots)
            if last[s] != p:
                last[s] = p
                if count[s] < 255:
                    count[s] += 1
    return count


@njit(cache=True, nogil=True)
def _keep(phrases, system_phrases, head, tail, exact, system, salt, seen, slots):
    """Uses of the markers that enough parties share: (row, dense code), and each code's kind."""
    width = phrases.shape[1] + system_phrases.shape[1] + 4
    n = len(head)
    total = 0
    for i in range(n):
        for j in range(width):
            value, _ = _marker(phrases, system_phrases, head, tail, exact, system, salt, i, j)
            if value != np.uint32(0) and seen[_slot(value, slots)] >= MIN_ENTRANTS:
                total += 1
    rows = np.empty(total, np.int32)
    codes = np.empty(total, np.int32)
    size = 1024
    while size < total:
        size *= 2
    keys = np.zeros(size, np.uint32)
    code_of = np.empty(size, np.int32)
    kinds = np.empty(total, np.int8)
    markers = 0
    k = 0
    for i in range(n):
        for j in range(width):
            value, kind = _marker(phrases, system_phrases, head, tail, exact, system, salt, i, j)
            if value == np.uint32(0) or seen[_slot(value, slots)] < MIN_ENTRANTS:
                continue
            s = _slot(value, size)
            while keys[s] != np.uint32(0) and keys[s] != value:
                s = (s + 1) & (size - 1)
            if keys[s] == np.uint32(0):
                keys[s] = value
                code_of[s] = markers
                kinds[markers] = kind
                markers += 1
            rows[k] = i
            codes[k] = code_of[s]
            k += 1
    return rows, codes, kinds[:markers].copy()


@njit(cache=True, nogil=True)
def _entries(rows, codes, party, markers):
    """Each party's first use of each marker, in time order."""
    total = len(rows)
    size = 1024
    while size < 2 * total:
        size *= 2
    taken = np.zeros(size, np.uint64)
    marker = np.empty(total, np.int32)
    who = np.empty(total, np.int32)
    row = np.empty(total, np.int32)
    k = 0
    for i in range(total):
        key = (np.uint64(codes[i]) << np.uint64(32)) | np.uint64(party[rows[i]] + 1)
        s = np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(24)) & (size - 1)
        while taken[s] != np.uint64(0) and taken[s] != key:
            s = (s + 1) & (size - 1)
        if taken[s] == key:
            continue
        taken[s] = key
        marker[k] = codes[i]
        who[k] = party[rows[i]]
        row[k] = rows[i]
        k += 1
    return marker[:k].copy(), who[:k].copy(), row[:k].copy()


@njit(cache=True, nogil=True)
def _links(marker, who, when, known, markers, window, least, novelty, neighbours):
    """Links at hot entries. marker, who, when: entries sorted by marker, then time; known: sorted first times."""
    far = np.iinfo(np.int64).max
    hot_from = np.full(markers, far, np.int64)
    n = len(marker)
    room = 1024
    a = np.empty(room, np.int32)
    b = np.empty(room, np.int32)
    at = np.empty(room, np.int64)
    weight = np.empty(room, np.int64)
    which = np.empty(room, np.int32)
    k = 0
    begin = 0
    while begin < n:
        end = begin
        while end < n and marker[end] == marker[begin]:
            end += 1
        old = begin
        was_hot = False
        for j in range(begin, end):
            while when[old] < when[j] - window:
                old += 1
            recent = j - old + 1
            hot = recent >= least and recent >= novelty * (old - begin)
            if hot:
                if hot_from[marker[j]] == far:
                    hot_from[marker[j]] = when[j]
                active = np.searchsorted(known, when[j], side="right")
                bits = np.log2(active / recent)
                if bits > 0:
                    share = np.int64(1000 * bits / min(recent, neighbours))
                    for x in range(j if was_hot else old + 1, j + 1):
                        for y in range(max(old, x - neighbours), x):
                            if k == room:
                                a, b, at, weight, which = _grow(a, b, at, weight, which)
                                room = len(a)
                            a[k] = who[x]
                            b[k] = who[y]
                            at[k] = when[j]
                            weight[k] = share
                            which[k] = marker[j]
                            k += 1
            was_hot = hot
        begin = end
    return a[:k].copy(), b[:k].copy(), at[:k].copy(), weight[:k].copy(), which[:k].copy(), hot_from


@njit(cache=True, nogil=True)
def _grow(a, b, at, weight, which):
    n = len(a)
    a2 = np.empty(2 * n, np.int32)
    b2 = np.empty(2 * n, np.int32)
    at2 = np.empty(2 * n, np.int64)
    weight2 = np.empty(2 * n, np.int64)
    which2 = np.empty(2 * n, np.int32)
    a2[:n], b2[:n], at2[:n], weight2[:n], which2[:n] = a, b, at, weight, which
    return a2, b2, at2, weight2, which2
