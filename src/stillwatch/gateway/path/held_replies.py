"""Long replies that a worker holds until they are whole: together they have a bound.

Where it is passed, all but the first wait at the upstream until there is room. It knows no bytes, only sizes.
"""

from itertools import islice
from typing import Protocol

HELD_BYTES = 64 << 20


class Receiver(Protocol):
    """Who holds a reply."""

    def hold_back(self, held: bool) -> None:
        """Read no more of it, or read on."""


class HeldReplies:
    """How much is held by whom, the first first. `longest`: no reply is held that is longer."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._sizes: dict[Receiver, int] = {}
        self._waiting: set[Receiver] = set()
        self.total = 0

    def grow(self, holder: Receiver, size: int) -> None:
        """Note how long a reply is by now."""
        self.total += size - self._sizes.get(holder, 0)
        self._sizes[holder] = size
        if self.total > HELD_BYTES and holder is not next(iter(self._sizes)):
            self._waiting.add(holder)
            holder.hold_back(True)

    def waits(self, holder: Receiver) -> bool:
        return holder in self._waiting

    def drop(self, holder: Receiver) -> None:
        """Forget a reply that is held no more. As many others go on as may become whole."""
        self.total -= self._sizes.pop(holder, 0)
        if self.waits(holder):
            self._waiting.remove(holder)
            holder.hold_back(False)
        room = max(1, (HELD_BYTES - self.total) // self._longest)
        for other in list(islice(self._sizes, room)) if self._waiting else ():
            if other in self._waiting:
                self._waiting.remove(other)
                other.hold_back(False)
