"""The white box with patience: one account, below every threshold, for as long as it takes.

Knows, does and cannot: as `white_box`, which is cheaper in days where this is cheapest in accounts.
"""

import numpy as np

from stillwatch.range.attackers import AttackSession, Brief, Evasion
from stillwatch.range.attackers.play import Crews
from stillwatch.range.attackers.repeated import Repeated
from stillwatch.range.market import Market

NAME = "white_box_lone"
MEANS = Evasion(accounts=1, per_account_day=50, hours="human", words="own", spread_settings=True)


def begin(brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
    """Begin a campaign."""
    return Repeated(Crews(brief, market, rng), MEANS)
