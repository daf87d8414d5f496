"""The white box that knows a day's end, over two midnights: three days' allowances in twenty-six hours.

Knows, does and cannot: as `white_box_midnight`, with a third fewer accounts for a day more.
"""

import numpy as np

from stillwatch.range.attackers import AttackSession, Brief
from stillwatch.range.attackers.play import Crews
from stillwatch.range.attackers.white_box_midnight import Midnight
from stillwatch.range.market import Market

NAME = "white_box_midnights"


def begin(brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
    """Begin a campaign."""
    return Midnight(Crews(brief, market, rng), nights=2)
