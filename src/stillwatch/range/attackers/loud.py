"""The undefended attacker: one account at full speed, one template. The measure that others are held against.

Knows: nothing. Does: sends everything at once; buys another account when it is stopped. Cannot: hide.
Source: a pipeline as published, run by one person (self-instruct and its successors).
"""

import numpy as np

from stillwatch.range.attackers import AttackSession, Brief, Evasion
from stillwatch.range.attackers.play import Crews
from stillwatch.range.attackers.repeated import Repeated
from stillwatch.range.market import Market

NAME = "loud"
MEANS = Evasion(accounts=1, per_account_day=600 * 24, words="template", hours="flat")


def begin(brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
    """Begin a campaign."""
    return Repeated(Crews(brief, market, rng), MEANS)
