"""A log split into full hours, so that a watch reports the same however its exchanges arrive.

Exchanges wait until their hour is over; then the hour is processed once, by time and exchange id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError
from stillwatch.exchanges import NEEDED, RECORD, ids
from stillwatch.range.defences import (
    Accusation,
    Calibrated,
    CalibrationLog,
    Defence,
    DefenceWatch,
    LogJudgement,
)
from stillwatch.units import HOUR_US


@dataclass(frozen=True)
class HourBatch:
    """The exchanges of one hour, sorted; columns that the log lacks are null."""

    until_us: int
    table: pa.Table  # of exchanges.RECORD
    ts_us: np.ndarray  # (n,) int64
    account: np.ndarray  # (n,) int32: numbers that are stable over a watch's life
    names: Sequence[str]  # number -> account

    def numbers(self, column: str, missing: float = 0.0) -> np.ndarray:
        """Return a column as float64, null as `missing`."""
        values: np.ndarray = pc.fill_null(self.table[column].cast(pa.float64()), missing).to_numpy()
        return values

    def by_account(self) -> list[tuple[int, np.ndarray]]:
        """Return each account of the hour, ascending, with its rows in order of time."""
        order = np.argsort(self.account, kind="stable")
        who, begin = np.unique(self.account[order], return_index=True)
        return list(zip(who.tolist(), np.split(order, begin[1:]), strict=True))


See = Callable[[HourBatch], Sequence[Accusation]]


@dataclass
class Hourly:
    """A watch with a method `see`, which returns the accusations at the end of an hour with exchanges."""

    see: See
    _waiting: list[pa.Table] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)
    _done_us: int = 0

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        """Process every hour that is over by now. Late exchanges are counted in the open hour."""
        if exchanges.num_rows:
            self._waiting.append(record(exchanges))
        hour = until_us // HOUR_US * HOUR_US
        if hour <= self._done_us or not self._waiting:
            self._done_us = max(hour, self._done_us)
            return ()
        table = in_order(pa.concat_tables(self._waiting))
        ts = table["time"].cast(pa.int64()).to_numpy()
        ends = np.maximum(ts // HOUR_US * HOUR_US, self._done_us) + HOUR_US
        ready = int(np.searchsorted(ends, hour, side="right"))
        self._waiting = [table.slice(ready)] if ready < len(ts) else []
        accusations: list[Accusation] = []
        at, begin = np.unique(ends[:ready], return_index=True)
        for end, lo, hi in zip(at.tolist(), begin.tolist(), [*begin[1:].tolist(), ready], strict=True):
            part = table.slice(lo, hi - lo)
            accusations += self.see(
                HourBatch(end, part, ts[lo:hi], self._encode(part["account"]), self._names)
            )
        self._done_us = hour
        return accusations

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Return False: there is no limit."""
        return False

    def _encode(self, column: pa.ChunkedArray) -> np.ndarray:
        coded = column.combine_chunks().dictionary_encode()
        numbers = np.empty(len(coded.dictionary), np.int32)
        for k, name in enumerate(coded.dictionary.to_pylist()):
            if name not in self._numbers:
                self._numbers[name] = len(self._names)
                self._names.append(name)
            numbers[k] = self._numbers[name]
        picked: np.ndarray = numbers[coded.indices.to_numpy()]
        return picked


class HourlyLevel(Hourly):
    """A watch whose state has a level set on clean days; the state's `see` is called every hour."""

    def __init__(self, state: "LevelState") -> None:
        super().__init__(state.see)
        self.state = state

    def calibrate(self, other: "HourlyLevel") -> None:
        """Take the level of a watch that received other people's clean days."""
        self.state.calibrate(other.state)

    def cannot_fire(self) -> str:
        """Return why no case can be made; empty if one can."""
        return self.state.cannot_fire()


class LevelState(Calibrated, Protocol):
    """A state that processes hours and has a level."""

    def see(self, hour: HourBatch) -> Sequence[Accusation]:
        """Return the accusations at the end of an hour."""


