"""Reads a time stamp (RFC 3161, 2.4.2; DER, X.690) and lets `openssl` check it. Standard library only.

Blind to: whether the authority's clock is right, and whether its certificate was withdrawn.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from datetime import datetime, timezone
from pathlib import Path

SEQUENCE, EXPLICIT, OCTETS, TIME = 0x30, 0xA0, 0x04, 0x18  # tags (X.690, 8.1.2)
# response -> token -> its content -> SignedData -> the content that it signs -> a TSTInfo
INFO = ((1, SEQUENCE), (1, EXPLICIT), (0, SEQUENCE), (2, SEQUENCE), (1, EXPLICIT), (0, OCTETS))


def _der(data: bytes, *path: tuple[int, int]) -> bytes:
    """Return the content of an element. path: its index and tag at each level, outermost first.

    Only DER is read. In BER a length can be left open, or written in several ways. Then this function and
    openssl could read two different elements, with two different times.
    """
    for place, tag in ((0, SEQUENCE), *path):
        offset = begin = length = 0
        for _ in range(place + 1):
            offset = begin + length
            if offset + 2 > len(data):
                raise ValueError("it ends too early")
            length, begin = data[offset + 1], offset + 2
            if length > 127:
                digits = data[begin : begin + (length & 127)]
                length, begin = int.from_bytes(digits, "big"), begin + len(digits)
                if length < 128 or not digits[0]:
                    raise ValueError("a length is not written as DER writes it")
            if begin + length > len(data):
                raise ValueError("an element is longer than what holds it")
        if data[offset] != tag:
            raise ValueError(f"element {place} has tag {data[offset]}, not {tag}")
        data = data[begin : begin + length]
    return data


def read_stamp(answer: bytes) -> tuple[bytes, str]:
    """Return a stamp's digest and its time, ISO in UTC; does not check its signature. Raises: ValueError."""
    info = _der(answer, *INFO)
    text = _der(info, (4, TIME)).decode("ascii").partition(".")[0].rstrip("Z")
    stamped_at = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
    return _der(info, (2, SEQUENCE), (1, OCTETS)), stamped_at.isoformat().replace("+00:00", "Z")


def is_of(answer: bytes, message: bytes) -> tuple[str, str]:
    """Return a stamp's time, and why it is not this message's ("": it is). Does not check its signature."""
    try:
        digest, stamped_at = read_stamp(answer)
    except ValueError as why:
        return "", f"is no time stamp that can be read ({why})"
    fits = digest in [hashlib.new(name, message).digest() for name in ("sha256", "sha384", "sha512")]
    return stamped_at, "" if fits else "is the time stamp of something else"


def stamped(answer: bytes, message: bytes, roots: str) -> tuple[str, str]:
    """Have `openssl` check a stamp too; return its time, and what is wrong. Raises: OSError."""
    stamped_at, wrong = is_of(answer, message)
    if wrong:
        return stamped_at, wrong
    if (tool := shutil.which("openssl")) is None or not Path(roots).is_file():
        raise OSError(f"a time stamp needs openssl on this machine, and the authority's root in {roots}")
    then = int(datetime.fromisoformat(stamped_at.replace("Z", "+00:00")).timestamp())  # may be expired now
    with tempfile.TemporaryDirectory() as name:
        for file, data in (("answer", answer), ("message", message)):
            Path(name, file).write_bytes(data)
        words = [tool, "ts", "-verify", "-in", f"{name}/answer", "-data", f"{name}/message", "-CAfile", roots]
        result = subprocess.run([*words, "-attime", str(then)], capture_output=True, timeout=60, check=False)
    is_verified = result.returncode == 0 and b"Verification: OK" in result.stdout + result.stderr
    errors = [
        line for line in result.stderr.decode("utf-8", "replace").splitlines() if "error" in line.lower()
    ]
    why = errors[0].split(":", 2)[-1][:200] if errors else f"openssl ends with {result.returncode}"
    return stamped_at, "" if is_verified else f"is not signed by an authority under {roots} ({why})"
