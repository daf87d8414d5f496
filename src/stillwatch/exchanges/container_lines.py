"""Reassemble log lines that a container runtime split at 16 KB.

containerd and CRI-O mark whether each line ends there (`TIME stdout P …`, then F). Docker writes each piece
into a JSON object, and only the last one ends with a line end.

Source: kubernetes/design-proposals-archive, node/kubelet-cri-logging.md; moby, daemon/logger/copier.go.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from stillwatch.exchanges.lines import Line, LongLine

LONGEST = 32 << 20  # bytes of a reassembled line
ENTRY = re.compile(rb"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d) (stdout|stderr) ([PF])(?: |$)")
DOCKER = b'{"log":"'
DOCKER_PIECE = 16 << 10  # least bytes of a piece that is not the last
_DOCKER_END = re.compile(rb'","stream":"(stdout|stderr)","time":"[^"]{1,40}"\}\r?$')


@dataclass(frozen=True)
class CutLine(Line):
    """A split line whose end is missing from the file."""


@dataclass(frozen=True)
class _RuntimeEntry:
    stream: bytes
    text: bytes  # as the program wrote it
    frame: tuple[bytes, bytes]  # what the runtime put before and after it
    ends: bool  # whether the line ends with it


def joined(lines: Iterable[Line | LongLine]) -> Iterator[Line | LongLine]:
    """Yield the lines; each split line appears whole, in the place of its first piece."""
    open_lines: dict[bytes, tuple[Line, _RuntimeEntry, list[bytes]]] = {}  # by stream
    for line in lines:
        first = line.head[:0] if isinstance(line, LongLine) else line.raw[: len(DOCKER)]
        if first != DOCKER and not first[:1].isdigit():
            yield line
            continue
        assert isinstance(line, Line)
        piece = _piece(line.raw)
        begun = open_lines.pop(piece.stream, None) if piece else None
        if piece is None or (begun is None and piece.ends):
            yield line
            continue
        start, head, texts = begun or (line, piece, [])
        texts.append(piece.text)
        if not piece.ends and sum(map(len, texts)) < LONGEST:
            open_lines[piece.stream] = start, head, texts
            continue
        yield replace(start, raw=b"".join((head.frame[0], *texts, piece.frame[1])))
    for start, head, texts in open_lines.values():
        yield CutLine(start.number, start.offset, b"".join((head.frame[0], *texts, head.frame[1])))


def _piece(raw: bytes) -> _RuntimeEntry | None:
    if (entry := ENTRY.match(raw)) is not None:
        return _RuntimeEntry(entry[1], raw[entry.end() :], (raw[: entry.end()], b""), entry[2] == b"F")
    end = _DOCKER_END.search(raw, max(len(raw) - 100, 0)) if raw.startswith(DOCKER) else None
    if end is None:
        return None
    text = raw[len(DOCKER) : end.start()]
    whole = text.endswith(b"\\n") or len(text) < DOCKER_PIECE  # some shippers remove line ends
    return _RuntimeEntry(end[1], text, (DOCKER, raw[end.start() :]), whole)
