"""From a campaign's accounts and its log to indicators: what they share and others do not.

It reads the log twice: its members' exchanges for what they share, then everybody else's for who else has it.
Null: none; nothing here is a test. Blind to: paraphrase, and wording that many outside the campaign use too.
Fooled by: a bystander whose wording the campaign copied: it is shared then, and not the bystander's guilt.
Source: least counts and purity as in actors.stock, purity raised because what leaves accuses elsewhere.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.cases.indicators import Indicator, IndicatorError, Kind
from stillwatch.cases.indicators.marks import History, Marks
from stillwatch.exchanges.read import Progress
from stillwatch.exchanges.rejects import Rejects

LEAST_ACCOUNTS = 3  # members that must carry a value (as actors.stock.LEAST_IN): nobody's private text is it
LEAST_ROWS = 20  # exchanges that must carry it where a campaign has fewer: what is said so often is a frame
PURITY = 0.8  # of the accounts that carry it, the share that must be members
MOST = 64  # values of one kind: the most carried; a partner needs few, and a list is read by people
DEFAULT = (Kind.QUESTION, Kind.OPENING, Kind.ENDING, Kind.SYSTEM)


@dataclass
class _Tally:
    """Of one kind: who carries which value. Filled batch by batch."""

    pairs: list[np.ndarray]  # each (2, m): value, account code
    first: dict[int, int]
    last: dict[int, int]
    rows: dict[int, int]


def gather(
    history: History,
    members: Collection[str],
    kinds: Collection[Kind] = DEFAULT,
    rejects: Rejects | None = None,
    progress: Progress | None = None,
) -> tuple[Indicator, ...]:
    """Make the indicators of a campaign, most carried first within each kind.

    Raises: IndicatorError where the log holds none of the members, or none of them share anything.
    """
    rejects = rejects if rejects is not None else Rejects()
    marks = Marks(history, kinds)
    wanted = pa.array(sorted(members), pa.string())
    tallies, seen, blind = _inside(history, marks, wanted, rejects, progress)
    if not seen:
        raise IndicatorError(
            f"the log holds no exchange of the {len(members)} accounts; give the one that was scanned"
        )
    least = min(LEAST_ACCOUNTS, len(set(members)))
    rows = LEAST_ROWS if least < LEAST_ACCOUNTS else 1
    shared = {kind: _shared(tally, least, rows) for kind, tally in tallies.items()}
    outside = _outside(history, marks, wanted, shared, progress)
    found: list[Indicator] = []
    for kind, counted in shared.items():
        found += _chosen(kind, counted, outside[kind], tallies[kind], marks, history.key.fingerprint)
    if not found:
        raise IndicatorError(
            f"of the kinds {', '.join(kinds)} the campaign's accounts share nothing that {LEAST_ACCOUNTS} of "
            f"them have and few others{_unseen(blind, seen)}; try --kind wording"
        )
    return tuple(found)


def _inside(
    history: History, marks: Marks, members: pa.Array, rejects: Rejects, progress: Progress | None
) -> tuple[dict[Kind, _Tally], int, int]:
    tallies = {kind: _Tally([], {}, {}, {}) for kind in marks.kinds}
    seen = blind = 0
    for whole in history.batches(rejects, progress):
        batch = whole.filter(pc.is_in(whole.column("account"), value_set=members))
        seen += batch.num_rows
        blind += int(marks.blind(batch).sum())
        if not batch.num_rows:
            continue
        codes = pc.index_in(batch.column("account"), value_set=members).to_numpy(zero_copy_only=False)
        times = batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False)
        for kind, numbers in marks.of(batch).items():
            _count(tallies[kind], *_flat(numbers, codes, times))
    return tallies, seen, blind


def _flat(
    numbers: np.ndarray, codes: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values that are there, with the account and the time of each."""
    wide = 1 if numbers.ndim == 1 else numbers.shape[1]
    flat = numbers.ravel()
    there = flat != 0
    return flat[there], np.repeat(codes, wide)[there].astype(np.uint64), np.repeat(times, wide)[there]


def _count(tally: _Tally, values: np.ndarray, codes: np.ndarray, times: np.ndarray) -> None:
    if not len(values):
        return
    tally.pairs.append(np.unique(np.stack([values, codes]), axis=1))
    order = np.lexsort((times, values))
    values, times = values[order], times[order]
    names, begin, rows = np.unique(values, return_index=True, return_counts=True)
    for name, at, many in zip(names.tolist(), begin.tolist(), rows.tolist(), strict=True):
        first, last = int(times[at]), int(times[at + many - 1])
        tally.first[name] = min(first, tally.first.get(name, first))
        tally.last[name] = max(last, tally.last.get(name, last))
        tally.rows[name] = tally.rows.get(name, 0) + many


def _unseen(blind: int, seen: int) -> str:
    if not blind:
        return ""
    return f" ({blind:,} of their {seen:,} exchanges are kept as sketches under another key only)"


def _shared(tally: _Tally, least: int, rows: int) -> dict[int, int]:
    """Value -> how many members carry it, of those that enough do, often enough."""
    if not tally.pairs:
        return {}
    pairs = np.unique(np.concatenate(tally.pairs, axis=1), axis=1)
    names, counts = np.unique(pairs[0], return_counts=True)
    enough = (counts >= least) & np.array([tally.rows[name] >= rows for name in names.tolist()], bool)
    return dict(zip(names[enough].tolist(), counts[enough].tolist(), strict=True))


def _outside(
    history: History,
    marks: Marks,
    members: pa.Array,
    shared: dict[Kind, dict[int, int]],
    progress: Progress | None,
) -> dict[Kind, dict[int, set[str]]]:
    """Of each shared value the other accounts that carry it."""
    wanted = {kind: np.array(sorted(counts), np.uint64) for kind, counts in shared.items()}
    found: dict[Kind, dict[int, set[str]]] = {kind: {} for kind in shared}
    for whole in history.batches(Rejects(), progress):
        batch = whole.filter(pc.invert(pc.is_in(whole.column("account"), value_set=members)))
        if not batch.num_rows:
            continue
        accounts = batch.column("account")
        for kind, numbers in marks.of(batch).items():
            hit = np.isin(numbers, wanted[kind])
            for at in np.argwhere(hit):
                name = accounts[int(at[0])].as_py()
                found[kind].setdefault(int(numbers[tuple(at)]), set()).add(name)
    return found


def _chosen(
    kind: Kind,
    shared: dict[int, int],
    outside: dict[int, set[str]],
    tally: _Tally,
    marks: Marks,
    key: str,
) -> list[Indicator]:
    pure = [
        (many, number, len(outside.get(number, ())))
        for number, many in shared.items()
        if many >= PURITY * (many + len(outside.get(number, ())))
    ]
    pure.sort(key=lambda one: (-one[0], one[2], one[1]))
    values = marks.values(kind, [number for _, number, _ in pure])
    return [
        Indicator(kind, value, key, many, others, tally.rows[number], tally.first[number], tally.last[number])
        for value, (many, number, others) in zip(values[:MOST], pure[:MOST], strict=True)
    ]
