"""What goes with a bundle: how to read it, a draft certificate, the code that spoke, clock and versions.

Nothing in here is computed from events; the words stand in readme.txt and certificate.txt.
"""

import ctypes
import importlib
import inspect
import platform
import struct
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata, resources
from typing import Any

from stillwatch.detectors import lone_harvest
from stillwatch.features.definitions import FEATURES
from stillwatch.scan import holds
from stillwatch.scan.assemble import TEST_NAME, clues, detectors

PACKAGES = ("stillwatch", "numpy", "scipy", "pyarrow", "duckdb", "numba", "sqlalchemy", "cryptography")
TEST_PARTS = (  # the alarm's own test, and what decides whom it names
    "stillwatch.scan.watch",
    "stillwatch.scan.alarms",
    "stillwatch.scan.campaigns",
    "stillwatch.scan.assemble",
    "stillwatch.scan.harvest",
    "stillwatch.stats.groups",
)
UNSYNCHRONISED = 0x40  # STA_UNSYNC of ntp_adjtime(2)


def sources(told: Iterable[str]) -> dict[str, bytes]:
    """Give the source of each detector and clue that spoke, and of the alarm's test, by file name."""
    spoke: list[Any] = [*clues(), *detectors(), lone_harvest, holds]
    named = {one.NAME: one for one in spoke}
    modules = [named[name] for name in sorted(set(told)) if name in named]
    if TEST_NAME in told:
        modules += [importlib.import_module(name) for name in TEST_PARTS]
    files = {}
    for module in modules:
        where = module.__name__.removeprefix("stillwatch.").replace(".", "/")
        files[f"code/{where}.py"] = inspect.getsource(module).encode("utf-8")
    return files


def queries(why: Iterable[Mapping[str, Any]]) -> bytes:
    """Write the definitions of the numbers, and the commands that make the finding again."""
    lines = ["-- What a number about an account or an actor is (stillwatch/features/definitions.py).", ""]
    for feature in FEATURES:
        sums = "; ".join(f"{name} = SUM({value})" for name, value in feature.sums)
        lines += [f"-- {feature.name} ({feature.unit}): {feature.doc}"]
        lines += [f"--   with {sums}"] if sums else []
        lines += [f"SELECT account, {feature.sql} AS {feature.name} FROM states;", ""]
    lines += ["-- What makes each claim again from the log:"]
    lines += [f"--   {one['detector']}: {plain(one['query'])}" for one in why]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def environment(now_us: int) -> dict[str, Any]:
    """Say which versions ran, and what this machine knows of its clock."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "exported_us": now_us,
        "clock": clock(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def clock() -> dict[str, Any]:
    """Ask the kernel whether something keeps its clock right, and how far off it may be."""
    unknown = {"synchronised": None, "estimated_error_us": None, "largest_error_us": None}
    if sys.platform != "linux" or struct.calcsize("l") != 8:
        return unknown
    buffer = ctypes.create_string_buffer(256)  # struct timex, modes = 0: only to be read
    if ctypes.CDLL(None, use_errno=True).ntp_adjtime(buffer) < 0:
        return unknown
    largest, estimated, status = struct.unpack_from("<24xqqi", buffer.raw)
    return {
        "synchronised": not status & UNSYNCHRONISED,
        "estimated_error_us": estimated,
        "largest_error_us": largest,
    }


def clock_words(found: Mapping[str, Any]) -> str:
    if found["synchronised"] is None:
        return "its state is not known to the system"
    state = "kept right by a time service" if found["synchronised"] else "NOT kept right by any time service"
    return f"{state}, off by at most {found['largest_error_us'] / 1e6:.3f} s as the kernel has it"


def certificate(told: Mapping[str, Any], inputs: Iterable[Mapping[str, Any]], gaps: Iterable[Any]) -> bytes:
    """Write the draft certificate. told: case, title, exported_at, exported_by, version, clock."""
    files = [f"   {one['sha256']}  {one['bytes']:>12,} bytes  {one['name']}" for one in inputs]
    holes = [f"   {one['start']} to {one['end']}: {one['text']}" for one in gaps]
    words = {
        "inputs": "\n".join(map(plain, files)) or "   [NONE IS ON RECORD: SAY WHICH FILES WERE SCANNED]",
        "gaps": "\n".join(map(plain, holes)) or "   none [SAY WHETHER YOU KNOW OF ANY]",
    }
    return _filled("certificate.txt", told, words)


def readme(told: Mapping[str, Any]) -> bytes:
    """Write how to read and check the bundle. told: case, title, version."""
    return _filled("readme.txt", told, {})


def _filled(name: str, told: Mapping[str, Any], words: Mapping[str, str]) -> bytes:
    """A text with names filled in, which may come from anywhere: each stays on its line."""
    text = resources.files("stillwatch.cases.bundle").joinpath(name).read_text("utf-8")
    safe = {key: plain(str(value)) for key, value in told.items()}
    return text.format(**safe, **words).encode("utf-8", "backslashreplace")


def plain(text: str) -> str:
    r"""Give text as one line of what can be printed.

    >>> plain("a\n\x1b[2J")
    'a\\n\\x1b[2J'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def checker() -> bytes:
    """Give the source of verify.py as it travels."""
    return resources.files("stillwatch.cases.bundle").joinpath("verify.py").read_bytes()
