"""Tests whether accounts keep to subjects of their own, as unrelated people do, or each session could be any
account's.

A pool is one queue distributed over many accounts: permuting the accounts among the sessions of a day changes
nothing. Unrelated people have their own subjects, which return under their own account. Wording that the
group shares is removed first, then what one account repeats itself, since both are easy to fake.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from math import inf, log
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from stillwatch.compiled_code.library import kernels
from stillwatch.stats.dealing import begins
from stillwatch.stats.eigenvector import leading_eigenvector
from stillwatch.stats.sparse_rows import lower_products, row_products
from stillwatch.units import DAY_US, HOUR_US

DEALS = 199  # permutations: p-values down to 1/200
SHARED = 0.1  # of the group's sessions that have a word in one context: then it is the group's wording
OWN = 0.4  # of an account's sessions: its own constant, such as a wrapper or a working folder
LEAST_SHARED = 4  # sessions, in small groups
MANY_P = 0.0101
# How much more similar two sessions of one account are than two of different ones, as a share of full
# similarity. Set on customers of client software with real authors' texts and on two composers' campaigns
# (docs/lab.md).
SELF = 0.02
BOUND = 1.64  # standard deviations: one-sided 95 %
LEAST_PAIRS = 50  # effective pairs: with fewer, 5 of 75 groups of real people looked like one source
LEAST_MOVED = 0.5  # of the pairs must be separated when labels are permuted
SAME = 0.7  # similarity from which two sessions ask the same question
REMEMBERED = 4096  # cached outcomes: a group that sent nothing since is tested again every hour

Outcome = TypeVar("Outcome")


class Hands(StrEnum):
    """The result of the content test: does one source or do many write a group's requests?"""

    MANY = "many"  # content clings to accounts
    ONE = "one"  # it does not, and would have been detected if it did as much as people's
    OPEN = "open"  # too few data


@dataclass(frozen=True)
class ContentTest:
    """Outcome of `account_content`."""

    p_value: float  # of exchangeability; small if content clings to accounts
    effect: float  # excess similarity of sessions of one account, as a share of full similarity
    deviation: float  # standard deviation of the effect under exchangeability
    pairs: int  # pairs of sessions of one account that are far enough apart
    moved: float  # share of such pairs that a permutation separates
    sessions: int = 0
    accounts: int = 0
    same: float = 0.0  # probability that sessions of two accounts ask the same question
    repeated: float = 0.0  # share of sessions that ask what a session of another account asks

    @property
    def questions(self) -> float:
        """Effective number of different questions (inverse Simpson index)."""
        return 1 / self.same if self.same else inf

    @property
    def all_shared(self) -> bool:
        """Whether there were sessions, but nothing to compare after removing their common wording."""
        return self.sessions > 0 and self.pairs == 0

    @property
    def hands(self) -> Hands:
        """The verdict. `ONE` needs a bound on the effect below people's, and enough pairs."""
        if self.p_value <= MANY_P and self.effect >= SELF:
            return Hands.MANY
        enough = self.pairs * self.moved >= LEAST_PAIRS and self.moved > LEAST_MOVED
        return Hands.ONE if enough and self.effect + BOUND * self.deviation < SELF else Hands.OPEN


NOTHING = ContentTest(1.0, 0.0, 9.0, 0, 1.0)


class _Outcomes(Generic[Outcome]):
    """A cache of the latest results, by a digest of the arguments. Threads share it."""

    def __init__(self) -> None:
        self._outcome, self._lock = OrderedDict[bytes, Outcome](), Lock()

    def get(self, compute: Callable[[], Outcome], *given: np.ndarray | int) -> Outcome:
        """Return the cached result for these arguments, or compute it."""
        digest = blake2b(digest_size=16)
        for each in given:
            array = np.ascontiguousarray(each)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.data)
        key = digest.digest()
        with self._lock:
            if key in self._outcome:
                self._outcome.move_to_end(key)
                return self._outcome[key]
        outcome = compute()
        with self._lock:
            self._outcome[key] = outcome
            if len(self._outcome) > REMEMBERED:
                self._outcome.popitem(last=False)
        return outcome


_tests, _parts = _Outcomes[ContentTest](), _Outcomes[np.ndarray]()


def account_content(
    content: np.ndarray, account: np.ndarray, at_us: np.ndarray, context_bits: int, apart_us: int = HOUR_US
) -> ContentTest:
    """Test whether sessions' content clings to accounts.

    content: (sessions, k) uint32 content words, 0 if there are fewer, with the words beside each in its
    lowest `context_bits`; account: (sessions,) int labels from 0; at_us: (sessions,) int64 when each began;
    apart_us: the least distance in time between the beginnings of a pair's sessions.

    Null: one source of content. Given when each label was active, a session's label is independent of its
    content: permuting the labels within days leaves the statistic's distribution unchanged.
    Blind to: people with one source of content (a class, a benchmark, a shared backlog), fewer than about
    ten sessions an hour apart for each of five accounts.
    Fooled by: a pool that assigns whole subjects to accounts (from about two thirds of the subjects on).
    Source: Good 2005, *Permutation, Parametric and Bootstrap Tests of Hypotheses*; measurements in
    docs/evidence.md.
    """
    given = content, account, at_us, context_bits, apart_us
    return _tests.get(lambda: _test_content(*given), *given)


