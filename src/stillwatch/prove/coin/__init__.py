"""The coin's test: does a suspect lean towards the answers that were served, over those that were not?

It does not know how the pairs were drawn (`coin`, the gateway), nor how a suspect is reached
(`prove.suspect`).
"""

from dataclasses import dataclass

PLACES = 8  # in each answer, from which a suspect is asked to go on
OTHERS = "everybody else"  # accounts that belong to no actor


@dataclass(frozen=True)
class Leaning:
    """How far a suspect leans to the first of two answers over the second, measured without the coin.

    A positive value is for the first. `served` is the coin, put beside it afterwards.
    """

    pair: str
    actor: str
    value: float
    served: int

    @property
    def towards_served(self) -> float:
        return self.value if self.served == 0 else -self.value


@dataclass(frozen=True)
class Fallen:
    """What the coins of one actor say."""

    actor: str
    n: int  # coins with a lean: ties count for nobody
    ties: int
    hits: int  # leans towards the served answer
    p_value: float  # by coins drawn again
    as_far: int  # of the draws, so many fell at least as far
    draws: int
    p_sign: float  # of the hits alone, exact
    p_all: float  # of the same statistic, all 2^n coins counted
    share: float
    share_low: float
    share_high: float
    effect: float  # mean of the leans as they count, in their root mean square: what the planner asks for
    mean: float  # the same, in the statistic's unit
    e_value: float  # of the bets, in the order of the protocol
