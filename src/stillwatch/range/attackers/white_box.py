"""An attacker that has read docs/evidence.md: the cheapest way through that is known to us.

Knows: the constants of the code. Wording gets hot at four parties, a lone payer is looked at from 300
exchanges in five days on, an alarm needs four hourly looks and five parties. Does: stays below all of them.
Few aged accounts, each with words of its own and another honest account's limit and temperature, each at most
250 requests in five days, as fast as they go; then the next accounts. If accounts are stopped or refused all
the same, it halves what each sends. Cannot: hide that it never asks twice and never follows up.
Source: docs/evidence.md, sections 1, 4, 5 and 9.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stillwatch.range.attackers import Brief, Means, Play, Seen, Try
from stillwatch.range.attackers.market import Market
from stillwatch.range.attackers.play import Crews

NAME = "white_box"
BELOW_LONE = 250  # of the 300 at which a lone payer is looked at
LEAST = 8  # an account that may not even send so much is not worth its price
MEANS = Means(
    accounts=4, kind="aged", hours="burst", per_account_day=BELOW_LONE, words="own", spread_settings=True,
    replace=False,
)  # fmt: skip


class _WhiteBox:
    def __init__(self, crews: Crews) -> None:
        self._crews = crews
        self._each = BELOW_LONE
        self._poor = False

    def hour(self, at_us: int) -> list[Try]:
        last = self._crews.crews[-1] if self._crews.crews else None
        if last is None or last.finished:
            if last is not None and last.losses > 0.25:
                self._each = max(LEAST, self._each // 2)
            missing = self._crews.missing
            accounts = -(-missing // self._each)
            if accounts:
                means = replace(MEANS, accounts=accounts, per_account_day=self._each)
                self._crews.send(means, missing)
            self._poor = self._crews.market.purse.left_usd < self._crews.market.prices.aged_account_usd
        return self._crews.hour(at_us)

    def saw(self, seen: Sequence[Seen]) -> None:
        self._crews.saw(seen)

    @property
    def given_up(self) -> bool:
        return self._crews.missing == 0 or (self._poor and all(c.finished for c in self._crews.crews))


def begin(brief: Brief, market: Market, rng: np.random.Generator) -> Play:
    """Begin a campaign."""
    return _WhiteBox(Crews(brief, market, rng))
