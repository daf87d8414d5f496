"""Searches our log for a partner's indicators: which exchanges match, since when, and which accounts sent
them.

A match shows that the same wording was sent, not why. An account is named if several of its exchanges match,
and not just a few among thousands: see `is_named`. Indicators that fit over a fifth of all accounts name
nobody, because a mistaken or hostile partner could accuse everyone. Null: for `chance.expected`, accounts
that matched before the campaign began did so for a reason that continues at the same rate. Blind to:
paraphrase; exchanges stored only as sketches under another key. Fooled by: wording that became popular
meanwhile; a partner whose indicators are widely used wording. Source: `chance.collisions`: 64-bit and 32-bit
keyed hashes assumed uniform (docs/text.md).
"""

from collections import Counter
from dataclasses import dataclass, field
from math import comb

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.cases.indicators import (
    DIGITS,
    SKETCHED,
    Chance,
    Hits,
    IndicatorKind,
    MatchingAccount,
    Partner,
)
from stillwatch.cases.indicators.marks import IndicatorNumbers, LogHistory
from stillwatch.exchanges import RECORD, ids
from stillwatch.exchanges.read import Progress
from stillwatch.exchanges.rejects import Rejects
from stillwatch.text.kernel import PHRASES
from stillwatch.units import DAY_US

NEEDED = 3  # shingles in one prompt: on the sample, honest accounts rarely had more than two
HALF = 2  # shingles in one prompt: half a match
# per account: chosen on dev-a and dev-b before any other world was looked at (docs/figures/indicators.md)
LEAST_MARKED = 2  # exchanges with a match, or half of one
LEAST_SHARE = 0.02  # of its exchanges, if one of them is a whole match
LEAST_SHARE_HALF = 0.1  # of its exchanges, if none is
LEAST_PHRASES = 4  # different ones in all, if none is
# indicators that fit more accounts than both belong to no campaign: nobody is named by them
WIDE_ACCOUNTS, WIDE_SHARE = 20, 0.2


@dataclass
class _Span:
    """Counts of matches, with first and last time."""

    exchanges: int = 0
    first_us: int | None = None
    last_us: int | None = None

    def add(self, at_us: int) -> None:
        self.join(_Span(1, at_us, at_us))

    def join(self, other: "_Span") -> None:
        self.exchanges += other.exchanges
        if other.first_us is not None and other.last_us is not None:
            self.first_us = other.first_us if self.first_us is None else min(self.first_us, other.first_us)
            self.last_us = other.last_us if self.last_us is None else max(self.last_us, other.last_us)


@dataclass
class _Carried:
    """The matches of one account."""

    span: _Span = field(default_factory=_Span)
    rows: int = 0  # matching exchanges; one in two files counts twice, as in its total
    whole: bool = False  # whether one is a whole match
    marks: dict[tuple[IndicatorKind, int], _Span] = field(default_factory=dict)

    def phrases(self) -> int:
        return sum(kind is IndicatorKind.WORDING for kind, _ in self.marks)


@dataclass
class _SearchState:
    """The results so far of the pass over the log."""

    began_us: int  # the sender's first exchange
    since_us: int  # counting begins here; earlier exchanges only give the base rate
    searched: int = 0
    blind: int = 0
    first_us: int | None = None  # of the history, whatever is counted
    last_us: int | None = None
    before: set[str] = field(default_factory=set)  # accounts that matched before the sender's first exchange
    pairs: float = 0.0  # chances for a further shingle to collide with a wanted one
    values: dict[IndicatorKind, int] = field(default_factory=dict)  # how many values were compared
    ids: set[str] = field(default_factory=set)
    rows: Counter[str] = field(default_factory=Counter)  # of each account: exchanges compared and counted
    accounts: dict[str, "_Carried"] = field(default_factory=dict)


