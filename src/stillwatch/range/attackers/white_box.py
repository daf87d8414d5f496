"""An attacker that has read docs/evidence.md: the cheapest undetected way known to us.

Knows: the constants of the code. Wording emerges at four tenants, a lone payer is examined from 300 exchanges
in five days on, an alarm needs four hourly evaluations and four tenants that share new wording. Does: shares
no wording, and is finished before four evaluations. It uses few fresh accounts, each with its own wording and
an honest account's limit and temperature, each for at most 250 requests, as fast as they are answered. A
refused account comes back every hour until the limit lets it through. If accounts are stopped nevertheless,
the next ones are aged and send half as much each. Cannot: hide that it never asks twice and never asks
follow-ups.
Source: docs/evidence.md, "Lone payers" and "An adversary who reads this"; docs/scan.md, "Raising".
"""

from dataclasses import replace

from stillwatch.range.attackers import Evasion, Try
from stillwatch.range.attackers.play import Crews, Led

NAME = "white_box"
BELOW_LONE = 250  # of the 300 from which a lone payer is examined
LEAST = 8  # an account that may send less than this is not worth its price
SURVIVES = 0.25
MEANS = Evasion(hours="burst", words="own", spread_settings=True, replace=False)


class WhiteBox(Led):
    """Crews of exactly the accounts needed, each below every threshold.

    hasty: buys more accounts when it is refused, instead of waiting.
    """

    def __init__(self, crews: Crews, *, hasty: bool = False) -> None:
        super().__init__(crews)
        self._hasty = hasty
        self._each = BELOW_LONE
        self._means = MEANS

    def hour(self, at_us: int) -> list[Try]:
        crews = self._crews.crews
        last = crews[-1] if crews else None
        if last is not None and last.losses > SURVIVES:
            self._each = max(LEAST, self._each // 2)
            self._means = replace(MEANS, kind="aged")
            last.quota = last.got
        elif self._hasty and last is not None and not last.is_finished and last.refused and last.bought:
            self._each = max(LEAST, min(self._each, last.got // last.bought))
            last.quota = last.got
        if last is None or (last.is_finished and self._crews.missing):
            accounts = -(-self._crews.missing // self._each)
            self._given_up = self._crews.cannot_buy(self._means)
            means = replace(self._means, accounts=accounts, per_account_day=self._each)
            self._crews.send(means, self._crews.missing)
        return self._crews.hour(at_us)


begin = WhiteBox
