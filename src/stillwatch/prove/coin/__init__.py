"""The coin test: does a suspect lean towards the answers that were served, over those that were not?

`coin` and the gateway draw the pairs; `prove.suspect` reaches the suspect.
"""

from dataclasses import dataclass

PLACES = 8  # in each answer, at which a suspect is asked to continue
OTHERS = "everybody else"  # accounts that belong to no actor


@dataclass(frozen=True)
class Leaning:
    """How far a suspect leans to the first of two answers over the second, measured without knowing the coin.

    Positive means towards the first. `served` is the coin; it is added afterwards.
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
    """The result for one actor."""

    actor: str
    n: int  # coins with a lean; ties do not count
    ties: int
    hits: int  # leans towards the served answer
    p_value: float  # from coins drawn again
    as_far: int  # draws that lean at least as far
    draws: int
    p_sign: float  # of the hits alone, exact
    p_all: float  # of the same statistic, all 2^n coins counted
    share: float
    share_low: float
    share_high: float
    effect: float  # mean of the leans as counted, divided by their root mean square: the planner's unit
    mean: float  # the same, in the statistic's unit
    e_value: float  # from the bets, in the order of the protocol
