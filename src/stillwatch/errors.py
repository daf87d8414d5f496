"""Everything Stillwatch can refuse, as one small tree. It knows nothing of rooms above it."""


class StillwatchError(Exception):
    """A refusal that a person can act on: what was wrong, where, and what would be right."""


class InputError(StillwatchError):
    """The input as a whole cannot be used (no such file, no readable line, a needed column missing)."""


class RejectedLine(StillwatchError):
    """One line or row of a log cannot be used; the rest is read. `place` is `file:line`."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason
