"""Accounts that begin their prompts in the same way, or send the same system text. It ignores rarity and
behaviour.

A key is a prompt's first 64 characters or a whole system text, in lower case, with runs of digits as one.
Keys that two accounts shared in the first half of the clean days are known templates and left out. The score
is the accounts with another key within five days; the level is set on the second half.

Null: accounts share new keys at the same rate as in the clean days.
Blind to: wrappers that differ per account; one question repeated in other words; a lone account.
Fooled by: a viral prompt, a hackathon, a new framework, a company with many accounts.
Source: AegisGate's clustering by template prefix, without its shared addresses (docs/field.md, "Other
    tools"): a shared prefix or system text, without regard to rarity.
"""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.range.defences import Accusation, DefenceWatch
from stillwatch.range.defences.calibration import WithLevel
from stillwatch.range.defences.hours import HourBatch, HourlyLevel
from stillwatch.units import DAY_US

NAME = "prefix"
LENGTH = 64  # characters; in a shorter prompt a template cannot be separated from its question
WINDOW_US = 5 * DAY_US
SAME_CASE = 0.5  # share of a key's accounts that a case must hold to continue under its name
DIGITS = re.compile(r"\d+")


def keys_of(table: pa.Table) -> tuple[np.ndarray, list[str]]:
    """(n, 2) numbers of each row's keys, -1 if it has none, and the keys."""
    heads = pc.utf8_slice_codeunits(table["prompt"], 0, 4 * LENGTH)
    columns, names = [], dict[str, int]()
    for column, cut, mark in ((heads, LENGTH, "p:"), (table["system"], None, "s:")):
        coded = column.combine_chunks().dictionary_encode()
        numbers = np.full(len(coded.dictionary) + 1, -1, np.int64)
        for k, text in enumerate(coded.dictionary.to_pylist()):
            key = DIGITS.sub("0", text.strip().lower())
            if len(key) >= (cut or 1):
                numbers[k] = names.setdefault(mark + key[:cut], len(names))
        columns.append(numbers[pc.fill_null(coded.indices, len(coded.dictionary)).to_numpy()])
    return np.stack(columns, axis=1), list(names)


class _Prefix(WithLevel):
    def __init__(self, clean_until_us: int, dial: float) -> None:
        super().__init__(clean_until_us, dial)
        self.used: dict[str, dict[int, int]] = {}  # key -> account -> its last hour with it
        self.known: set[str] = set()
        self.pruned_us = 0
        self.cases: dict[str, set[int]] = {}
        self.case_of: dict[str, str] = {}  # key -> case
        self.made = 0

    def see(self, hour: HourBatch) -> Sequence[Accusation]:
        learning = hour.until_us <= self.halve(hour)
        self.count(hour)
        self._prune(hour.until_us)
        touched = self._take(hour, learning)
        accusations: list[Accusation] = []
        for key in [] if learning else sorted(touched - self.known):
            users = {a for a, at in self.used[key].items() if at > hour.until_us - WINDOW_US}
            if len(users) < 2:
                continue
            score = float(np.log(len(users)))
            if self.clean.holds(hour):
                self.clean.score(key, score)
            elif self.level is not None and score > self.level:
                accusations += self._accuse(key, users, hour)
        return accusations

    def _take(self, hour: HourBatch, learning: bool) -> set[str]:
        numbers, names = keys_of(hour.table)
        touched = set()
        for column in numbers.T:
            has = column >= 0
            for number, account in np.unique(np.stack([column[has], hour.account[has]]), axis=1).T.tolist():
                key = names[number]
                users = self.used.setdefault(key, {})
                users[account] = hour.until_us
                touched.add(key)
                if learning and len(users) >= 2:
                    self.known.add(key)
        return touched

    def _prune(self, now_us: int) -> None:
        """Once a day drop what is outside the window."""
        if now_us < self.pruned_us + DAY_US:
            return
        self.pruned_us = now_us
        for key in list(self.used):
            users = {a: at for a, at in self.used[key].items() if at > now_us - WINDOW_US}
            if users:
                self.used[key] = users
            else:
                del self.used[key]

    def _accuse(self, key: str, users: set[int], hour: HourBatch) -> list[Accusation]:
        case = self.case_of.get(key) or self._case_for(users)
        self.case_of[key] = case
        fresh = users - self.cases.setdefault(case, set())
        if not fresh:
            return []
        self.cases[case] |= fresh
        named = {hour.names[a]: hour.until_us for a in sorted(fresh)}
        return [Accusation(case, hour.until_us, named)]

    def _case_for(self, users: set[int]) -> str:
        shared = {case: len(users & members) for case, members in self.cases.items()}
        best = max(shared, key=lambda case: (shared[case], case), default=None)
        if best is not None and shared[best] >= SAME_CASE * len(users):
            return best
        self.made += 1
        return f"prefix-{self.made:04}"


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> DefenceWatch:
    """Start a watch; `dial` is the false-positive budget in cases per 10,000 account-days."""
    return HourlyLevel(_Prefix(clean_until_us, dial))