def is_named(rows: int, marked: int, whole: bool, phrases: int) -> bool:
    """Return whether matches in so many of an account's exchanges exceed chance, or one text of many.

    rows, marked: all its exchanges, and those with a match or half of one; whole: whether one of them is a
    whole match; phrases: different ones, in prompts with two or more.

    >>> is_named(40, 2, True, 3), is_named(1_000, 2, True, 3), is_named(40, 1, True, 3)
    (True, False, False)
    """
    if marked < LEAST_MARKED:
        return False
    by_halves = phrases >= LEAST_PHRASES and marked / rows >= LEAST_SHARE_HALF
    return by_halves or (whole and marked / rows >= LEAST_SHARE)


def search(
    history: LogHistory,
    partner: Partner,
    *,
    since_us: int | None = None,
    until_us: int | None = None,
    rejects: Rejects | None = None,
    progress: Progress | None = None,
    own: bool = False,
) -> Hits:
    """Search the exchanges of [since, until), by default all, for a partner's indicators.

    own: the indicators are of our own case, and may fit any number of accounts.

    The base rate is measured before the sender's first exchange, so pass the whole history if possible.
    Raises: InputError if the log cannot be read.
    """
    kinds = {mark.kind for _, mark in partner.indicators}
    marks = IndicatorNumbers(history, kinds)
    wanted_numbers = {
        kind: np.array(
            sorted(marks.number(kind, mark.value) for _, mark in partner.indicators if mark.kind is kind),
            np.uint64,
        )
        for kind in marks.kinds
    }
    began_us = min(mark.first_us for _, mark in partner.indicators)
    state = _SearchState(began_us, 0 if since_us is None else since_us)
    for batch in history.batches(rejects if rejects is not None else Rejects(), progress):
        if until_us is not None:
            earlier = pc.less(batch.column("time").cast(pa.int64()), pa.scalar(until_us, pa.int64()))
            batch = batch.filter(earlier)
        _search_batch(state, batch, marks, wanted_numbers)
    return _hits_of_partner(state, partner, marks, wanted_numbers, own)


def _search_batch(
    state: _SearchState,
    batch: pa.RecordBatch,
    marks: IndicatorNumbers,
    wanted_numbers: dict[IndicatorKind, np.ndarray],
) -> None:
    if not batch.num_rows:
        return
    times = batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False)
    is_counted, blind = times >= state.since_us, marks.blind(batch)
    state.searched += int((is_counted & ~blind).sum())
    state.blind += int((is_counted & blind).sum())
    first, last = int(times.min()), int(times.max())
    state.first_us = first if state.first_us is None else min(state.first_us, first)
    state.last_us = last if state.last_us is None else max(state.last_us, last)
    compared = batch.column("account").filter(pa.array(is_counted & ~blind))
    for value_count in compared.value_counts().to_pylist():
        state.rows[value_count["values"]] += value_count["counts"]
    hits: dict[int, list[tuple[IndicatorKind, int]]] = {}
    has_whole_mark = np.zeros(batch.num_rows, bool)
    for kind, numbers in marks.of(batch).items():
        hit = np.isin(numbers, wanted_numbers[kind]) & (numbers != 0)
        state.values[kind] = state.values.get(kind, 0) + int((numbers != 0).sum())
        if kind is IndicatorKind.WORDING:
            hit_count = hit.sum(axis=1)
            short = float((hit_count == NEEDED - 1).sum())
            state.pairs += short * (PHRASES - NEEDED + 1) * len(wanted_numbers[kind]) / 2.0**32
            has_whole_mark |= hit_count >= NEEDED
            hit &= (hit_count >= HALF)[:, None]
        else:
            has_whole_mark |= hit
        for hit_place in np.argwhere(hit):
            hits.setdefault(int(hit_place[0]), []).append((kind, int(numbers[tuple(hit_place)])))
    if hits:
        _keep_rows(state, batch, times, hits, has_whole_mark)


