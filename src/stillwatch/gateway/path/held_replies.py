"""A common limit on the long replies that a worker holds until they are whole.

Above it, all but the first wait at the upstream until there is room.
"""

from itertools import islice
from typing import Protocol

HELD_BYTES = 64 << 20


class Receiver(Protocol):
    """The holder of a reply."""

    def hold_back(self, held: bool) -> None:
        """Stop reading it, or continue."""


class HeldReplies:
    """The size of each held reply, oldest first. `longest`: no longer reply is held."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._sizes: dict[Receiver, int] = {}
        self._waiting: set[Receiver] = set()
        self.total = 0

    def grow(self, holder: Receiver, size: int) -> None:
        """Note the present length of a reply."""
        self.total += size - self._sizes.get(holder, 0)
        self._sizes[holder] = size
        if self.total > HELD_BYTES and holder is not next(iter(self._sizes)):
            self._waiting.add(holder)
            holder.hold_back(True)

    def waits(self, holder: Receiver) -> bool:
        return holder in self._waiting

    def drop(self, holder: Receiver) -> None:
        """Remove a reply that is no longer held. As many others continue as can become whole."""
        self.total -= self._sizes.pop(holder, 0)
        if self.waits(holder):
            self._waiting.remove(holder)
            holder.hold_back(False)
        room = max(1, (HELD_BYTES - self.total) // self._longest)
        for other in list(islice(self._sizes, room)) if self._waiting else ():
            if other in self._waiting:
                self._waiting.remove(other)
                other.hold_back(False)
