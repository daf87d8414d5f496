"""A QR code of a text as a drawing (ISO/IEC 18004): byte mode, error correction level L, which screens need.

It knows nothing of what the text is for. `segno` and what else there is do more than one drawing needs.
"""

from collections.abc import Callable, Iterator
from itertools import groupby, pairwise

QUIET = 4  # modules of margin, section 9.1
# Of versions 1 to 40 at level L, table 9: codewords of error correction in each block, and blocks
CORRECTION = (
    7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28,
    28, 28, 30, 30, 26, 28, *[30] * 14,
)  # fmt: skip
BLOCKS = (
    1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8,
    8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25,
)  # fmt: skip
LEVEL_L, BYTE_MODE = 0b01, 0b0100
FIELD, FORMAT, VERSION = 0x11D, 0x537, 0x1F25  # polynomials: of the bytes' field, and of the two BCH codes
FORMAT_MASK = 0x5412
Modules = list[list[bool]]
MASKS: tuple[Callable[[int, int], bool], ...] = (  # table 10, of (row, column)
    lambda i, j: (i + j) % 2 == 0,
    lambda i, j: i % 2 == 0,
    lambda i, j: j % 3 == 0,
    lambda i, j: (i + j) % 3 == 0,
    lambda i, j: (i // 2 + j // 3) % 2 == 0,
    lambda i, j: i * j % 2 + i * j % 3 == 0,
    lambda i, j: (i * j % 2 + i * j % 3) % 2 == 0,
    lambda i, j: ((i + j) % 2 + i * j % 3) % 2 == 0,
)


def svg_path(modules: Modules) -> str:
    """Give the path of a drawing's dark modules, one unit each, with the margin around them."""
    found = []
    for y, row in enumerate(modules, QUIET):
        x = QUIET
        for dark, run in groupby(row):
            width = len(list(run))
            if dark:
                found.append(f"M{x} {y}h{width}v1h-{width}z")
            x += width
    return "".join(found)


def qr_modules(text: str, mask: int | None = None) -> Modules:
    """Give the modules of a text's code, rows of dark or light ones. mask: else the best of the eight.

    Raises: ValueError for a text that no code holds.
    """
    data = text.encode()
    version = next((v for v in range(1, 41) if _holds(v) >= len(data)), None)
    if version is None:
        raise ValueError(f"a QR code holds {_holds(40):,} bytes; these are {len(data):,}")
    bits = _bits(_codewords(data, version))
    masks = range(8) if mask is None else (mask,)
    drawn = [_draw(version, bits, number) for number in masks]
    return min(drawn, key=_penalty)


def _holds(version: int) -> int:
    """Give how many bytes of text a version holds."""
    capacity = _all_codewords(version) - CORRECTION[version - 1] * BLOCKS[version - 1]
    return capacity - (2 if version < 10 else 3)


def _all_codewords(version: int) -> int:
    size, count = 17 + 4 * version, len(_centres(version))
    free = size * size - 3 * 64 - 31 - 2 * (size - 16)  # finders with their margins, formats, timing
    if count:
        free -= 25 * (count * count - 3) - 10 * (count - 2)  # alignment, which timing runs through
    return (free - (36 if version >= 7 else 0)) // 8


def _centres(version: int) -> list[int]:
    """Give the rows and columns of the centres of alignment patterns (annex E)."""
    if version == 1:
        return []
    count, last = version // 7 + 2, 10 + 4 * version
    step = 26 if version == 32 else (version * 4 + count * 2 + 1) // (count * 2 - 2) * 2
    return [6, *(last - step * k for k in reversed(range(count - 1)))]


# --- codewords ---


def _codewords(data: bytes, version: int) -> list[int]:
    """Give a text's codewords in blocks with their error correction, interleaved (section 7.6)."""
    blocks, correction = BLOCKS[version - 1], CORRECTION[version - 1]
    room = _all_codewords(version) - blocks * correction
    count_bits = 8 if version < 10 else 16
    header = BYTE_MODE << count_bits | len(data)
    length = 4 + count_bits + 8 * len(data) + 4  # four zeros end it
    number = (header << 8 * len(data) | int.from_bytes(data)) << 4
    message = list((number << -length % 8).to_bytes((length + 7) // 8))
    padding = [(0xEC, 0x11)[k % 2] for k in range(room - len(message))]
    message += padding
    short, longer = room // blocks, room % blocks
    parts, at = [], 0
    for k in range(blocks):
        size = short + (k >= blocks - longer)
        parts.append(message[at : at + size])
        at += size
    checks = [_remainder(part, correction) for part in parts]
    interleaved = [part[k] for k in range(short + 1) for part in parts if k < len(part)]
    return interleaved + [check[k] for k in range(correction) for check in checks]


def _remainder(part: list[int], degree: int) -> list[int]:
    """Give a block's Reed-Solomon codewords (section 7.5)."""
    divisor, root = [*[0] * (degree - 1), 1], 1
    for _ in range(degree):
        divisor = [_times(a, root) ^ b for a, b in zip(divisor, [*divisor[1:], 0], strict=True)]
        root = _times(root, 2)
    rest = [0] * degree
    for value in part:
        factor = value ^ rest[0]
        rest = [a ^ _times(b, factor) for a, b in zip([*rest[1:], 0], divisor, strict=True)]
    return rest


def _powers() -> list[int]:
    """Give the powers of 2 in the field of bytes, which are all its values but 0."""
    found = [1]
    for _ in range(254):
        found.append(found[-1] << 1 ^ (found[-1] >> 7) * FIELD)
    return found


POWERS = _powers()
LOGARITHMS = {value: k for k, value in enumerate(POWERS)}


def _times(a: int, b: int) -> int:
    return POWERS[(LOGARITHMS[a] + LOGARITHMS[b]) % 255] if a and b else 0


def _bits(codewords: list[int]) -> list[bool]:
    return [bool(word >> k & 1) for word in codewords for k in reversed(range(8))]


def _check_bits(value: int, polynomial: int, degree: int) -> int:
    """Give a value followed by its BCH check bits."""
    rest = value
    for _ in range(degree):
        rest = rest << 1 ^ (rest >> degree - 1) * polynomial
    return value << degree | rest


# --- drawing ---


def _draw(version: int, bits: list[bool], mask: int) -> Modules:
    """Give a code's modules under one mask."""
    fixed = dict(_patterns(version)) | dict(_format(version, mask))
    size = 17 + 4 * version
    modules = [[fixed.get((i, j), False) for j in range(size)] for i in range(size)]
    masked, at = MASKS[mask], 0
    for i, j in _walk(size):
        if (i, j) not in fixed:
            modules[i][j] = (at < len(bits) and bits[at]) != masked(i, j)
            at += 1
    return modules


def _walk(size: int) -> Iterator[tuple[int, int]]:
    """Give places in the order of the bits: pairs of columns from the right, up and down in turn."""
    for number, right in enumerate([*range(size - 1, 6, -2), 5, 3, 1]):
        for i in range(size) if number % 2 else reversed(range(size)):
            yield i, right
            yield i, right - 1


def _patterns(version: int) -> Iterator[tuple[tuple[int, int], bool]]:
    """Give the modules that are the same for every text: timing, finders, alignment, the version."""
    size = 17 + 4 * version
    for k in range(size):
        yield (6, k), k % 2 == 0
        yield (k, 6), k % 2 == 0
    last = size - 4
    for y, x in ((3, 3), (3, last), (last, 3)):
        for i in range(max(0, y - 4), min(size, y + 5)):
            for j in range(max(0, x - 4), min(size, x + 5)):
                yield (i, j), max(abs(i - y), abs(j - x)) not in (2, 4)
    centres = _centres(version)
    for y in centres:
        for x in centres:
            if (y, x) in ((6, 6), (6, size - 7), (size - 7, 6)):
                continue
            for i in range(y - 2, y + 3):
                for j in range(x - 2, x + 3):
                    yield (i, j), max(abs(i - y), abs(j - x)) != 1
    if version >= 7:
        told = _check_bits(version, VERSION, 12)
        for k in range(18):
            i, j = k // 3, size - 11 + k % 3
            yield (i, j), bool(told >> k & 1)
            yield (j, i), bool(told >> k & 1)


def _format(version: int, mask: int) -> Iterator[tuple[tuple[int, int], bool]]:
    """Give the modules that say the level and the mask, twice, and the one that is always dark."""
    size = 17 + 4 * version
    told = _check_bits(LEVEL_L << 3 | mask, FORMAT, 10) ^ FORMAT_MASK
    down = [0, 1, 2, 3, 4, 5, 7, 8, *range(size - 7, size)]
    for k in range(15):
        dark = bool(told >> k & 1)
        yield (down[k], 8), dark
        yield (8, down[14 - k] if k >= 8 else size - 1 - k), dark
    yield (size - 8, 8), True


def _penalty(modules: Modules) -> int:
    """Say how hard a code is to read (section 7.8.3)."""
    lines = ["".join("01"[dark] for dark in line) for line in (*modules, *zip(*modules, strict=True))]
    size, found = len(modules), 0
    for line in lines:
        runs = [len(list(run)) for _, run in groupby(line)]
        found += sum(run - 2 for run in runs if run >= 5)
        for k in range(size - 10):
            found += 40 * (line[k : k + 11] in ("10111010000", "00001011101"))
    for above, below in pairwise(lines[:size]):
        for k in range(size - 1):
            found += 3 * (above[k : k + 2] == below[k : k + 2] in ("00", "11"))
    dark = sum(line.count("1") for line in lines[:size])
    return found + 10 * int(abs(dark * 20 / size**2 - 10))