def _keep_rows(
    state: _SearchState,
    batch: pa.RecordBatch,
    times: np.ndarray,
    hits: dict[int, list[tuple[IndicatorKind, int]]],
    has_whole_mark: np.ndarray,
) -> None:
    """Count exchanges with a match or half of one, each once, in however many files it occurs.

    whole: (rows,) bool, which exchanges are a whole match.
    """
    rows = sorted(hits)
    carrying = batch.take(pa.array(rows, pa.int64()))
    columns_present = set(carrying.schema.names)  # sketched exchanges lack a column of texts
    columns = [
        carrying.column(f.name) if f.name in columns_present else pa.nulls(len(rows), f.type) for f in RECORD
    ]
    record = pa.RecordBatch.from_arrays(columns, schema=RECORD)
    names = pc.coalesce(record.column("exchange_id"), ids.derive(record)).to_pylist()
    for row, name, account in zip(rows, names, record.column("account").to_pylist(), strict=True):
        at_us = int(times[row])
        if has_whole_mark[row] and at_us < state.began_us:
            state.before.add(account)
        if at_us < state.since_us:
            continue
        carried = state.accounts.setdefault(account, _Carried())
        carried.rows += 1
        if name in state.ids:
            continue
        state.ids.add(name)
        carried.span.add(at_us)
        carried.whole |= bool(has_whole_mark[row])
        for mark in hits[row]:
            carried.marks.setdefault(mark, _Span()).add(at_us)


def _hits_of_partner(
    state: _SearchState,
    partner: Partner,
    marks: IndicatorNumbers,
    wanted_numbers: dict[IndicatorKind, np.ndarray],
    own: bool,
) -> Hits:
    named_accounts = {
        name: entry
        for name, entry in state.accounts.items()
        if entry.span.exchanges >= LEAST_MARKED
        and is_named(state.rows[name], entry.rows, entry.whole, entry.phrases())
    }
    fitting = len(named_accounts)
    if own or fitting <= max(WIDE_ACCOUNTS, WIDE_SHARE * len(state.rows)):
        fitting = 0
    else:
        named_accounts = {}
    all_of_them, spans = _Span(), dict[tuple[IndicatorKind, int], _Span]()
    for carried in named_accounts.values():
        all_of_them.join(carried.span)
        for mark, span in carried.marks.items():
            spans.setdefault(mark, _Span()).join(span)
    matching_accounts = [
        MatchingAccount(
            name,
            entry.span.exchanges,
            entry.span.first_us or 0,
            entry.span.last_us or 0,
            tuple(sorted({kind for kind, _ in entry.marks})),
            name in state.before,
            state.rows[name],
        )
        for name, entry in named_accounts.items()
    ]
    times_seen = []
    for id, indicator in partner.indicators:
        span = spans.get((indicator.kind, marks.number(indicator.kind, indicator.value)), _Span())
        if span.first_us is not None and span.last_us is not None:
            times_seen.append((id, span.exchanges, span.first_us, span.last_us))
    return Hits(
        partner=partner,
        searched=state.searched,
        blind=state.blind,
        first_searched_us=None if state.first_us is None else max(state.first_us, state.since_us),
        last_searched_us=state.last_us,
        accounts=tuple(sorted(matching_accounts, key=lambda entry: (-entry.exchanges, entry.account))),
        exchanges=all_of_them.exchanges,
        first_us=all_of_them.first_us,
        last_us=all_of_them.last_us,
        seen=tuple(times_seen),
        chance=_chance_of(state, wanted_numbers),
        unnamed=sum(entry.whole for name, entry in state.accounts.items() if name not in named_accounts),
        compared=len(state.rows),
        fitting=fitting,
    )


def _chance_of(state: _SearchState, wanted_numbers: dict[IndicatorKind, np.ndarray]) -> Chance:
    expected = state.pairs
    for kind, compared in state.values.items():
        n = len(wanted_numbers[kind])
        if kind is IndicatorKind.WORDING:
            expected += compared / PHRASES * comb(PHRASES, NEEDED) * (n / 2.0**32) ** NEEDED
        elif kind in SKETCHED:
            expected += compared * n / 2.0 ** (4 * DIGITS[kind])
    first_us, last_us = state.first_us or 0, state.last_us or 0
    before_us = max(0, min(state.began_us, last_us) - first_us)
    since_us = max(0, last_us - max(state.began_us, state.since_us, first_us))
    return Chance(
        collisions=expected,
        before=len(state.before),
        before_days=before_us / DAY_US,
        expected=len(state.before) * since_us / before_us if before_us >= DAY_US else None,
    )