def _test_content(
    content: np.ndarray, account: np.ndarray, at_us: np.ndarray, context_bits: int, apart_us: int
) -> ContentTest:
    n, labels = len(account), int(account.max()) + 1 if len(account) else 0
    if n < 4 or labels < 2:
        return NOTHING
    nothing_left = replace(NOTHING, sessions=n, accounts=labels)
    account = account.astype(np.int64, copy=False)
    rows = _word_rows(content, account, labels, context_bits)
    if rows.words == 0:
        return nothing_left
    likeness = lower_products(rows.begin, rows.term, rows.weight)
    block = (at_us // DAY_US).astype(np.int64)
    order = np.argsort(block, kind="stable").astype(np.int64)
    # mean similarity of pairs of one label, far enough apart, as observed and with labels permuted in blocks;
    # how many permuted pairs still share a label as before, how many there were, and how many as observed
    means, counts = np.zeros(DEALS + 1), np.zeros(3, np.int64)
    kernels.permuted_means(likeness, account, at_us, n, block, order, DEALS, apart_us, means, counts)
    still, all_dealt, pairs = counts.tolist()
    if not pairs:
        return NOTHING
    dealt = means[1:]
    moved = max(0.02, 1 - still / max(all_dealt, 1))
    middle, spread = float(dealt.mean()), float(dealt.std())
    full_likeness = float(np.median(np.diag(likeness))) - middle
    if full_likeness <= 1e-9:
        return nothing_left
    scale = full_likeness * moved
    return ContentTest(
        float((1 + (dealt >= means[0] - 1e-12).sum()) / (DEALS + 1)),
        (float(means[0]) - middle) / scale,
        spread / scale,
        pairs,
        moved,
        n,
        labels,
        *_repeats(likeness, account),
    )


def _repeats(likeness: np.ndarray, account: np.ndarray) -> tuple[float, float]:
    """Return the chance that sessions of two accounts ask the same, and the share of repeated sessions."""
    n, others = len(account), len(account) ** 2 - int((np.bincount(account) ** 2).sum())
    repeated = np.zeros(n, bool)
    same = kernels.alike(likeness, account, n, SAME, repeated)
    return same / max(others // 2, 1), float(repeated.mean())


def two_parts(content: np.ndarray, account: np.ndarray, context_bits: int) -> np.ndarray:
    """(accounts,) bool: in which of two parts each account is, by the content that its sessions share.

    The sign of the leading eigenvector of the accounts' similarity, with rows and columns centred. Arguments
    as for `account_content`.
    """
    given = content, account, context_bits
    return _parts.get(lambda: _divide(*given), *given)


def _divide(content: np.ndarray, account: np.ndarray, context_bits: int) -> np.ndarray:
    labels = int(account.max()) + 1
    account = account.astype(np.int64, copy=False)
    rows = _word_rows(content, account, labels, context_bits)
    if rows.words == 0 or labels < 2:
        return np.zeros(labels, bool)
    who = np.repeat(account, np.diff(rows.begin))
    pairs, place = np.unique(who << 32 | rows.term, return_inverse=True)
    who, total = pairs >> 32, np.bincount(place, rows.weight)
    length = np.sqrt(np.bincount(who, total**2, minlength=labels))
    cosine = total / np.where(length > 0, length, 1.0)[who]
    term = pairs & 0xFFFFFFFF
    likeness = row_products(begins(np.bincount(who, minlength=labels)), term, cosine)
    likeness -= likeness.mean(0)
    likeness -= likeness.mean(1, keepdims=True)
    part: np.ndarray = leading_eigenvector(likeness) > 0
    return part


@dataclass(frozen=True)
class _WordRows:
    """Sessions as sparse rows of unit length, weighted by inverse document frequency; weights above 0."""

    begin: np.ndarray  # (sessions + 1,) int64
    term: np.ndarray  # (held,) int64, ascending within a row
    weight: np.ndarray  # (held,)
    words: int  # of all sessions, including those that no other session has


def _word_rows(content: np.ndarray, account: np.ndarray, labels: int, context_bits: int) -> _WordRows:
    """Return the words that are neither the group's wording nor an account's. account: (sessions,) int64."""
    n, each = content.shape
    seen = np.arange(1, n + 1)
    rarity = np.concatenate([[0.0, 0.0], log(n + 1) - np.log(seen[1:])])  # by sessions with the word
    begin, words = np.empty(n + 1, np.int64), np.empty(1, np.int64)
    term, weight = np.empty(content.size, np.int64), np.empty(content.size)
    group_limit = max(LEAST_SHARED, max(SHARED, 1.5 / labels) * n)
    kernels.word_rows(
        *(np.sort(content, axis=1), n, each, account, labels, context_bits, group_limit, OWN, rarity),
        *(begin, term, weight, words),
    )
    return _WordRows(begin, term[: begin[n]], weight[: begin[n]], int(words[0]))
