"""Every error that Stillwatch raises on purpose, as one small tree."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

OF_THE_MACHINE = frozenset((  # refusals by the operating system: not a fault of the program
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
))  # fmt: skip


class StillwatchError(Exception):
    """A refusal that a person can act on: what was wrong, where, and what would be right."""


class InputError(StillwatchError):
    """The input as a whole is unusable (no such file, no readable line, a required column missing)."""


class Faults(InputError):
    """All mistakes in one input, reported together: `lines` has one refusal each, with its place."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class RejectedLine(StillwatchError):
    """One line or row of a log is unusable; the rest is read. `place` is `file:line`."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


@contextmanager
def refuse_os_errors(refusal: type[StillwatchError], what: str, advice: str = "") -> Iterator[None]:
    """Turn an operating system error into `refusal`: what cannot be done, why, and `advice`."""
    try:
        yield
    except OSError as why:
        raise refusal(f"{what}: {why.strerror}{advice and '; '}{advice}") from why


def machine_refusal(error: Exception) -> str | None:
    """Return an error of the operating system as a sentence, or None if the error is a fault of the program.

    >>> machine_refusal(OSError(errno.ENOSPC, "No space left on device", "state.db"))
    'state.db: No space left on device'
    """
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if not isinstance(error, OSError) or error.errno not in OF_THE_MACHINE:
        return None
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
