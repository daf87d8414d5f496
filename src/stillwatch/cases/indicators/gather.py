"""Makes indicators of a campaign from its accounts' log: what they share and others do not.

The log is read twice: the members' exchanges for what they share, then all others' for who else has it.
Null: none; nothing here is a test. Blind to: paraphrase, and wording that many outside the campaign use too.
Fooled by: a bystander whose wording the campaign copied: it is then shared, without the bystander's guilt.
Source: least counts and purity as in actors.signature, purity raised because what leaves accuses elsewhere.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.cases.indicators import SKETCHED, Indicator, IndicatorError, IndicatorKind
from stillwatch.cases.indicators.marks import IndicatorNumbers, LogHistory
from stillwatch.exchanges.read import Progress
from stillwatch.exchanges.rejects import Rejects

# members that must have a value (as actors.signature.LEAST_IN), so that it is nobody's private text
LEAST_ACCOUNTS = 3
LEAST_ROWS = 20  # exchanges with it, if members are few: repeated so often, it is a template
PURITY = 0.8  # of the accounts that have it, the share that must be members
HELD = 1 << 23  # pairs of value and account that are collected before removing duplicates
MOST = 64  # values of one kind, the most frequent: a partner needs few, and people read the list
MOST_PHRASES = 256  # three must be in one prompt, and a campaign of many topics shares many
DEFAULT = SKETCHED


@dataclass
class _ValueUse:
    """Use of one shared value: how often members sent it, when, and which others did."""

    rows: int = 0
    first_us: int = 0
    last_us: int = 0
    others: set[str] = field(default_factory=set)

    def add(self, rows: int, first_us: int, last_us: int) -> None:
        self.first_us = min(first_us, self.first_us) if self.rows else first_us
        self.last_us = max(last_us, self.last_us)
        self.rows += rows


def gather(
    history: LogHistory,
    members: Collection[str],
    kinds: Collection[IndicatorKind] = DEFAULT,
    rejects: Rejects | None = None,
    progress: Progress | None = None,
    judged: Collection[str] = (),
) -> tuple[Indicator, ...]:
    """Make the indicators of a campaign, most frequent first within each kind.

    judged: accounts of other campaigns that a person judged true: their use of a value does not prevent
    sharing it, as anybody else's does.

    Raises: IndicatorError if the log holds none of the members, or they share nothing.
    """
    rejects = rejects if rejects is not None else Rejects()
    marks = IndicatorNumbers(history, kinds)
    member_names = pa.array(sorted(set(members)), pa.string())
    pairs, rows_seen, blind = _pairs(history, marks, member_names, rejects, progress)
    if not rows_seen:
        raise IndicatorError(
            f"the log holds no exchange of the {len(members)} accounts; give the one that was scanned"
        )
    least_accounts = min(LEAST_ACCOUNTS, len(member_names))
    shared = {kind: _shared_values(carried, least_accounts) for kind, carried in pairs.items()}
    known_accounts = pa.array(sorted({*members, *judged}), pa.string())
    uses = _uses_of_values(history, marks, member_names, known_accounts, shared, progress)
    rows = LEAST_ROWS if least_accounts < LEAST_ACCOUNTS else 1
    indicators: list[Indicator] = []
    for kind, counts in shared.items():
        indicators += _choose_values(kind, counts, uses[kind], rows, marks, history.key.fingerprint)
    if not indicators:
        raise IndicatorError(
            f"of the kinds {', '.join(kinds)} the campaign's accounts share nothing that {LEAST_ACCOUNTS} of "
            f"them have and few others{_blind_note(blind, rows_seen)}"
        )
    return tuple(indicators)


def _blind_note(blind: int, seen: int) -> str:
    if not blind:
        return ""
    return f" ({blind:,} of their {seen:,} exchanges are kept as sketches under another key only)"


def _pairs(
    history: LogHistory,
    marks: IndicatorNumbers,
    members: pa.Array,
    rejects: Rejects,
    progress: Progress | None,
) -> tuple[dict[IndicatorKind, np.ndarray], int, int]:
    """Read which member has which value, (2, n) uint64 per kind; count rows of members and blind ones."""
    pairs_by_kind: dict[IndicatorKind, list[np.ndarray]] = {kind: [] for kind in marks.kinds}
    rows_seen = blind = 0
    for batch_read in history.batches(rejects, progress):
        batch = batch_read.filter(pc.is_in(batch_read.column("account"), value_set=members))
        if not batch.num_rows:
            continue
        rows_seen += batch.num_rows
        blind += int(marks.blind(batch).sum())
        codes = pc.index_in(batch.column("account"), value_set=members).to_numpy(zero_copy_only=False)
        for kind, numbers in marks.of(batch).items():
            values, rows = _flat(numbers)
            pairs_by_kind[kind].append(np.unique(np.stack([values, codes[rows].astype(np.uint64)]), axis=1))
            if sum(part.shape[1] for part in pairs_by_kind[kind]) > HELD:
                pairs_by_kind[kind] = [np.unique(np.concatenate(pairs_by_kind[kind], axis=1), axis=1)]
    empty = np.zeros((2, 0), np.uint64)
    return (
        {kind: np.concatenate([empty, *parts], axis=1) for kind, parts in pairs_by_kind.items()},
        rows_seen,
        blind,
    )


def _flat(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values present, and the row of each."""
    wide = 1 if numbers.ndim == 1 else numbers.shape[1]
    flat = numbers.ravel()
    positions = np.flatnonzero(flat)
    return flat[positions], positions // wide


