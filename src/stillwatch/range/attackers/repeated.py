"""An attacker with one fixed set of means.

It also serves to try a plan of your own: `FixedMeans(Evasion(...), "name")` is an attacker.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.range.attackers import QUEUES, AttackSession, Brief, Evasion, Try
from stillwatch.range.attackers.play import Crews, Led
from stillwatch.range.market import Market


class RepeatingAttacker(Led):
    """One crew with the whole goal as its quota, and means that never change."""

    def __init__(self, crews: Crews, means: Evasion) -> None:
        super().__init__(crews)
        self._crew = crews.send(means, crews.brief.goal)

    def hour(self, at_us: int) -> list[Try]:
        return self._crews.hour(at_us)

    @property
    def given_up(self) -> bool:
        return self._crew.is_finished


@dataclass(frozen=True)
class FixedMeans:
    """An attacker with one set of means."""

    means: Evasion
    NAME: str
    queue: str = QUEUES[0]

    def begin(self, brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
        """Begin a campaign."""
        return RepeatingAttacker(Crews(brief, market, rng, self.queue), self.means)
