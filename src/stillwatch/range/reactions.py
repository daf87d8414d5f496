"""How clients react to a refusal: an SDK tries again at once, then people have one habit each.

The rules were fixed before any result was seen; sources: docs/holds.md.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stillwatch.units import HOUR_US, MINUTE_US

SECOND_US = 1_000_000
SECOND_GO = 10  # attempts from here on are by a person, after an SDK has given up


@dataclass(frozen=True)
class ReactionRules:
    """The frequencies of reactions."""

    sdk_retries: int = 2  # OpenAI's and Anthropic's SDKs; they do not wait for a Retry-After beyond a minute
    sdk_backoff_s: tuple[float, float] = (0.5, 1.0)  # doubled each time, minus up to a quarter
    # an honest account's reaction when its SDK has given up; each account has one habit
    again_when_it_may: float = 0.35  # word for word, within two hours of the end of refusals
    other_provider: float = 0.15  # a router's fallback: no longer visible here
    by_hand: float = 0.10  # once more within 1 to 5 minutes, then given up
    # the rest give the request up
    leaves: float = 0.3  # of refused people leave for an hour and do not send their requests of that time
    second_account: float = 0.02  # of honest accounts belong to somebody who continues with another one
    campaigns_in_minutes: float = 0.7  # of campaigns move failed work within minutes, the others later
    minutes: float = 2.0  # mean of an exponential delay
    hours: tuple[float, float] = (1.0, 8.0)  # uniform

    def moved_at_us(self, at_us: int, rng: np.random.Generator) -> int:
        """Draw when a campaign's other account takes failed work over, if it does not wait for hours."""
        return at_us + 5 * SECOND_US + int(rng.exponential(self.minutes) * MINUTE_US)


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """The same request once more."""

    at_us: int
    account: str
    attempt: int  # 0 is the first; from the tenth on by a person


class HonestClients:
    """Honest accounts, each with its habit; a few belong to people with two accounts that nothing ties."""

    def __init__(
        self, kind_of: Mapping[str, str], rng: np.random.Generator, rules: ReactionRules | None = None
    ) -> None:
        """kind_of: every honest account; both accounts of one person are of one kind."""
        self._rng, self._rules = rng, rules or ReactionRules()
        names = sorted(kind_of)
        draws = rng.random(len(names)).tolist()
        self._habit = {name: self._habit_at(x) for name, x in zip(names, draws, strict=True)}
        self._partner: dict[str, str] = {}
        by_kind: dict[str, list[str]] = defaultdict(list)
        for name in names:
            if rng.random() < self._rules.second_account:
                by_kind[kind_of[name]].append(name)
        for several in by_kind.values():
            for a, b in zip(several[::2], several[1::2], strict=False):
                self._partner[a], self._partner[b] = b, a
        self._away_until: dict[str, int] = {}

    def _habit_at(self, x: float) -> str:
        for habit in ("again_when_it_may", "other_provider", "by_hand"):
            if (x := x - getattr(self._rules, habit)) < 0:
                return habit
        return "gives_up"

    def is_away(self, account: str, at_us: int) -> bool:
        """Return whether its owner has left for an hour."""
        return self._away_until.get(account, 0) > at_us

    def sdk_retry(self, at_us: int, account: str, attempt: int) -> NextAttempt | None:
        """Return an SDK's automatic retry; None after the last one."""
        rules = self._rules
        if attempt % SECOND_GO >= rules.sdk_retries:
            return None
        wait_s = rules.sdk_backoff_s[attempt % SECOND_GO] * (1 - 0.25 * self._rng.random())
        return NextAttempt(at_us + int(wait_s * SECOND_US), account, attempt + 1)

    def again(self, at_us: int, account: str, attempt: int, until_us: int) -> NextAttempt | None:
        """Return the next attempt at a request that was refused until some time; None if it is given up."""
        rng = self._rng
        if (retry := self.sdk_retry(at_us, account, attempt)) is not None:
            return retry
        if attempt >= SECOND_GO:
            return None
        if account in self._partner:
            then_us = at_us + int(rng.uniform(0.2, 10) * MINUTE_US)
            return NextAttempt(then_us, self._partner[account], SECOND_GO)
        habit, next_attempt = self._habit.get(account, "gives_up"), None
        if habit == "again_when_it_may":
            next_attempt = NextAttempt(until_us + int(rng.uniform(0, 2) * HOUR_US), account, SECOND_GO)
        elif habit == "by_hand":
            next_attempt = NextAttempt(at_us + int(rng.uniform(1, 5) * MINUTE_US), account, SECOND_GO)
        if rng.random() < self._rules.leaves:
            self._away_until[account] = at_us + HOUR_US
        return next_attempt
