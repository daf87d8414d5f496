"""A table of networks: the autonomous system of an address, from files of public data that the owner names.

Four line formats are read, plain or packed by gzip or zstd: first and last address and the number (iptoasn),
a prefix and the number (GeoLite2), a prefix, its length and the number (CAIDA), the number and a prefix
(RIPE). Private and reserved addresses have no system, whatever a file says.
"""

import hashlib
import socket
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.lines import Line, split
from stillwatch.exchanges.unpack import Limits, UnpackedFile

RIGHT = (
    "a table of networks: iptoasn's ip2asn-*.tsv(.gz) (first, last, number), GeoLite2-ASN-Blocks-*.csv "
    "(network,number), CAIDA's pfx2as (prefix, length, number), RIPE's riswhoisdump (number, prefix)"
)
LINE_BYTES = 4_096
EXAMPLES = 3
MOST_RANGES = 1 << 22  # of a table: the internet has 1.3 million, and each takes 36 bytes here
BOM = "\u00ef\u00bb\u00bf"  # of UTF-8, as Latin-1
MAPPED = bytes(10) + b"\xff\xff"  # before the four bytes of an IPv4 address, so that both kinds sort together
LARGEST = (1 << 28, 1 << 124)  # addresses of IPv4 and IPv6 in a line: a larger range is a default route
MOST_SYSTEM = (1 << 32) - 1
UNKNOWN = 0  # reserved: no system has this number
SEVERAL = frozenset("0123456789_,{} ")  # separators in CAIDA and RIPE when several systems announce a prefix
RESERVED = (  # https://www.iana.org/assignments/iana-ipv4-special-registry and the one for IPv6
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)  # fmt: skip
GLOBAL = (bytes([0x20]) + bytes(15), bytes([0x3F]) + b"\xff" * 15)  # 2000::/3: no other IPv6 is routed


@dataclass(frozen=True)
class NetworkFile:
    """One file of a table, as it was when read."""

    name: str  # without its folder
    sha256: str
    bytes: int
    changed: datetime
    ranges: int  # lines that assign a range
    unusable: int  # lines that cannot be used; the others are used
    examples: tuple[str, ...]  # of unusable lines, with file and line


@dataclass
class AddressRanges:
    """Ranges as growing columns: first and last address of 16 bytes each, and the system."""

    first: bytearray = field(default_factory=bytearray)
    last: bytearray = field(default_factory=bytearray)
    systems: "array[int]" = field(default_factory=lambda: array("I"))

    def add(self, first: bytes, last: bytes, system: int) -> None:
        self.first += first
        self.last += last
        self.systems.append(system)

    def __len__(self) -> int:
        return len(self.systems)


