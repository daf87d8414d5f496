"""Sessions of a group's accounts, and the content words of each: the input of the content test.

A session is one conversation, or else exchanges of one account less than half an hour apart, an hour at most.
"""

from collections.abc import Callable, Collection
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import run_starts
from stillwatch.stats.exchangeability import (
    LEAST_PAIRS,
    NOTHING,
    ContentTest,
    Hands,
    account_content,
    two_parts,
)
from stillwatch.text.kernel import CONTEXT_BITS
from stillwatch.units import HOUR_US

PAUSE_US = 1_800_000_000
LONGEST_US = HOUR_US
OPENING = 2  # exchanges read per session: later ones repeat the first
DEEPEST = 3  # divisions of a group in the search for a part that is of one source
MOST_ACCOUNTS = 60  # of a group; the sample does not depend on the rest of the log
MOST_DIVIDED = 240  # of a group that is being divided
MOST_SESSIONS = 10  # of an account, evenly spread over time


def content_of(
    log: ExchangeLog,
    rows: np.ndarray,
    label: np.ndarray,
    members: Collection[int],
    name_of: Callable[[int], str],
) -> ContentTest:
    """Run the content test on some exchanges of some members.

    rows: (m,) exchanges in time order; label: (exchanges,) sender of each; name_of: a member's name, by which
    members are sampled and sorted, so that nothing depends on codes.
    """
    if log.content.shape[1] == 0 or len(rows) == 0:
        return NOTHING
    _, sample = _sample_sessions(log, rows, label, members, name_of, MOST_ACCOUNTS)
    test = account_content(*sample, CONTEXT_BITS)
    if test.hands is Hands.OPEN and test.pairs * test.moved < LEAST_PAIRS:
        # a burst of a few hours: pairs of exchanges instead of sessions. People's content clings at least as
        # much, so this may show one source. It may not show many, since a queue can distribute its tasks in
        # bundles
        _, sample = _sample_sessions(log, rows, label, members, name_of, MOST_ACCOUNTS, pause_us=0)
        sent = np.bincount(sample[1])
        if (sent * (sent - 1)).sum() >= 2 * LEAST_PAIRS:  # otherwise too few pairs to show one source
            burst = account_content(*sample, CONTEXT_BITS, apart_us=0)
            if burst.hands is Hands.ONE:
                return burst
    return test


def one_source_parts(
    log: ExchangeLog,
    rows: np.ndarray,
    label: np.ndarray,
    members: Collection[int],
    name_of: Callable[[int], str],
    least: int,
) -> list[tuple[frozenset[int], ContentTest]]:
    """Return the parts of a group whose content is of one source each, if the whole's is not.

    A group may hold two pools, or a pool and the people whose wording it copies. It is divided by content,
    and each part again, while parts have `least` members of many sources. Arguments as for `content_of`.
    """
    if log.content.shape[1] == 0 or len(rows) == 0:
        return []
    codes, (content, account, at_us) = _sample_sessions(log, rows, label, members, name_of, MOST_DIVIDED)
    parts: list[tuple[frozenset[int], ContentTest]] = []
    waiting = [(np.arange(len(codes)), 0)]
    while waiting:
        part, depth = waiting.pop()
        if len(part) < least:
            continue
        inside = np.isin(account, part)
        renamed = np.searchsorted(part, account[inside])
        if depth:  # the whole is not of one source: it is divided whatever its test says
            test = account_content(content[inside], renamed, at_us[inside], CONTEXT_BITS)
            if test.hands is Hands.ONE:
                parts.append((frozenset(codes[k] for k in part), test))
            if test.hands is not Hands.MANY or depth == DEEPEST:
                continue
        side = two_parts(content[inside], renamed, CONTEXT_BITS)[: len(part)]
        side = np.r_[side, np.zeros(len(part) - len(side), bool)]
        # taken last in, first out: the part with the account that stands out most, most likely a pool
        waiting += [(part[~side], depth + 1), (part[side], depth + 1)]
    return parts


def _sample_sessions(
    log: ExchangeLog,
    rows: np.ndarray,
    label: np.ndarray,
    members: Collection[int],
    name_of: Callable[[int], str],
    most: int,
    pause_us: int = PAUSE_US,
) -> tuple[list[int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the sampled members, those with sessions first, and their sessions as from `sessions`."""
    last = int(label[rows].max(initial=-1))
    if max(members, default=-1) > last:
        last = int(label.max())  # of the whole log: rarely needed, some milliseconds for a long one
    sampled = [p for p in members if p <= last]
    sampled = [sampled[k] for k in sample_of([name_of(p) for p in sampled], most)]
    active = np.zeros(last + 1, bool)
    active[label[rows]] = True
    active_members = [p for p in sampled if active[p]]
    number = np.full(last + 1, -1, np.int64)
    number[active_members] = np.arange(len(active_members))
    account = number[label[rows]]
    order = np.argsort(account, kind="stable")
    order = order[account[order] >= 0]
    return active_members, sessions(log, rows[order], account[order], pause_us)


def sample_of(names: list[str], most: int) -> list[int]:
    """Return the indices of at most `most` names, in an order that depends on the names alone."""
    keyed = sorted((_digest(name), k) for k, name in enumerate(names))
    return [k for _, k in keyed[:most]]


@lru_cache(1 << 16)  # every evaluation hashes the same names
def _digest(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def sessions(
    log: ExchangeLog, rows: np.ndarray, account: np.ndarray, pause_us: int = PAUSE_US
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sessions of exchanges: (n, OPENING * k) content words, (n,) account, (n,) beginning in µs.

    rows: (m,) exchanges, in time order within each account; account: (m,) labels from 0, ascending; pause_us:
    the pause after which a new session begins, if no conversation is named.
    """
    ts, conversation = log["ts_us"][rows], log["conversation"][rows]
    first, second = np.empty(len(ts), np.int64), np.empty(len(ts), np.int64)  # rows of each session, or -1
    labels = account.astype(np.int64, copy=False)
    n = kernels.openings(labels, ts, conversation, len(ts), pause_us, LONGEST_US, first, second)
    first, second = _choose_spaced(first[:n], second[:n], account[first[:n]])
    words = log.content[rows[first]]
    second_words = np.where(second[:, None] >= 0, log.content[rows[np.maximum(second, 0)]], 0)
    return np.concatenate([words, second_words], axis=1), account[first], ts[first]


def _choose_spaced(
    first: np.ndarray, second: np.ndarray, account: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose at most MOST_SESSIONS of each account, evenly spaced."""
    begin = np.flatnonzero(run_starts(account))
    size = np.diff(begin, append=len(account))
    place = np.arange(len(account)) - np.repeat(begin, size)
    session_count = np.repeat(size, size)
    step = place * MOST_SESSIONS // np.maximum(session_count, 1)
    before = (place - 1) * MOST_SESSIONS // np.maximum(session_count, 1)
    keep = (session_count <= MOST_SESSIONS) | (place == 0) | (step != before)
    return first[keep], second[keep]
