"""The white box in a hurry: where an account is refused it buys more of them rather than wait.

Knows, does and cannot: as `white_box`, which is cheaper in accounts where this is cheaper in days.
"""

import numpy as np

from stillwatch.range.attackers import AttackSession, Brief
from stillwatch.range.attackers.play import Crews
from stillwatch.range.attackers.white_box import WhiteBox
from stillwatch.range.market import Market

NAME = "white_box_hasty"


def begin(brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
    """Begin a campaign."""
    return WhiteBox(Crews(brief, market, rng), hasty=True)
