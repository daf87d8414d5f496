"""A salvo: accounts that send a day's questions within one second, before any of them is answered.

Knows: that an allowance counts an answer when it ends, and that detection runs at full hours. Does: buys
enough fresh accounts for each to send `each` questions at once, in a wrapper of its own, at temperature 0.
Further accounts send the unanswered ones in the next hour. With `nights` it begins in the last hour of a day
and sends again after midnight. Cannot: respect a provider's limit on concurrency, which is not modelled.
Source: an independent attack on this project, 2026.
"""

from dataclasses import dataclass, replace

from stillwatch.errors import InputError
from stillwatch.range.attackers import Evasion, Try
from stillwatch.range.attackers.group import Crew
from stillwatch.range.attackers.play import Crews, Led
from stillwatch.units import HOUR_US, SECOND_US

NAME = "salvo"
LAST_HOUR = 23  # of a day, UTC
SPARE = 1.05  # accounts bought per needed one: some requests fail
SPARE_SENT, SPARE_AGAIN = 1.03, 1.06  # questions sent per wanted one, at first and after midnight


@dataclass(frozen=True)
class Settings:
    """How much one account sends at once, and over how many midnights."""

    each: int = 220
    nights: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.each <= 100_000 or not 0 <= self.nights <= 365:
            raise InputError("give `each` from 1 to 100,000 and `nights` from 0 to 365")


class Salvo(Led):
    """Bursts within the second after an hour begins."""

    def __init__(self, crews: Crews, settings: Settings) -> None:
        super().__init__(crews)
        self._settings = settings
        self._crew: Crew | None = None
        per_account = settings.each * (settings.nights + 1)
        self._means = Evasion(
            accounts=-(-int(crews.brief.goal * SPARE) // per_account),
            per_account_day=settings.each,
            hours="burst",
            words="own",
            spread_settings=True,
            replace=False,
        )

    def hour(self, at_us: int) -> list[Try]:
        crews, clock, nights = self._crews, at_us // HOUR_US % 24, self._settings.nights
        if self._crew is None:
            if nights and clock != LAST_HOUR:
                return []
            self._crew = crews.send(self._means, int(crews.missing * (1 if nights else SPARE_SENT)))
        elif nights and clock == 0:
            self._crew.extend(int(crews.missing * SPARE_AGAIN) + 3)
        elif crews.missing and (self._crew.is_finished or (self._crew.refused and not nights)):
            self._again(self._crew)
        return [
            replace(t, at_us=at_us + SECOND_US + t.at_us % SECOND_US, temperature=0.0)
            for t in crews.hour(at_us)
        ]

    def _again(self, crew: Crew) -> None:
        """Send the missing questions by further accounts."""
        if not crew.is_finished:
            crew.quota = crew.got
        missing = self._crews.missing
        self._given_up = self._crews.cannot_buy(self._means)
        accounts = max(1, -(-missing // self._settings.each))
        self._crew = self._crews.send(replace(self._means, accounts=accounts), missing)


begin = Salvo
