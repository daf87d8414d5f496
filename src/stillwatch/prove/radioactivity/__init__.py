"""Watermark radioactivity, grade A': do a suspect's texts carry the key of one actor's answers?"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.prove import ProveError
from stillwatch.watermark import WINDOW

ALPHA = 1e-5
EFFECT = 0.05  # docs/watermark.md has the effects of students by training mix
FEWEST = 200  # scored tokens: below, no effect of a distilled student could be found


class RadioactivityError(ProveError):
    """Texts, keys or settings with which no watermark can be tested."""


class TokenSelection(StrEnum):
    """Which tokens of the suspect are scored; chosen without using any key."""

    EACH = "each"  # every distinct pair of context and token
    MATCHED = "matched"  # every pair, weighted by how far it exceeds a reference text


@dataclass(frozen=True)
class RadioactivitySettings:
    """The settings of the statistic. Raises: RadioactivityError."""

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
    """One answer, and the question if known; either as text or as the teacher's tokens."""

    place: str
    prompt: str
    output: str
    tokens: tuple[int, ...] | None = None
