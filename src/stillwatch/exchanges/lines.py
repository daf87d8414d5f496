"""Split bytes into lines, with number and offset, in bounded memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stillwatch.exchanges.rejects import RAW_LIMIT


@dataclass(frozen=True)
class Line:
    number: int  # from 1
    offset: int  # of its first byte, in the unpacked file
    raw: bytes  # without its newline (a carriage return before it is still there)


@dataclass(frozen=True)
class LongLine:
    """A line longer than the limit: only its length and head."""

    number: int
    offset: int
    length: int
    head: bytes


def split(chunks: Iterable[bytes], limit: int) -> Iterator[Line | LongLine]:
    """Yield every line, including a last one without a line end. Holds at most `limit` bytes and a chunk.

    If `chunks` raises, all complete lines have been yielded; the open one is dropped, and the caller reports
    the error.
    """
    number, offset = 1, 0
    pieces: list[bytes] = []
    length = 0  # of the open line so far
    dropped = False  # the open line is beyond the limit

    def hold(piece: bytes) -> None:
        nonlocal length, dropped
        length += len(piece)
        if not dropped:
            pieces.append(piece)
            # NUL bytes occur in no text format: a gap or a bomb of zeros is not stored
            if length > limit or (length > RAW_LIMIT and b"\x00" in piece):
                dropped = True
                head = b"".join(pieces)[:RAW_LIMIT] if len(pieces) < 64 else b"".join(pieces[:64])[:RAW_LIMIT]
                pieces[:] = [head]

    def take() -> Line | LongLine:
        nonlocal number, offset, length, dropped
        whole = b"".join(pieces)
        line: Line | LongLine
        if dropped:
            line = LongLine(number, offset, length, whole)
        else:
            line = Line(number, offset, whole)
        number, offset = number + 1, offset + length + 1
        pieces.clear()
        length, dropped = 0, False
        return line

    for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            hold(chunk[start:end])
            yield take()
            start = end + 1
        if start < len(chunk):
            hold(chunk[start:])
    if length:
        yield take()
