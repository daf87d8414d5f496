"""Everything Stillwatch can refuse, as one small tree. It knows nothing of rooms above it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class StillwatchError(Exception):
    """A refusal that a person can act on: what was wrong, where, and what would be right."""


class InputError(StillwatchError):
    """The input as a whole cannot be used (no such file, no readable line, a needed column missing)."""


class Faults(InputError):
    """All that is wrong with one input, told at once: `lines` has one refusal each, with its place."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class RejectedLine(StillwatchError):
    """One line or row of a log cannot be used; the rest is read. `place` is `file:line`."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


@contextmanager
def refuse_os_errors(refusal: type[StillwatchError], what: str) -> Iterator[None]:
    """Turn what the system refuses within into a refusal of ours: what cannot be done, and why."""
    try:
        yield
    except OSError as why:
        raise refusal(f"{what}: {why.strerror}") from why
