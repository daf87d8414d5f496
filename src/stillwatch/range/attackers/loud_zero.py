"""One account at full speed that asks bare questions at temperature 0, as an evaluation harness does.

Knows: as `loud_bare`; that a fixed temperature of 0 is an honest default. Does: `loud_bare` with it. Cannot:
as `loud_bare`.
Source: an independent attack on this project, 2026.
"""

import numpy as np

from stillwatch.range.attackers import AttackSession, Brief
from stillwatch.range.attackers.loud_bare import Settings
from stillwatch.range.attackers.loud_bare import begin as begin_bare
from stillwatch.range.market import Market

NAME = "loud_zero"


def begin(brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
    """Begin a campaign."""
    return begin_bare(brief, market, rng, Settings(temperature=0.0))