def record(exchanges: pa.Table) -> pa.Table:
    """Return a table in the columns of the record; missing ones are null, an id is made from the row.

    Raises: InputError if the column time, account or prompt is missing.
    """
    missing = [name for name in NEEDED if name not in exchanges.column_names]
    if missing:
        raise InputError(f"exchanges without {', '.join(missing)}: a defence needs time, account and prompt")
    arrays = []
    for at in RECORD:
        if at.name not in exchanges.column_names:
            arrays.append(pa.nulls(exchanges.num_rows, at.type))
            continue
        column = exchanges[at.name]
        try:
            column = column if column.type == at.type else column.cast(at.type, safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as why:
            raise InputError(
                f"exchanges: {at.name} is of type {exchanges[at.name].type}, which is no {at.type}"
            ) from why
        arrays.append(column)
    table = pa.table(arrays, schema=RECORD)
    if table["time"].null_count or table["account"].null_count:
        table = table.filter(pc.and_(table["time"].is_valid(), table["account"].is_valid()))
    if table["exchange_id"].null_count:
        parts = table.to_batches()
        whole = [pc.coalesce(part.column("exchange_id"), ids.derive(part)) for part in parts]
        at = RECORD.get_field_index("exchange_id")
        table = table.set_column(at, RECORD.field(at), pa.chunked_array(whole, pa.string()))
    return table


def in_order(table: pa.Table) -> pa.Table:
    """Sort by time, then by exchange id."""
    ts = table["time"].cast(pa.int64()).to_numpy()
    if len(ts) < 2 or (np.diff(ts) > 0).all():
        return table
    return table.sort_by([("time", "ascending"), ("exchange_id", "ascending")])


def hour_after(ts_us: int) -> int:
    """Return the full hour that ends after a time."""
    return (ts_us // HOUR_US + 1) * HOUR_US


def before(exchanges: pa.Table, until_us: int) -> pa.Table:
    """Return the exchanges before a time; a watch that learns only from clean days needs no others."""
    if exchanges.num_rows == 0 or "time" not in exchanges.column_names:
        return exchanges
    return exchanges.filter(
        pc.less(exchanges["time"].cast(RECORD.field("time").type, safe=False).cast(pa.int64()), until_us)
    )


def set_thresholds(
    defence: Defence, watch: DefenceWatch, calibration: CalibrationLog | None, clean_until_us: int, seed: int
) -> None:
    """Set a watch's thresholds on people who are not scored, if there are some and it has thresholds."""
    if calibration is None or not isinstance(watch, Calibrated):
        return
    other = defence.open_watch(calibration.accounts, clean_until_us, seed)
    learn = getattr(other, "learn", other.step)
    learn(before(calibration.exchanges, clean_until_us), clean_until_us)
    watch.calibrate(other)


def reason_silent(watch: DefenceWatch) -> str:
    """Return why a watch can accuse or refuse nobody; empty if it can."""
    return watch.cannot_fire() if isinstance(watch, Calibrated) else ""


def judge_log(watch: DefenceWatch, exchanges: pa.Table) -> LogJudgement:
    """Pass a whole log to a watch at once; later growth of a case is merged into its first report."""
    if exchanges.num_rows == 0:
        return LogJudgement(())
    last = pc.max(record(exchanges)["time"]).cast(pa.int64()).as_py()
    cases = merge_accusations(watch.step(exchanges, hour_after(last)) if last is not None else ())
    return LogJudgement(cases, cannot_fire=reason_silent(watch))


class Refusing(DefenceWatch, Protocol):
    """A watch with a limit learned from clean days."""

    clean_until_us: int


def refused_ids(watch: Refusing, exchanges: pa.Table) -> list[str]:
    """Return the ids of a log's exchanges that a limit would have refused after the clean days."""
    if exchanges.num_rows == 0:
        return []
    table = in_order(record(exchanges))
    names = ("exchange_id", "account", "time", "output_tokens", "model")
    columns = [table[name].cast(pa.int64()) if name == "time" else table[name] for name in names]
    clean = int(pc.sum(pc.less(columns[2], watch.clean_until_us)).as_py())
    watch.step(table.slice(0, clean), watch.clean_until_us)
    answered = getattr(watch, "answered", None)
    found = []
    rows = zip(*(c.slice(clean).to_pylist() for c in columns), strict=True)
    for key, account, at_us, tokens, model in rows:
        if watch.refuses(account, at_us, model):
            found.append(key)
        elif answered is not None:
            answered(account, at_us, tokens or 0, model)
    return found


def merge_accusations(accusations: Sequence[Accusation]) -> tuple[Accusation, ...]:
    """Merge into one accusation per case, in order of first report: each account when first named."""
    cases: dict[str, Accusation] = {}
    for each in accusations:
        before = cases.setdefault(each.case, Accusation(each.case, each.at_us, {}))
        for account, at in each.named_at_us.items():
            before.named_at_us[account] = min(at, before.named_at_us.get(account, at))
    return tuple(cases.values())
