"""A masked chorus: each account has a wrapper of its own, and sends cheap requests in it to other models.

Knows: docs/evidence.md; that a group is tested on the most frequent model, limit and temperature of its
wording. Does: every account has a wrapper of its own and an honest account's limit and temperature. An eighth
of the requests have temperature 0. Along with every wanted request go `mask` cheap ones with the same words
to another model, so that the most frequent model is not the wanted one. Stopped accounts are replaced.
Cannot: hide how many different questions one model answers, or its accounts' spending on that model.
Source: the masked chorus of an independent attack on this project, 2026; 1.3 cheap requests are its figure.
"""

from dataclasses import dataclass, replace
from zlib import crc32

from stillwatch.errors import InputError
from stillwatch.range.attackers import Evasion, Try
from stillwatch.range.attackers.play import Crews, Led
from stillwatch.units import HOUR_US

NAME = "chorus"
OTHER_MODELS = ("mira-mini", "mira-large")  # an account uses only one of them
ZERO_OF = 8  # one request in so many has temperature 0


@dataclass(frozen=True)
class Settings:
    """Number of accounts, their speed, and the cheap requests for each wanted one."""

    accounts: int = 20
    per_account_day: float = 50.0
    mask: float = 1.3  # cheap requests for each wanted one; 0: none
    words: str = "own"  # or any other of `Evasion.words`

    def __post_init__(self) -> None:
        if not 0 <= self.mask <= 1000:
            raise InputError(f"mask = {self.mask:g}; give a number from 0 to 1,000")
        self.means()

    def means(self) -> Evasion:
        """The accounts' means, without the masking."""
        return Evasion(
            accounts=self.accounts,
            per_account_day=self.per_account_day,
            hours="human",
            words=self.words,
            spread_settings=True,
        )


class Chorus(Led):
    """One crew, with cheap requests added to its own."""

    def __init__(self, crews: Crews, settings: Settings) -> None:
        super().__init__(crews)
        self._mask = settings.mask
        self._crew = crews.send(settings.means(), crews.brief.goal)

    def hour(self, at_us: int) -> list[Try]:
        rng, market = self._crews.rng, self._crews.market
        tries: list[Try] = []
        for wanted in self._crews.hour(at_us):
            zero = crc32(f"{wanted.account} {wanted.at_us}".encode()) % ZERO_OF == 0
            tries.append(replace(wanted, temperature=0.0) if zero else wanted)
            other = OTHER_MODELS[market.held[wanted.account].voice % len(OTHER_MODELS)]
            for _ in range(int(self._mask) + (rng.random() < self._mask % 1)):
                moment = at_us + int(rng.integers(HOUR_US))
                tries.append(replace(wanted, at_us=moment, item=None, model=other, dropped=False))
        return tries

    @property
    def given_up(self) -> bool:
        return super().given_up or self._crew.is_finished


begin = Chorus
