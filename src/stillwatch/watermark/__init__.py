"""Watermarks sampled text with a key, and detects that: one formula for generator and detector.

It gives scores; `prove/radioactivity` judges them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from stillwatch.errors import StillwatchError

WINDOW = 2  # tokens before the marked one; docs/watermark.md has the cost of one and three
STRONGEST = 1.0
MOST_KEYS = 16  # of one actor


class MarkError(StillwatchError):
    """A key, a setting or a text with which nothing can be marked or detected."""


@dataclass(frozen=True)
class Mark:
    """The settings that mark one actor's answers.

    strength: share of positions where the key chooses; elsewhere the sampler's own randomness does. more:
    further keys of the same actor. One answer is marked with one of them, so that answers differ.
    Raises: MarkError.
    """

    actor: str
    key: bytes
    window: int = WINDOW
    strength: float = STRONGEST
    more: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        for key in self.keys:
            if len(key) != 32:
                raise MarkError(f"the key of a mark has 32 bytes; this one has {len(key)}")
        if len(set(self.keys)) != len(self.keys) or len(self.keys) > MOST_KEYS:
            raise MarkError(f"{len(self.keys)} keys of an actor: they differ, and are {MOST_KEYS} at most")
        if not 1 <= self.window <= 8:
            raise MarkError(f"the window is {self.window}; it is 1 to 8 tokens")
        if not 0 < self.strength <= 1:
            raise MarkError(f"the strength is {self.strength}; it lies above 0 and up to 1")

    @property
    def keys(self) -> tuple[bytes, ...]:
        return (self.key, *self.more)

    def of_answer(self, chance: Callable[[], float]) -> "Mark":
        """Return the mark of one answer: one key, drawn by chance, uniform in [0, 1)."""
        key = self.keys[int(chance() * len(self.keys))] if self.more else self.key
        return replace(self, key=key, more=())