class NetworkTable:
    """Sorted, disjoint ranges of addresses, and the system of each. 36 bytes per range."""

    def __init__(self, files: tuple[NetworkFile, ...], ranges: AddressRanges) -> None:
        self.files = files
        self._first, self._last = _keys(ranges.first), _keys(ranges.last)  # NumPy orders them as bytes
        self._systems = np.frombuffer(ranges.systems, np.uint32)

    def __len__(self) -> int:
        return len(self._systems)

    def systems(self, addresses: Sequence[str | None]) -> np.ndarray:
        """Return (n,) int64: the number of each address's autonomous system, or -1 if unknown.

        Unknown are invalid, private and reserved addresses, and those that the table does not contain or that
        several systems announce.
        """
        packed = [pack_address(text) if text else None for text in addresses]
        keys = _keys(b"".join(key or bytes(16) for key in packed))
        at = np.searchsorted(self._first, keys, side="right") - 1
        inside = (at >= 0) & (keys <= self._last[np.maximum(at, 0)]) & ~_are_reserved(keys)
        numbers = np.where(inside, self._systems[np.maximum(at, 0)], UNKNOWN).astype(np.int64)
        numbers[numbers == UNKNOWN] = -1
        return numbers

    def fill(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Look up `asn` in rows that have an address but no number, or 0. batch: of the exchange record."""
        place = batch.schema.get_field_index("asn")
        numbers = batch.column(place)
        lacking = pc.and_(
            pc.equal(pc.fill_null(numbers, UNKNOWN), UNKNOWN), batch.column("client_ip").is_valid()
        )
        if not lacking.true_count:
            return batch
        coded = batch.column("client_ip").dictionary_encode()
        systems = self.systems(coded.dictionary.to_pylist())
        filled = pa.array(systems, numbers.type, mask=systems < 0).take(coded.indices)
        return batch.set_column(place, batch.schema.field(place), pc.if_else(lacking, filled, numbers))


class WatchedNetworks:
    """A table that follows its files: new content is taken once two successive polls have found it unchanged.

    If the files cannot be used, the last table stays, and `error` says why; None if all is well.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = tuple(map(Path, paths))
        self.table: NetworkTable | None = None
        self._refused: str | None = None
        self._sign = self._last_sign = _file_state(self.paths)
        self._reading: threading.Thread | None = None
        if self._sign:
            self._begin()

    @property
    def error(self) -> str | None:
        if self._last_sign is None:
            return f"{', '.join(map(str, self.paths))}: no such file"
        return self._refused

    def poll(self) -> None:
        """Check the files; changed ones are read in a thread. Never raises."""
        if self._reading is not None and self._reading.is_alive():
            return
        sign, before = _file_state(self.paths), self._last_sign
        self._last_sign = sign
        if sign is not None and sign == before and sign != self._sign:
            self._sign = sign
            self._begin()

    def first(self, still_here: Callable[[], None]) -> NetworkTable | None:
        """Return the table, waiting for the first one if it is being read; None if there is none.

        still_here: called every second while waiting, since a long table takes minutes.
        """
        while self.table is None and (reading := self._reading) is not None and reading.is_alive():
            reading.join(1.0)
            still_here()
        return self.table

    def says(self) -> dict[str, object]:
        """Return the table in use and any problem, as plain values; empty if no file is named."""
        if not self.paths:
            return {}
        files = () if self.table is None else self.table.files
        return {
            "files": [asdict(file) | {"changed": file.changed.isoformat()} for file in files],
            "error": self.error,
        }

    def _begin(self) -> None:
        self._reading = threading.Thread(target=self._take, name="networks", daemon=True)
        self._reading.start()

    def _take(self) -> None:
        try:
            self.table, self._refused = read_networks(self.paths), None
        except InputError as why:
            self._refused = str(why)
        except MemoryError:
            self._refused = f"{', '.join(map(str, self.paths))}: there is no memory for the table"


def read_networks(paths: Sequence[str | PathLike[str]], *, most_lines: int | None = None) -> NetworkTable:
    """Read files as one table. Of overlapping ranges the narrower one counts, and of two equal ones neither.

    most_lines: of each file; by default all. Raises: InputError for a file that cannot be read, or without
    any usable line.
    """
    ranges = AddressRanges()
    files = tuple(_read_file(Path(path), ranges, most_lines) for path in paths)
    return NetworkTable(files, _in_order(ranges))


def unusable_lines(table: NetworkTable) -> tuple[str, ...]:
    """Return sentences on lines that could not be used."""
    return tuple(
        f"{file.unusable:,} of {file.ranges + file.unusable:,} lines of the table of networks {file.name} "
        f"could not be used: {'; '.join(file.examples)}."
        for file in table.files
        if file.unusable
    )


def pack_address(text: str) -> bytes | None:
    """Return an address as 16 bytes, IPv4 in its IPv6 form; None if it is not one.

    >>> pack_address("192.0.2.1") == pack_address("::ffff:192.0.2.1"), pack_address("192.0.2")
    (True, None)
    """
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text)
        return MAPPED + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: a NUL, or what is not ASCII
        return None


def _read_file(path: Path, ranges: AddressRanges, most_lines: int | None) -> NetworkFile:
    unusable, ranges_before = 0, len(ranges)
    examples: list[str] = []
    try:
        sign = _file_state([path])
        if sign is not None and not path.is_file():  # a pipe can be read only once
            raise InputError(f"{path}: is no file; give {RIGHT}")
        with UnpackedFile(path, Limits(unpacked_bytes=1 << 32)) as data:
            for line in split(data.chunks(), LINE_BYTES):
                if most_lines is not None and line.number > most_lines:
                    break
                text = line.raw.decode("latin-1") if isinstance(line, Line) else ""
                text = (text.removeprefix(BOM) if line.number == 1 else text).strip()
                if isinstance(line, Line) and (not text or text[0] in "#%"):
                    continue
                parsed = _read_line(text)
                if isinstance(parsed, str):
                    if line.number > 1 or any(map(str.isdigit, text)):  # else the columns' names
                        unusable += 1
                        if len(examples) < EXAMPLES:
                            examples.append(f"{path.name}:{line.number} {parsed}")
                    continue
                ranges.add(*parsed)
                if len(ranges) > MOST_RANGES:
                    raise Refused(f"holds more than {MOST_RANGES:,} ranges: no table of the internet does")
        digest, stat = _sha256(path), path.stat()
        changed = datetime.fromtimestamp(stat.st_mtime, UTC)
        if _file_state([path]) != sign:
            raise InputError(f"{path}: was changed while it was read; try again")
    except Refused as why:
        raise InputError(f"{path}: {why}") from None
    except OSError as why:
        raise InputError(f"{path}: cannot be read: {why.strerror or why}; give {RIGHT}") from None
    except ValueError as why:  # a NUL in the name, or a year beyond 9999
        raise InputError(f"{path!a}: cannot be used: {why}") from None
    if len(ranges) == ranges_before:
        wrong = f"no line can be used, as {examples[0]}" if examples else "holds no line of a range"
        raise InputError(f"{path}: {wrong}; right would be {RIGHT}")
    usable = len(ranges) - ranges_before
    return NetworkFile(path.name, digest, stat.st_size, changed, usable, unusable, tuple(examples))


