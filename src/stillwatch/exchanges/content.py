"""What kind of file this is, judged by its first bytes alone, never its name; and the values in a text."""

import codecs
from collections.abc import Callable, Iterator
from typing import Literal

from stillwatch.exchanges import container_lines, csv_text, json_text, lines, server_logs
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.unpack import MAGIC, Limits, UnpackedFile

Kind = Literal["parquet", "json", "csv", "protobuf"]

BOM = b"\xef\xbb\xbf"
OTHER_FILES = {  # first bytes -> what it is, and what to do about it
    b"SQLite format 3\x00": "is an SQLite database; right would be its table: sqlite3 -header -csv FILE "
    "'select * from TABLE' > log.csv",
    b"ARROW1": "is an Arrow (Feather) file; right would be Parquet",
    b"ORC": "is an ORC file; right would be Parquet",
    b"Obj\x01": "is an Avro file; right would be Parquet or JSON lines",
    b"\xd0\xcf\x11\xe0": "is a workbook of Excel before 2007; right would be its sheet as CSV (UTF-8)",
}


def kind_of(head: bytes) -> Kind:
    """Return the kind by content. Raises: Refused for a file that is certainly of no known kind."""
    if not head:
        raise Refused("is empty: no line to read")
    if head.startswith(b"PAR1"):
        return "parquet"
    for magic, problem in OTHER_FILES.items():
        if head.startswith(magic) and (b"\x00" in head[:512] or magic == b"ORC"):
            raise Refused(problem)
    if coding := utf_16(head):
        head = head.decode(coding, "ignore").encode()
    packed = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if packed:
        raise Refused(f"is packed twice ({packed} inside); right would be packed once")
    text = head.removeprefix(BOM).lstrip()
    begins_json = text.startswith((b"{", b"["))
    # a client may put this word into a log's first text; a real archive begins with a name and zeros
    if head[257:262] == b"ustar" and b"\x00" in head[:257] and not begins_json:
        raise Refused("is a tar archive; right would be its files (unpack it and give the folder)")
    if is_protobuf(head):
        return "protobuf"
    if not text:
        raise Refused("holds only white space: no line to read")
    first_line = text.split(b"\n", 1)[0]
    server = server_logs.of_text(first_line)
    prefixed = begins_json or json_text.after_prefix(first_line)
    if (prefixed and server is None) or container_lines.ENTRY.match(first_line):
        return "json"
    if any(line.lstrip().startswith(b"{") and b'"' in line for line in head.split(b"\n")[:32]):
        return "json"  # a damaged first line, then JSON
    if server is not None:
        raise Refused(server)
    if not any(mark in first_line for mark in csv_text.DELIMITERS) and any(
        json_text.after_prefix(line) for line in head.split(b"\n")[1:32]
    ):
        return "json"  # startup messages of a program, then lines of a shipper
    sample = head[:4096]
    if b"\x00" in sample or sum(byte < 9 for byte in sample) * 20 > len(sample):
        raise Refused("is binary and no Parquet, gzip, zstd, bzip2 or OTLP protobuf")
    return "csv"


def values_of(
    data: UnpackedFile, head: bytes, kind: Kind, limits: Limits, check: Callable[[dict[str, object]], None]
) -> Iterator[json_text.Good | json_text.UndecodableValue]:
    """Yield the values of a JSON or CSV file. check: raises Refused for a table that cannot be used."""
    head, chunks = in_utf_8(data, head)
    if kind == "csv":
        return csv_text.records(lines.split(chunks, limits.record_bytes), limits.record_bytes, check)
    if json_text.looks_like_lines(head):
        return json_text.per_line(lines.split(chunks, limits.record_bytes))
    return json_text.spanning(chunks, limits.record_bytes)


def utf_16(head: bytes) -> str | None:
    """Return the encoding of a file in UTF-16, as Windows writes console output, or None.

    Without a byte order mark it is recognised by its zeros: every second byte of text that begins in ASCII.

    >>> utf_16("{}".encode("utf-16")), utf_16("time,account".encode("utf-16-be")), utf_16(b"time,account")
    ('utf-16', 'utf-16-be', None)
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    first, second = head[:16:2], head[1:16:2]
    if len(second) == 8 and (any(first) != any(second)) and 0 not in (first if any(first) else second):
        return "utf-16-le" if any(first) else "utf-16-be"
    return None


def in_utf_8(data: UnpackedFile, head: bytes) -> tuple[bytes, Iterator[bytes]]:
    """Return the head of a file and its chunks, in UTF-8 and without a byte order mark."""
    coding = utf_16(head)
    if coding is None:
        return head.removeprefix(BOM), _without_bom(data.chunks())
    return head.decode(coding, "ignore").encode(), _without_bom(_transcoded(data.chunks(), coding))


def _transcoded(chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(coding)("replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _without_bom(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield next(chunks, b"").removeprefix(BOM)
    yield from chunks


def is_protobuf(head: bytes) -> bool:
    """Return whether this is an OTLP export: field 1, length-delimited, that opens with a resource or a
    scope.

    A 4-byte big-endian length may precede each, as the OpenTelemetry Collector's file exporter writes it.
    """
    if not any(byte < 9 or 13 < byte < 32 for byte in head[:4096]) and not is_text_free(head):
        return False
    return _message(head) or (len(head) > 4 and int.from_bytes(head[:4], "big") > 0 and _message(head[4:]))


def is_text_free(head: bytes) -> bool:
    return head[:1] == b"\x0a" and not head.isascii()


def _message(head: bytes) -> bool:
    if head[:1] != b"\x0a":
        return False
    at = 1
    while at < min(len(head), 10) and head[at] & 0x80:
        at += 1
    return head[at + 1 : at + 2] in (b"\x0a", b"\x12")
