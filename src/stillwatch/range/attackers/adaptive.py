"""An attacker that probes and keeps what survives: a staircase over means, by cost and survival.

Knows: nothing of the defence; sees which accounts answer, are refused, are stripped, are dead. Does: sends
a small group with one set of means; if most of its accounts live, the next group is twice as large; if not,
it changes one means at a time, from the cheap to the dear, and begins small again. Cannot: tell why an
account was stopped, nor foresee that one will be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stillwatch.range.attackers import Brief, Means, Play, Seen, Try
from stillwatch.range.attackers.crew import Crew
from stillwatch.range.attackers.market import Market
from stillwatch.range.attackers.play import Crews

NAME = "adaptive"
PROBE = 40  # examples a probe asks for
LOOKED_IN_US = 6 * 3_600_000_000  # how often accounts are tried whose work is done
WATCHED_US = 48 * 3_600_000_000  # and for how long
SURVIVES = 0.25  # share of accounts lost up to which a group counts as alive

# Each change is one step dearer than the one before it, in money or in days.
CHANGES: tuple[tuple[str, object], ...] = (
    ("words", "wrapped"),
    ("words", "own"),
    ("spread_settings", True),
    ("accounts", 4),
    ("words", "reworded"),
    ("kind", "aged"),
    ("hours", "human"),
    ("per_account_day", 25.0),
    ("cover", 0.5),
    ("drop", 0.3),
    ("decoys", 0.5),
    ("kind", "stolen"),
    ("wait_days", 7.0),
    ("per_account_day", 8.0),
    ("cover", 0.9),
)
MOST_CHANGES = 3 * len(CHANGES)
FIRST = Means(accounts=10, per_account_day=100.0, words="template", replace=False)


@dataclass
class _Group:
    crew: Crew
    arm: int  # how many changes had been made when it was sent
    done_us: int | None = None


class _Adaptive:
    def __init__(self, crews: Crews) -> None:
        self._crews = crews
        self._means, self._quota, self._arm = FIRST, PROBE, 0
        self._groups: list[_Group] = []
        self._given_up = False

    def hour(self, at_us: int) -> list[Try]:
        self._decide()
        tries = self._crews.hour(at_us)
        for group in self._groups:
            if group.crew.finished:
                group.done_us = group.done_us or at_us
                if (at_us - group.done_us) % LOOKED_IN_US == 0 and at_us <= group.done_us + WATCHED_US:
                    tries += group.crew.ping(at_us)
        return tries

    def _decide(self) -> None:
        mine = [group for group in self._groups if group.arm == self._arm]
        if any(group.crew.losses > SURVIVES for group in mine):
            for group in mine:
                group.crew.quota = group.crew.got  # withdrawn
            self._step()
        elif mine and not mine[-1].crew.finished:
            return
        elif mine:
            self._quota *= 2
        if self._crews.missing == 0:
            return
        price = self._crews.market.prices.account(self._means.kind)
        if self._crews.market.purse.left_usd < price or self._arm > MOST_CHANGES:
            self._given_up = True
            return
        crew = self._crews.send(self._means, min(self._quota, self._crews.missing))
        self._groups.append(_Group(crew, self._arm))

    def _step(self) -> None:
        """One change dearer, and small again. Past the last, whole combinations are drawn."""
        self._quota = max(PROBE, self._quota // 2)
        if self._arm < len(CHANGES):
            name, value = CHANGES[self._arm]
            self._means = replace(self._means, **{name: value})  # type: ignore[arg-type]
        else:
            drawn = self._crews.rng.permutation(len(CHANGES))[:6]
            changes = {CHANGES[i][0]: CHANGES[i][1] for i in sorted(drawn)}
            self._means = replace(FIRST, **changes)  # type: ignore[arg-type]
        self._arm += 1

    def saw(self, seen: Sequence[Seen]) -> None:
        self._crews.saw(seen)

    @property
    def given_up(self) -> bool:
        return self._given_up or self._crews.missing == 0


def begin(brief: Brief, market: Market, rng: np.random.Generator) -> Play:
    """Begin a campaign."""
    return _Adaptive(Crews(brief, market, rng))
