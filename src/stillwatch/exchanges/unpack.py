"""A file's bytes, unpacked while streaming, within limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from stillwatch.exchanges.documents import DOCUMENTS_CPU_S
from stillwatch.exchanges.formats import Refused

CHUNK = 1 << 18
SMALL = 1 << 12  # read size on the way to where an archive breaks

MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
OTHER_ARCHIVES = {b"PK\x03\x04": "zip", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf": "7z"}
OFFICE = (b"[Content_Types].xml", b"docProps/", b"_rels/", b"xl/")  # first names in a workbook's archive


@dataclass(frozen=True)
class Limits:
    """Limits for one file, and for the documents in all of them."""

    unpacked_bytes: int = 200_000_000_000  # per file
    free_bytes: int = 1 << 30  # an archive may unpack to this much at any ratio
    ratio: int = 1000  # unpacked by packed, beyond the free bytes; real logs reach 5 to 100
    document_cpu_s: float = DOCUMENTS_CPU_S  # CPU seconds for PDF and Office files in requests
    record_bytes: int = 32 << 20  # one line or JSON value; a request body at the large APIs is at most 32 MB


class UnpackedFile:
    """A file read in chunks; gzip (all members), zstd (all frames) and bzip2 are unpacked.

    Memory is bounded by the chunk and the format's window (zstd: 128 MB at most, its own default).
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._raw = path.open("rb")
        self._limits = limits
        self.done = 0  # bytes returned
        self._pushed = b""
        self._piece = CHUNK  # bytes requested at once
        self._broken: Refused | None = None
        head = self._raw.read(64)
        self._raw.seek(0)
        self.packing = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
        other = next((name for magic, name in OTHER_ARCHIVES.items() if head.startswith(magic)), None)
        if other:
            self._raw.close()
            if other == "zip" and head[30:].startswith(OFFICE):
                raise Refused("is an Excel workbook; right would be its sheet as CSV (UTF-8)")
            raise Refused(
                f"is a {other} archive; right would be plain, gzip, zstd or bzip2 (unpack it first)"
            )
        self._stream = self._open_file()

    def _open_file(self) -> pa.NativeFile:
        source = pa.PythonFile(self._raw, mode="r")
        return pa.CompressedInputStream(source, self.packing) if self.packing else source

    @property
    def position(self) -> int:
        """Return how far the file itself has been read."""
        return 0 if self._raw.closed else self._raw.tell()

    def peek(self) -> bytes:
        """Return the first bytes without consuming them. Call before anything else."""
        while len(self._pushed) < CHUNK:
            try:
                more = self._read(CHUNK - len(self._pushed))
            except Refused:
                if not self._pushed:
                    raise
                break  # the error comes again when these bytes are consumed
            if not more:
                break
            self._pushed += more
        return self._pushed

    def chunks(self) -> Iterator[bytes]:
        """Yield the file in order. Raises: Refused if it is cut off, damaged or unpacks to too much."""
        pushed, self._pushed = self._pushed, b""
        if pushed:
            yield pushed
        while chunk := self._read(CHUNK):
            yield chunk

    def _read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end. Raises: Refused if the data breaks, once all that
        precedes it has been returned."""
        if self._broken:
            raise self._broken
        try:
            chunk: bytes = self._stream.read(min(size, self._piece))
        except OSError as why:
            if self.packing is None:
                raise
            if self._piece > 1 and self._again():  # a failed read loses what it had unpacked
                return self._read(size)
            self._broken = Refused(self._describe_error(why))
            raise self._broken from None
        self.done += len(chunk)
        self._check_size()
        return chunk

    def _again(self) -> bool:
        """Reopen the archive at the same position, to request less at once from there."""
        self._piece = 1 if self._piece == SMALL else SMALL
        self._stream.close()
        self._raw.close()
        self._raw = self._path.open("rb")
        self._stream = self._open_file()
        bytes_left = self.done
        try:
            while bytes_left and (skipped := self._stream.read(min(bytes_left, CHUNK))):
                bytes_left -= len(skipped)
        except OSError:
            return False  # the file has changed
        return bytes_left == 0

    def _describe_error(self, why: OSError) -> str:
        if "runcated" in str(why):
            return f"{self.packing} data ends too early, after {self.done:,} bytes unpacked"
        return f"damaged {self.packing} data after {self.done:,} bytes unpacked"

    def _check_size(self) -> None:
        if self.packing is None or self.done <= self._limits.free_bytes:
            return
        used = max(self.position, 1)
        if self.done > self._limits.unpacked_bytes:
            raise Refused(f"unpacks to more than {self._limits.unpacked_bytes:,} bytes: refused as a bomb")
        if self.done / used > self._limits.ratio:
            times = f"{self.done // used:,} times its size (limit {self._limits.ratio:,})"
            raise Refused(f"unpacks to {times}: refused as a bomb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()
