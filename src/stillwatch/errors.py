"""Everything Stillwatch can refuse, as one small tree. It imports no other package."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

OF_THE_MACHINE = frozenset((  # what it refuses, whoever asks: no fault of the program
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
))  # fmt: skip


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
def refuse_os_errors(refusal: type[StillwatchError], what: str, advice: str = "") -> Iterator[None]:
    """Turn what the system refuses within into a refusal of ours: what cannot be done, why, what would do."""
    try:
        yield
    except OSError as why:
        raise refusal(f"{what}: {why.strerror}{advice and '; '}{advice}") from why


def machine_refusal(error: Exception) -> str | None:
    """Say what the machine refuses; None for what is a fault of the program.

    >>> machine_refusal(OSError(errno.ENOSPC, "No space left on device", "state.db"))
    'state.db: No space left on device'
    """
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if not isinstance(error, OSError) or error.errno not in OF_THE_MACHINE:
        return None
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
