"""An attacker that probes and keeps what survives: a staircase over means, from cheap to expensive.

Knows: nothing of the defence; sees which accounts answer, are refused, are stripped, are dead. Does: begins
with one account at full speed and a few requests; a crew that survives gets a doubled quota, with the same
accounts. When accounts die it hides one step better and begins small again; when they are refused it spreads
over three times as many at the pace that got through. Accounts with no work left are checked for two days, so
that late deaths are noticed. Cannot: tell why an account was stopped, or foresee it.
"""

from dataclasses import replace
from typing import Any

from stillwatch.range.attackers import Evasion, Try
from stillwatch.range.attackers.group import Crew
from stillwatch.range.attackers.play import Crews, Led
from stillwatch.units import HOUR_US

NAME = "adaptive"
PROBE = 40  # examples a probe asks for
LOOKED_IN_US = 6 * HOUR_US  # how often accounts with no work left are checked
WATCHED_US = 48 * HOUR_US  # and for how long
SURVIVES = 0.25  # share of accounts lost, or of requests refused, up to which a group counts as surviving
MOST_ACCOUNTS = 200
LEAST_PACE = 5.0  # requests per account and day

# Changes made when accounts die: each is more expensive than the one before, in money or in days.
HIDE: tuple[tuple[str, Any], ...] = (
    ("words", "wrapped"),
    ("words", "own"),
    ("spread_settings", True),
    ("accounts", 4),
    ("per_account_day", 250.0),
    ("kind", "aged"),
    ("words", "reworded"),
    ("hours", "human"),
    ("per_account_day", 50.0),
    ("cover", 0.5),
    ("drop", 0.3),
    ("decoys", 0.5),
    ("kind", "stolen"),
    ("wait_days", 7.0),
    ("per_account_day", 8.0),
    ("cover", 0.9),
)
MOST_STEPS = 3 * len(HIDE)
FIRST = Evasion(accounts=1, per_account_day=24 * 600, words="template", replace=False)


class _Adaptive(Led):
    def __init__(self, crews: Crews) -> None:
        super().__init__(crews)
        self._means, self._quota, self._steps = FIRST, PROBE, 0
        self._crew: Crew | None = None
        self._done: list[tuple[int, Crew]] = []  # crews with no work left, and since when
        self._begun_us = 0

    def hour(self, at_us: int) -> list[Try]:
        self._decide(at_us)
        tries = self._crews.hour(at_us)
        for since, crew in self._done:
            if at_us > since and (at_us - since) % LOOKED_IN_US == 0 and at_us <= since + WATCHED_US:
                tries += crew.ping(at_us)
        return tries

    def _decide(self, at_us: int) -> None:
        crew = self._crew
        if crew is not None:
            tried = crew.got + crew.refused
            if crew.losses > SURVIVES or any(
                c.losses > SURVIVES and c.means == self._means for _, c in self._done
            ):
                self._withdraw(crew, at_us)
                self._hide()
            elif tried >= PROBE / 2 and crew.refused > SURVIVES * tried:
                self._withdraw(crew, at_us)
                self._spread(crew, at_us)
            elif not crew.is_finished:
                return
            elif self._crews.missing:
                self._quota *= 2
                crew.extend(min(self._quota, self._crews.missing))
                if not crew.is_finished:
                    return
                self._withdraw(crew, at_us)  # its accounts have sent their quota
        if self._crews.missing == 0:
            return
        if self._crews.cannot_buy(self._means) or self._steps > MOST_STEPS:
            self._given_up = True
            return
        self._crew = self._crews.send(self._means, min(self._quota, self._crews.missing))
        self._begun_us = at_us

    def _withdraw(self, crew: Crew, at_us: int) -> None:
        crew.quota = crew.got
        self._done.append((at_us, crew))
        self._crew = None

    def _hide(self) -> None:
        """Make the next more expensive change, and begin small again; after the last, combine at random."""
        self._quota = PROBE
        if self._steps < len(HIDE):
            name, value = HIDE[self._steps]
            self._means = replace(self._means, **{name: value})
        else:
            drawn = self._crews.rng.permutation(len(HIDE))[:6]
            changes = {HIDE[i][0]: HIDE[i][1] for i in sorted(drawn)}
            self._means = replace(FIRST, **changes)
        self._steps += 1

    def _spread(self, crew: Crew, at_us: int) -> None:
        """Use more accounts at the pace that got through."""
        days = max(1.0, (at_us - self._begun_us) / (24 * HOUR_US))
        through = max(LEAST_PACE, crew.got / max(crew.bought, 1) / days)
        self._means = replace(
            self._means,
            accounts=min(MOST_ACCOUNTS, 3 * self._means.accounts),
            per_account_day=min(self._means.per_account_day, through),
        )
        self._steps += 1


begin = _Adaptive
