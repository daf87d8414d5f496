"""What kind of file this is, from its first bytes alone, and the values in a text; its name says nothing."""

from collections.abc import Callable, Iterator
from typing import Literal

from stillwatch.exchanges import csv_text, json_text, lines
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.unpack import MAGIC, Limits, UnpackedFile

Kind = Literal["parquet", "json", "csv", "protobuf"]

BOM = b"\xef\xbb\xbf"


def kind_of(head: bytes) -> Kind:
    """Tell the kind by content. Raises: Refused for what is certainly none of them."""
    if not head:
        raise Refused("is empty: no line to read")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Refused("is UTF-16; right would be UTF-8")
    packed = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if packed:
        raise Refused(f"is packed twice ({packed} inside); right would be packed once")
    text = head.removeprefix(BOM).lstrip()
    begins_json = text.startswith((b"{", b"["))
    # a client may place this word in a log's first text: an archive begins with a name and zeros
    if head[257:262] == b"ustar" and b"\x00" in head[:257] and not begins_json:
        raise Refused("is a tar archive; right would be its files (unpack it and give the folder)")
    if is_protobuf(head):
        return "protobuf"
    if not text:
        raise Refused("holds only white space: no line to read")
    if begins_json or json_text.after_prefix(text.split(b"\n", 1)[0]):
        return "json"
    if any(line.lstrip().startswith(b"{") and b'"' in line for line in head.split(b"\n")[:32]):
        return "json"  # a damaged first line, then JSON
    sample = head[:4096]
    if b"\x00" in sample or sum(byte < 9 for byte in sample) * 20 > len(sample):
        raise Refused("is binary and no Parquet, gzip, zstd or OTLP protobuf")
    return "csv"


def values_of(
    data: UnpackedFile, head: bytes, kind: Kind, limits: Limits, check: Callable[[list[str]], None]
) -> Iterator[json_text.Good | json_text.UndecodableValue]:
    """The values of a file of JSON or CSV. check: raises Refused for a CSV header that cannot be used."""
    chunks = _without_bom(data.chunks())
    if kind == "csv":
        return csv_text.records(lines.split(chunks, limits.record_bytes), limits.record_bytes, check)
    if json_text.looks_like_lines(head.removeprefix(BOM)):
        return json_text.per_line(lines.split(chunks, limits.record_bytes))
    return json_text.spanning(chunks, limits.record_bytes)


def _without_bom(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield next(chunks, b"").removeprefix(BOM)
    yield from chunks


def is_protobuf(head: bytes) -> bool:
    """An OTLP export: field 1, length-delimited, whose content opens with a resource or a scope.

    With or without the 4-byte big-endian length that the OpenTelemetry Collector's file exporter puts before
    each.
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
