"""Allowances: output tokens per day for everybody, and more for accounts whose history justifies it.

All days are sliding days (`terms.window`), both in the log that is measured and in the policy that is
written. An account's history raises its allowance to at most `CEILING` times the common one, because a busy
day can be bought with a cheap model's tokens. The owner names accounts that need more.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from stillwatch.terms.window import BLOCKS, busiest

USUAL = 0.99  # share of accounts whose busiest clean day stays within the allowance
NONE = 2**62  # tokens: more than any account uses
GROWTH = 2.0  # times its own busiest clean day, for an account above the common allowance
CEILING = 2.5  # times the common allowance: the most that an account's history alone can give it
FLAT = 3.0  # times the busiest clean day of any account: one limit that hardly any account reaches
STEPS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0, 48.0)  # times USUAL
LEAST_DAYS = 3  # of a log, to choose a limit by what it would have refused: two to set it, one to test it


class Use(NamedTuple):
    """What an account used in a block of the sliding day."""

    requests: int
    tokens: int  # of output


Spent = Mapping[str, Mapping[int, Use]]  # by account and number of the block


@dataclass(frozen=True)
class Allowances:
    """Output tokens per day: the common allowance, and larger ones of some accounts."""

    usual: int
    more: dict[str, int]
    vouch: dict[str, int] = field(default_factory=dict)  # what their history supports beyond `more`
    answer: int | None = None  # output tokens of the longest answer

    @classmethod
    def flat(cls, busiest: dict[str, int], answer: int | None = None) -> "Allowances":
        """Set one limit for everybody, by the busiest clean day of any account."""
        return cls(round(FLAT * max(busiest.values())) if busiest else NONE, {}, answer=answer)

    @classmethod
    def of(
        cls,
        busiest: dict[str, int],
        share: float = USUAL,
        growth: float = GROWTH,
        usual: int | None = None,
        ceiling: float = CEILING,
        answer: int | None = None,
    ) -> "Allowances":
        """Set them by every account's busiest clean day. Without clean days there is no allowance.

        An account's history gives it at most `ceiling` times the common allowance. Otherwise a few dollars
        spent on a small model would buy thousands of dollars' worth of a large one. `vouch` lists what
        exceeds this, for a person to grant.

        usual: the common allowance, if it is known from other accounts' clean days.
        """
        if usual is None:
            if not busiest:
                return cls(NONE, {})
            busiest_day = np.array(sorted(busiest.values()), float)
            usual = round(float(np.quantile(busiest_day, share, method="higher")))
        grown = {
            name: round(growth * busiest_day)
            for name, busiest_day in busiest.items()
            if growth * busiest_day > usual
        }
        most_of_all = max(usual, round(ceiling * usual))
        vouch = {name: tokens for name, tokens in grown.items() if tokens > most_of_all}
        return cls(usual, {name: min(tokens, most_of_all) for name, tokens in grown.items()}, vouch, answer)

    def of_account(self, account: str) -> int:
        """Return an account's output tokens per day."""
        return self.more.get(account, self.usual)

    def terms(self) -> str:
        """Return the section of terms.toml that sets these allowances."""
        lines = ["[limits]", f"output_tokens_per_day = {self.usual:_}", 'day = "sliding"']
        if self.answer:
            lines.append(f"answer_tokens = {self.answer:_}  # the longest answer of the log")
        for name in sorted(self.more):
            lines += [f"[limits.account.{json.dumps(name)}]", f"output_tokens_per_day = {self.more[name]:_}"]
            if name in self.vouch:
                lines.append(
                    f"# its history supports {self.vouch[name]:_}: write that if you vouch for the account"
                )
        return "\n".join(lines) + "\n"


def busiest_days(spent: Spent) -> dict[str, int]:
    """Return each account's highest token count of any sliding day."""
    return {name: busiest({block: use.tokens for block, use in of.items()}) for name, of in spent.items()}


def days_of(spent: Spent) -> list[int]:
    """Return the days, from midnight to midnight, with any use."""
    return sorted({block // BLOCKS for of in spent.values() for block in of})


def least_limit(spent: Spent, most: float, answer: int | None = None) -> tuple[Allowances, float]:
    """Return the smallest of STEPS times the usual allowance that refuses at most `most` of all requests.

    Each day but the first is tested with the allowances that the days before it give; all requests of an
    account in a block count equally. spent: covers LEAST_DAYS or more. Returns the allowances set by all
    days, and the refused share, which exceeds `most` if no step is large enough.
    """
    days, so_far = days_of(spent), dict[str, int]()
    usual: dict[int, int] = {}  # by day: the common allowance, as set by the days before it
    before: dict[tuple[str, int], int] = {}  # an account's busiest day before a given day
    for day in days:
        if so_far:
            usual[day] = Allowances.of(so_far).usual
        for name, of in spent.items():
            before[name, day] = so_far.get(name, 0)
            tokens = {block: use.tokens for block, use in of.items() if day - 1 <= block // BLOCKS <= day}
            if any(block // BLOCKS == day for block in tokens):
                so_far[name] = max(so_far.get(name, 0), busiest(tokens))
    requests = sum(use.requests for of in spent.values() for at, use in of.items() if at // BLOCKS in usual)
    tried = list(spent)
    for step in STEPS:
        refused_of = {}
        for name in tried:
            own = {
                day: Allowances.of({name: before[name, day]}, usual=round(step * usual[day])).of_account(name)
                for day in usual
            }
            refused_of[name] = _count_refused(spent[name], own)
        tried = [name for name, refused in refused_of.items() if refused]  # larger steps spare the others
        share = sum(refused_of.values()) / max(requests, 1)
        if share <= most:
            break
    return Allowances.of(so_far, usual=round(step * Allowances.of(so_far).usual), answer=answer), share


def _count_refused(of: Mapping[int, Use], limits: Mapping[int, int]) -> float:
    """Return an account's requests that its limits refuse, by day; a day without a limit refuses nothing."""
    refused, taken = 0.0, dict[int, int]()
    for block in sorted(of):
        use, earlier = of[block], sum(taken.get(block - k, 0) for k in range(1, BLOCKS))
        room = max(0, limits.get(block // BLOCKS, NONE) - earlier)
        taken[block] = min(use.tokens, room)
        if use.tokens > room:
            refused += use.requests * (1 - room / use.tokens)
    return refused
