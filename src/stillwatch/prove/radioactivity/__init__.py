"""Watermark radioactivity, grade A': does what a suspect writes carry the key of one actor's answers?

It knows texts, keys and actors; not how a suspect is asked.
"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.prove import ProveError
from stillwatch.watermark import WINDOW

ALPHA = 1e-5
EFFECT = 0.05  # docs/watermark.md says what students of which mix showed
FEWEST = 200  # scored tokens: below, no effect of a distilled student could be found


class RadioactivityError(ProveError):
    """Texts, keys or settings that no mark can be looked for with."""


class TokenSelection(StrEnum):
    """Which tokens of the suspect are scored; settled without any key."""

    EACH = "each"  # every distinct pair of context and token
    MATCHED = "matched"  # every pair, weighed by how far it is above a reference text


@dataclass(frozen=True)
class RadioactivitySettings:
    """What the statistic depends on. Raises: RadioactivityError."""

    window: int = WINDOW
    choice: TokenSelection = TokenSelection.EACH
    alpha: float = ALPHA
    effect: float = EFFECT
    keys: int = 1  # of each actor

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 8:
            raise RadioactivityError(f"the window is {self.window}; it is 1 to 8 tokens")
        if not 0 < self.alpha < 1:
            raise RadioactivityError(f"alpha is {self.alpha}; it lies between 0 and 1")
        if not self.effect > 0:
            raise RadioactivityError(f"the effect to be found is {self.effect}; it is above 0")


@dataclass(frozen=True)
class Text:
    """One answer, and the question where it is known; either as text or as the teacher's tokens."""

    place: str
    prompt: str
    output: str
    tokens: tuple[int, ...] | None = None
