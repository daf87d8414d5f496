"""Allowances: output tokens a day of everybody, and more for accounts whose own days show more.

An account's own days give it `CEILING` times everybody's allowance at most: a busy day can be bought with a
cheap model's tokens. Whom the owner knows to need more it names itself. It reads no log and refuses nobody.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

USUAL = 0.99  # of the accounts seen in the clean days have no busier day than the allowance
NONE = 2**62  # tokens: more than anybody takes
GROWTH = 2.0  # times its own busiest clean day, for an account that is above it
CEILING = 2.5  # times everybody's allowance: more is nobody's by what a log shows alone
FLAT = 3.0  # times the busiest clean day of any account: one limit that next to nobody reaches
STEPS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0, 48.0)  # times USUAL
LEAST_DAYS = 3  # of a log, for a limit by what it would have refused: two to set one by, one to try it on


class Use(NamedTuple):
    """What an account did on a day."""

    requests: int
    tokens: int  # of output


@dataclass(frozen=True)
class Allowances:
    """Output tokens a day: of everybody, and of those who may have more."""

    usual: int
    more: dict[str, int]
    vouch: dict[str, int] = field(default_factory=dict)  # what their own days say, where that is above `more`
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

        An account's own days give it `ceiling` times everybody's at most: some dollars on a small model's
        tokens would else buy it thousands of a large one's. `vouch` holds the rest, for a person to grant.

        usual: where everybody's allowance is known from other people's clean days.
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
        """Output tokens a day of an account."""
        return self.more.get(account, self.usual)

    def terms(self) -> str:
        """The part of terms.toml that says so."""
        lines = ["[limits]", f"output_tokens_per_day = {self.usual:_}"]
        if self.answer:
            lines.append(f"answer_tokens = {self.answer:_}  # the longest answer of the log")
        for name in sorted(self.more):
            lines += [f"[limits.account.{json.dumps(name)}]", f"output_tokens_per_day = {self.more[name]:_}"]
            if name in self.vouch:
                lines.append(f"# its own days say {self.vouch[name]:_}: write that if you vouch for it")
        return "\n".join(lines) + "\n"


def least_limit(
    days: Sequence[Mapping[str, Use]], most: float, answer: int | None = None
) -> tuple[Allowances, float]:
    """The smallest of STEPS times the usual allowance that would have refused at most this share of requests.

    Each day but the first is tried with what the days before it set; an account's requests of a day count as
    alike. days: in order, LEAST_DAYS or more. Gives the allowances that all days set, and the share that was
    refused on the tried ones, which is above `most` where no step is large enough.
    """
    busiest: dict[str, int] = {}
    trials: list[tuple[int, list[tuple[str, Use, int]]]] = []  # usual; account, its day, its busiest before
    for day in days:
        if busiest:
            used = [(a, use, busiest.get(a, 0)) for a, use in day.items()]
            trials.append((Allowances.of(busiest).usual, used))
        for account, use in day.items():
            busiest[account] = max(busiest.get(account, 0), use.tokens)
    requests = sum(use.requests for _, used in trials for _, use, _ in used)
    for step in STEPS:
        refused = 0.0
        for usual, used in trials:
            plan = Allowances.of({a: tokens for a, _, tokens in used}, usual=round(step * usual))
            # whom a step spares, larger ones spare as well
            used[:] = (trial for trial in used if trial[1].tokens > plan.of_account(trial[0]))
            refused += sum(use.requests * (1 - plan.of_account(a) / use.tokens) for a, use, _ in used)
        share = refused / max(requests, 1)
        if share <= most:
            break
    usual = Allowances.of(busiest).usual
    return Allowances.of(busiest, usual=round(step * usual), answer=answer), share
