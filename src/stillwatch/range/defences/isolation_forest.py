"""An isolation forest over an account's day: fifteen numbers that describe its use of the service.

The forest grows on the first half of the clean days, its level is set on the second. A day is judged when it
is over; accounts with few exchanges that day are left out.

Null: days to come are drawn from the clean ones.
Blind to: a harvest whose accounts each look like many others; an account with fewer than 5 exchanges a day.
Fooled by: the largest and rarest honest users: anomalous does not mean hostile.
Source: Liu, Ting, Zhou 2008; its usual place is in vendors' anomaly rules. The choice of the fifteen account
    features is this file's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.range.defences import Accusation, DefenceWatch
from stillwatch.range.defences.calibration import WithLevel
from stillwatch.range.defences.forest import SAMPLE, Forest, grow
from stillwatch.range.defences.hours import HourBatch, HourlyLevel
from stillwatch.units import DAY_US, HOUR_US

NAME = "isolation_forest"
LEAST = 5  # exchanges of an account in a day
FEATURES = (
    "exchanges", "active hours", "models", "different prompts", "prompt length", "input tokens",
    "output tokens", "reasoning share", "token limit", "temperature", "turn", "with system text",
    "with tools", "in JSON", "streamed",
)  # fmt: skip
COLUMNS = (
    "model", "prompt", "input_tokens", "output_tokens", "reasoning_tokens", "max_tokens", "temperature",
    "turn", "system", "tools", "response_format", "stream",
)  # fmt: skip


def account_days(table: pa.Table, ts_us: np.ndarray, account: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return accounts with enough exchanges, ascending, and their (accounts, FEATURES) for one day."""
    who, at, many = np.unique(account, return_inverse=True, return_counts=True)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(at, weights=values, minlength=len(who)) / many

    def number(column: str, missing: float = 0.0) -> np.ndarray:
        values: np.ndarray = pc.fill_null(table[column].cast(pa.float64()), missing).to_numpy()
        return np.maximum(np.nan_to_num(values), -1.0)

    def different(keys: np.ndarray) -> np.ndarray:
        pairs = np.unique(np.stack([at, keys]), axis=1)
        return np.bincount(pairs[0], minlength=len(who)).astype(float)

    def encode(column: str) -> np.ndarray:
        codes = pc.fill_null(table[column].combine_chunks(), "").dictionary_encode().indices
        found: np.ndarray = codes.to_numpy().astype(np.int64)
        return found

    output, reasoning = number("output_tokens"), number("reasoning_tokens")
    lengths = pc.fill_null(pc.utf8_length(table["prompt"]), 0).to_numpy().astype(float)
    columns = (
        np.log1p(many.astype(float)),
        different(ts_us // HOUR_US),
        different(encode("model")),
        different(encode("prompt")) / many,
        mean(np.log1p(lengths)),
        mean(np.log1p(np.maximum(number("input_tokens"), 0))),
        mean(np.log1p(np.maximum(output, 0))),
        mean(np.where(output > 0, np.clip(reasoning / np.maximum(output, 1), 0, 1), 0)),
        mean(np.log1p(np.maximum(number("max_tokens"), 0))),
        mean(number("temperature", -1.0)),
        mean(np.log1p(np.maximum(number("turn"), 0))),
        mean(table["system"].is_valid().to_numpy().astype(float)),
        mean((number("tools") > 0).astype(float)),
        mean(pc.match_like(pc.fill_null(table["response_format"], ""), "%json%").to_numpy().astype(float)),
        mean(pc.fill_null(table["stream"], False).to_numpy().astype(float)),
    )
    enough = many >= LEAST
    return who[enough], np.stack(columns, axis=1)[enough]


class _IsolationForest(WithLevel):
    def __init__(self, clean_until_us: int, seed: int, dial: float) -> None:
        super().__init__(clean_until_us, dial)
        self.seed = seed
        self.forest: Forest | None = None
        self.learnt: list[np.ndarray] = []
        self.day = -1
        self.hours: list[HourBatch] = []

    def see(self, hour: HourBatch) -> Sequence[Accusation]:
        day = (hour.until_us - 1) // DAY_US
        self.halve(hour)
        accusations = self._close(hour) if day != self.day and self.hours else []
        self.day = day
        if self.clean.holds(hour):
            self.clean.see(hour)
        self.hours.append(hour)
        if hour.until_us % DAY_US == 0:
            accusations += self._close(hour)
        return accusations

    def calibrate(self, other: Any) -> None:
        """Take the forest and the level of other people's clean days."""
        if other.hours:  # of the last clean day
            other._close(other.hours[-1])
        super().calibrate(other)
        self.forest = other.forest

    def cannot_fire(self) -> str:
        """Return why no day can raise an alarm; empty if one can."""
        return "too few clean account-days to grow on" if self.forest is None else super().cannot_fire()

    def _close(self, now: HourBatch) -> list[Accusation]:
        """Judge the day that is over: at midnight, or with the next hour that has exchanges."""
        hours, self.hours = self.hours, []
        names = ("time", *COLUMNS)
        table = pa.concat_tables([h.table.select(names) for h in hours])
        account = np.concatenate([h.account for h in hours])
        who, points = account_days(table, np.concatenate([h.ts_us for h in hours]), account)
        last = hours[-1]
        if len(who) == 0:
            return []
        if self.middle_us is not None and last.until_us <= self.middle_us:
            self.learnt.append(points)
            return []
        if self.forest is None:
            if sum(map(len, self.learnt)) < SAMPLE // 8:
                return []
            self.forest = grow(np.concatenate(self.learnt), self.seed)
            self.learnt = []
        scores = self.forest.scores(points)
        scores = np.log(scores / (1.0 - scores))  # unbounded, so that its tail can be extrapolated
        if self.clean.holds(last):
            for code, score in zip(who.tolist(), scores.tolist(), strict=True):
                self.clean.score(code, score)
            return []
        if self.level is None:
            self.level = self.clean.level()
        accusations = []
        for code in who[scores > self.level].tolist():
            if code not in self.accused:
                self.accused.add(code)
                name = now.names[code]
                accusations.append(Accusation(f"forest-{name}", now.until_us, {name: now.until_us}))
        return accusations


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> DefenceWatch:
    """Start a watch; `dial` is the false-positive budget in cases per 10,000 account-days."""
    return HourlyLevel(_IsolationForest(clean_until_us, seed, dial))
