"""One account at full speed that asks bare questions, without any shared or fixed wording.

Knows: that detection reads wording. Does: the same as `loud`, without a template; `temperature` is used for
every request. Cannot: hide its volume, or that it never asks follow-ups.
Source: the smallest change to `loud`; an independent attack on this project, 2026.
"""

from dataclasses import dataclass, replace

from stillwatch.errors import InputError
from stillwatch.range.attackers import Evasion, Try
from stillwatch.range.attackers.group import BURST_PER_HOUR
from stillwatch.range.attackers.play import Crews
from stillwatch.range.attackers.repeated import RepeatingAttacker

NAME = "loud_bare"


@dataclass(frozen=True)
class Settings:
    """Speed and temperature."""

    per_hour: float = BURST_PER_HOUR
    temperature: float | None = None  # None: the account's own

    def __post_init__(self) -> None:
        if not 0 < self.per_hour <= 1e6 or not 0 <= (self.temperature or 0.0) <= 2:
            raise InputError("give `per_hour` above 0 and a temperature from 0 to 2")


class LoudBare(RepeatingAttacker):
    """One account without added wording."""

    def __init__(self, crews: Crews, settings: Settings) -> None:
        super().__init__(crews, Evasion(accounts=1, per_account_day=24 * settings.per_hour, words="bare"))
        self._temperature = settings.temperature

    def hour(self, at_us: int) -> list[Try]:
        tries = super().hour(at_us)
        if self._temperature is None:
            return tries
        return [replace(t, temperature=self._temperature) for t in tries]


begin = LoudBare
