"""Marks put into sampled text with a key, and found again: one formula for generator and detector.

It gives scores and knows no verdict: what a score is worth is said in `prove/radioactivity`.
"""

from dataclasses import dataclass

from stillwatch.errors import StillwatchError

WINDOW = 2  # tokens before the one that is marked; docs/watermark.md has what one and three cost
STRONGEST = 1.0


class MarkError(StillwatchError):
    """A key, a setting or a text that nothing can be marked or looked for with."""


@dataclass(frozen=True)
class Mark:
    """What marks one actor's answers.

    strength: share of positions at which the key chooses; at the others the sampler's own chance does.
    Raises: MarkError.
    """

    actor: str
    key: bytes
    window: int = WINDOW
    strength: float = STRONGEST

    def __post_init__(self) -> None:
        if len(self.key) != 32:
            raise MarkError(f"the key of a mark has 32 bytes; this one has {len(self.key)}")
        if not 1 <= self.window <= 8:
            raise MarkError(f"the window is {self.window}; it is 1 to 8 tokens")
        if not 0 < self.strength <= 1:
            raise MarkError(f"the strength is {self.strength}; it lies above 0 and up to 1")