def _read_line(text: str) -> tuple[bytes, bytes, int] | str:
    """Return a line's first and last address and system number, or what is wrong with it."""
    words = [word.strip('" ') for word in text.split("\t" if "\t" in text else ",", 3)[:3]]
    if len(words) < 2:
        return "has no columns"
    if "/" in words[0]:
        span, number = _span(*words[0].split("/", 1)), words[1]
    elif "/" in words[1]:
        span, number = _span(*words[1].split("/", 1)), words[0]
    elif len(words) < 3:
        return "has too few columns"
    elif words[1].isdecimal():
        span, number = _span(words[0], words[1]), words[2]
    else:
        begin, end, number = pack_address(words[0]), pack_address(words[1]), words[2]
        is_range = begin is not None and end is not None and begin <= end and _is_ipv4(begin) == _is_ipv4(end)
        span = (begin, end) if is_range and begin and end else None
    if span is None:
        return "names no range of addresses"
    number = number.removeprefix("AS")
    if number.isdecimal() and number.isascii() and len(number) < 12:
        system = int(number)
    elif number and SEVERAL.issuperset(number):
        system = UNKNOWN
    else:
        return "names no number of a system"
    if system > MOST_SYSTEM:
        return "names a number beyond 4294967295"
    size = int.from_bytes(span[1]) - int.from_bytes(span[0]) + 1
    if system != UNKNOWN and (size > LARGEST[not _is_ipv4(span[0])] or span[0] < MAPPED < span[1]):
        return "covers more addresses than any system has"  # `::/8`: all of IPv4 among them
    return *span, system


def _span(address: str, length: str) -> tuple[bytes, bytes] | None:
    """Return the first and last address of a prefix, or None if it is not one."""
    key = pack_address(address)
    bits = int(length) if length.isdecimal() and length.isascii() and len(length) < 4 else 129
    if key is None or bits > (32 if ":" not in address else 128):
        return None
    host = (1 << ((32 if ":" not in address else 128) - bits)) - 1
    begin = int.from_bytes(key) & ~host
    return begin.to_bytes(16), (begin | host).to_bytes(16)


def _is_ipv4(key: bytes) -> bool:
    return key.startswith(MAPPED)


def _in_order(ranges: AddressRanges) -> AddressRanges:
    """Return ranges sorted by first address, cut where they contain narrower ones."""
    begin, end = _keys(ranges.first), _keys(ranges.last)
    if (begin[1:] > end[:-1]).all():
        return ranges
    widest_first = _keys(bytes(255 - np.frombuffer(ranges.last, np.uint8)))
    cuts = _Cuts()
    for k in np.lexsort((widest_first, begin)).tolist():
        at = slice(16 * k, 16 * k + 16)
        cuts.add(int.from_bytes(ranges.first[at]), int.from_bytes(ranges.last[at]), ranges.systems[k])
    cuts.close(1 << 128)
    return cuts.ranges


class _Cuts:
    """Makes disjoint ranges of ranges that come sorted by first address, wider ones first."""

    def __init__(self) -> None:
        self.ranges = AddressRanges()
        self._open: list[tuple[int, int, int]] = []  # first, last, system; each lies in those before it
        self._at = 0  # everything before it is written

    def add(self, first: int, last: int, system: int) -> None:
        self.close(first)
        if self._open and self._open[-1][:2] == (first, last):
            if self._open[-1][2] != system:
                self._open[-1] = first, last, UNKNOWN
            return
        if self._open:
            self._write(first - 1, self._open[-1][2])
        self._open.append((first, last, system))
        self._at = first

    def close(self, before: int) -> None:
        """Write open ranges that end before an address."""
        while self._open and self._open[-1][1] < before:
            _, last, system = self._open.pop()
            self._write(last, system)

    def _write(self, last: int, system: int) -> None:
        if last >= self._at:
            self.ranges.add(self._at.to_bytes(16), last.to_bytes(16), system)
            self._at = last + 1


def _keys(packed: bytes | bytearray) -> np.ndarray:
    """Return (n,) of 16 bytes each, which compare bytewise."""
    return np.frombuffer(packed, "S16")


@lru_cache(maxsize=1)
def _reserved_spans() -> tuple[np.ndarray, np.ndarray]:
    spans = sorted(span for text in RESERVED if (span := _span(*text.split("/"))))
    return _keys(b"".join(first for first, _ in spans)), _keys(b"".join(last for _, last in spans))


def _are_reserved(keys: np.ndarray) -> np.ndarray:
    """Return (n,) bool: the addresses that no system announces publicly."""
    first, last = _reserved_spans()
    at = np.searchsorted(first, keys, side="right") - 1
    inside = (at >= 0) & (keys <= last[np.maximum(at, 0)])
    mapped = (keys >= MAPPED) & (keys <= MAPPED + b"\xff" * 4)
    routed: np.ndarray = mapped | ((keys >= GLOBAL[0]) & (keys <= GLOBAL[1]))
    return inside | ~routed


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_state(paths: Sequence[Path]) -> tuple[tuple[int, int, int], ...] | None:
    """Return what changes when files are changed; None while one is missing."""
    try:
        stats = [path.stat() for path in paths]
    except (OSError, ValueError):  # a NUL in a name
        return None
    return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)