def _shared_values(pairs: np.ndarray, least: int) -> dict[int, int]:
    """Return value -> how many members have it, for values that enough have."""
    if not pairs.shape[1]:
        return {}
    names, counts = np.unique(np.unique(pairs, axis=1)[0], return_counts=True)
    enough = counts >= least
    return dict(zip(names[enough].tolist(), counts[enough].tolist(), strict=True))


def _uses_of_values(
    history: LogHistory,
    marks: IndicatorNumbers,
    members: pa.Array,
    known: pa.Array,
    shared: dict[IndicatorKind, dict[int, int]],
    progress: Progress | None,
) -> dict[IndicatorKind, dict[int, _ValueUse]]:
    """Read the log again: how often, when and by which outsiders each shared value was sent."""
    values_by_kind = {kind: np.array(sorted(counts), np.uint64) for kind, counts in shared.items()}
    uses: dict[IndicatorKind, dict[int, _ValueUse]] = {kind: {} for kind in shared}
    for batch in history.batches(Rejects(), progress):
        inside = pc.is_in(batch.column("account"), value_set=members).to_numpy(zero_copy_only=False)
        outside = ~pc.is_in(batch.column("account"), value_set=known).to_numpy(zero_copy_only=False)
        times = batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False)
        for kind, numbers in marks.of(batch).items():
            values, rows = _flat(np.where(np.isin(numbers, values_by_kind[kind]), numbers, np.uint64(0)))
            _add_own_uses(uses[kind], values[inside[rows]], times[rows[inside[rows]]])
            _add_other_uses(uses[kind], values[outside[rows]], batch.column("account"), rows[outside[rows]])
    return uses


def _add_own_uses(uses: dict[int, _ValueUse], values: np.ndarray, times: np.ndarray) -> None:
    order = np.lexsort((times, values))
    values, times = values[order], times[order]
    names, begin, rows = np.unique(values, return_index=True, return_counts=True)
    for name, begin_us, row_count in zip(names.tolist(), begin.tolist(), rows.tolist(), strict=True):
        uses.setdefault(name, _ValueUse()).add(
            row_count, int(times[begin_us]), int(times[begin_us + row_count - 1])
        )


def _add_other_uses(
    uses: dict[int, _ValueUse], values: np.ndarray, accounts: pa.Array, rows: np.ndarray
) -> None:
    names = accounts.take(pa.array(rows, pa.int64())).to_pylist()
    for value, name in set(zip(values.tolist(), names, strict=True)):
        uses.setdefault(value, _ValueUse()).others.add(name)


def _choose_values(
    kind: IndicatorKind,
    shared: dict[int, int],
    uses: dict[int, _ValueUse],
    rows: int,
    marks: IndicatorNumbers,
    key: str,
) -> list[Indicator]:
    """Choose the values that are mostly the members' own, most used first."""
    pure = [
        (account_count, number, uses[number])
        for number, account_count in shared.items()
        if uses[number].rows >= rows and account_count >= PURITY * (account_count + len(uses[number].others))
    ]
    pure.sort(key=lambda entry: (-entry[0], len(entry[2].others), entry[1]))
    pure = pure[: MOST_PHRASES if kind is IndicatorKind.WORDING else MOST]
    values = marks.values(kind, [number for _, number, _ in pure])
    return [
        Indicator(kind, value, key, account_count, len(use.others), use.rows, use.first_us, use.last_us)
        for value, (account_count, _, use) in zip(values, pure, strict=True)
    ]
