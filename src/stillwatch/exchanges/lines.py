"""Bytes into lines, with number and offset, none of them held beyond a bound. It does not know JSON or
CSV."""

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
    """A line beyond the bound: its length and its head only."""

    number: int
    offset: int
    length: int
    head: bytes


def split(chunks: Iterable[bytes], limit: int) -> Iterator[Line | LongLine]:
    """Yield every line, the last one also without its line end. Holds at most `limit` bytes and a chunk.

    When `chunks` raises, the lines before it have been yielded and the open one is dropped with the error:
    the caller gives it one place.
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
            # raw NULs are in no text format: a gap or a bomb of zeros is not worth holding
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
