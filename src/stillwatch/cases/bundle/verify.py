#!/usr/bin/env python3
"""Check a Stillwatch evidence bundle, with nothing but the library of Python 3.9 or newer.

    python3 -I -S verify.py [BUNDLE] --key HEX-OR-FILE [--stamp-ca FILE] [--json]

BUNDLE is the folder this file lies in, another one, or a .zip. Three things are said, each for itself:
  intact             every file is the one that the manifest names, and the manifest's signature is right
  signer verified    it was signed with the key that YOU gave; ask the sender for it by another way
  claims recomputed  recompute.py and the files that it names, beside this one, come to the same numbers, and
  no file contradicts another
Exit code: 0 all three; 1 one of them is missing; 2 there is no bundle to check. certificate.txt is a draft
that a person completes: it may be changed, and what it says of the files has to stay true. With --stamp-ca,
the PEM file of a time-stamping authority's root, `openssl` checks the stamp (RFC 3161).

What it cannot know: whether the events are what happened. A copy of this file that came with the bundle could
be made to lie: its SHA-256 is printed, to be compared with a copy from elsewhere.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not (sys.flags.isolated and sys.flags.no_site):
    # without it, a json.py in this folder or on a PYTHONPATH would replace Python's own
    sys.path[:] = [place for place in sys.path[1:] if place.startswith(sys.base_prefix)]
    import subprocess

    sys.exit(subprocess.call([sys.executable, "-I", "-S", *sys.argv]))

import base64
import hashlib
import json
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unicodedata import normalize

HERE = Path(__file__).resolve().parent
BESIDE = "stillwatch_checker"  # the package of the files beside this one
COUNTING = ("bundle_events", "audit_records", "held_blocks", "set_aside_facts", "harvest_numbers")
SAYING = ("sentences", "alert_fields", "senders_word")
COMPUTING = (*COUNTING, *SAYING, "file_shapes", "recompute")  # each after what it needs
MANIFEST, DRAFT = "manifest.dsse.json", "certificate.txt"
STAMP = "manifest.tsr"  # an RFC 3161 TimeStampResp over the manifest; it cannot stand in the manifest itself
PAYLOAD_TYPE, STATEMENT = "application/vnd.in-toto+json", "https://in-toto.io/Statement/v1"
PREDICATE = "urn:stillwatch:evidence-bundle:2"
TOLD = ("case", "title", "finding", "exported_at", "exported_by", "stillwatch")  # from the manifest
LARGEST = 2 << 30  # bytes of all files together, uncompressed
CANNOT = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

# --- Ed25519 (RFC 8032, 5.1), verification only; a point is X, Y, Z, T (extended homogeneous coordinates) ---
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, P - 2, P) % P, pow(2, (P - 1) // 4, P)


def _point(data: bytes) -> tuple[int, int, int, int] | None:
    """Decode a point; None if the bytes are no point, or not its only permitted encoding."""
    sign, y = data[31] >> 7, int.from_bytes(data, "little") & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def _sum(p: tuple[int, int, int, int], q: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(k: int, p: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    q = (0, 1, 1, 0)
    while k:
        q, p, k = (_sum(q, p) if k & 1 else q), _sum(p, p), k >> 1
    return q


BASE = _point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little")) or (0, 1, 1, 0)


def is_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether an Ed25519 signature was made with this raw public key."""
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r, s = _point(key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or not _times(8, a)[0] % P:  # last: a key that signs anything
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = _times(s, BASE), _sum(r, _times(h, a))
    return not (
        (left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P
    )


# --- the files ---
class Bad(ValueError):
    """The bundle cannot be checked."""


class Bundle:
    """The files of a bundle, in a folder or a zip, by name with slashes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._zip: zipfile.ZipFile | None = None
        self.names: list[str] = []
        self.odd: list[str] = []
        if place.is_dir():
            for inside, folders, files in os.walk(place):
                for name in files + [
                    entry for entry in folders if os.path.islink(os.path.join(inside, entry))
                ]:
                    path = Path(inside, name)
                    relative = path.relative_to(place).as_posix()
                    if path.is_symlink() or not path.is_file():
                        self.odd.append(f"{relative}: is no plain file")
                    elif path.parent.name != "__pycache__" or path.suffix != ".pyc":  # never loaded
                        self.names.append(relative)
            self.names.sort()
            self.odd += odd_names(self.names)
            return
        try:
            self._zip = zipfile.ZipFile(place)
        except (*CANNOT, zipfile.BadZipFile, NotImplementedError) as why:
            raise Bad(f"{place}: is neither a folder nor a zip that can be read ({why})") from None
        entries = self._zip.infolist()
        total = sum(entry.file_size for entry in entries) + place.stat().st_size
        if total > LARGEST or {entry.compress_type for entry in entries} - {0, 8}:
            raise Bad(f"{place}: unpacks to more than any bundle, or is neither stored nor deflated")
        names = [entry.filename for entry in entries if not entry.is_dir()]
        top = {name.partition("/")[0] for name in names}
        self._inside = f"{top.pop()}/" if len(top) == 1 and MANIFEST not in names else ""
        self.names = [name[len(self._inside) :] for name in names]
        self.odd = [f"{name}: stands in the zip twice" for name, n in Counter(self.names).items() if n > 1]
        self.odd += odd_names(self.names) + odd_entries(place.read_bytes(), entries)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises: OSError, ValueError if it cannot be read."""
        if self._zip is None:
            if (self.place / name).stat().st_size > LARGEST:
                raise ValueError("is larger than any file of a bundle")
            return (self.place / name).read_bytes()
        try:
            return self._zip.read(self._inside + name)
        except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, zlib.error) as why:
            raise ValueError(f"cannot be unpacked ({why})") from None

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def lines(self, name: str) -> list[Any]:
        return [json.loads(line) for line in self.read(name).split(b"\n") if line]


def odd_names(names: list[str]) -> list[str]:
    """Return the names that are invalid in some file systems, or identical to another name in some."""
    alike = Counter(normalize("NFC", name).casefold() for name in set(names))
    odd = [f"{name}: is one file with another in some file systems" for name, n in alike.items() if n > 1]
    bad = [
        n for n in names if not n.isprintable() or set(n) & set("\\:") or {"", ".", ".."} & set(n.split("/"))
    ]
    return odd + [f"{name!a}: is no name of a bundle's file" for name in bad]


def odd_entries(data: bytes, entries: list[zipfile.ZipInfo]) -> list[str]:
    """Return the entries of a zip that are no plain files, and whether it holds bytes outside all entries.

    Programs that unpack while they read could find files there that the zip's directory does not list.
    """
    odd = [e for e in entries if e.external_attr >> 28 == 0xA or e.orig_filename != e.filename]

    def number(at: int, size: int = 2) -> int:
        return int.from_bytes(data[at : at + size], "little")

    at, begin, last = 0, number(len(data) - 6, 4), len(data) - 22
    gaps = {last - begin - number(last + 12, 4)} | {0 if data[last : last + 4] == b"PK\5\6" else -1}
    for entry in sorted(entries, key=lambda one: one.header_offset):
        gaps.add(entry.header_offset - at)
        at = entry.header_offset + 30 + entry.compress_size + (entry.flag_bits >> 3 & 1) * 16  # sums behind
        at += number(entry.header_offset + 26) + number(entry.header_offset + 28)
    whole = gaps | {begin - at} == {0}
    return [f"{e.filename!a}: is no plain file" for e in odd] + (
        [] if whole else ["the zip holds more than files"]
    )


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature signs (DSSE 1.0, pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def check_files(bundle: Bundle) -> tuple[list[str], dict[str, Any]]:
    """Check the manifest (an in-toto Statement in a DSSE envelope) and every file; return what is wrong."""
    wrong = list(bundle.odd)
    try:
        envelope = json.loads(bundle.read(MANIFEST))
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signed,) = envelope["signatures"]
        signer, signature = bytes.fromhex(signed["keyid"]), base64.b64decode(signed["sig"], validate=True)
        statement = json.loads(payload)
        listed = {str(subject["name"]): subject["digest"]["sha256"] for subject in statement["subject"]}
        predicate = {name: statement["predicate"][name] for name in TOLD}
        if not all(isinstance(value, (str, int)) for value in predicate.values()):
            raise TypeError("it describes itself by what is neither text nor number")
        kinds = (envelope["payloadType"], statement["_type"], statement["predicateType"])
        # Only one encoding is accepted: writing the parsed manifest again must give the same bytes.
        again = json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n"
        sound = again == bundle.read(MANIFEST) and len(listed) == len(statement["subject"])
        sound = sound and json.dumps(statement, sort_keys=True, separators=(",", ":")).encode() == payload
    except CANNOT as why:
        return [*wrong, f"{MANIFEST}: cannot be read ({type(why).__name__}: {why})"], {}
    if not sound or kinds != (PAYLOAD_TYPE, STATEMENT, PREDICATE):
        wrong.append(f"{MANIFEST}: is not the manifest of such a bundle, or was written anew")
    if not is_signed(signer, signature, pae(PAYLOAD_TYPE, payload)):
        wrong.append(f"{MANIFEST}: is not signed by the key that it names")
    names = set(bundle.names) - {MANIFEST, STAMP}
    for name in sorted(names | set(listed)):
        if name not in listed:
            wrong += [] if name == DRAFT else [f"{name}: is not in the manifest"]
        elif name not in names:
            wrong.append(f"{name}: is missing")
        else:
            try:
                is_same = hashlib.sha256(bundle.read(name)).hexdigest() == listed[name]
            except (OSError, ValueError) as why:
                wrong.append(f"{name}: {why}")
                continue
            wrong += [] if is_same else [f"{name}: is not the file that was signed"]
    return wrong, {**predicate, "signed_by": signer.hex()}


# --- the verdict ---
def part(name: str) -> Any:
    """Load a file from this file's folder, whatever bundle is checked. Raises: Bad if there is none."""
    place = HERE / f"{name}.py"
    if not place.exists():
        raise Bad(f"{place}: is not beside this file")
    module = module_from_spec(ModuleSpec(f"{BESIDE}.{name}", None))
    # a part imports from parts that were loaded before it; no folder is searched
    sys.modules.update({BESIDE: ModuleType(BESIDE), module.__name__: module})
    # compiled here: Python itself would prefer a file in __pycache__, which no manifest lists
    exec(compile(place.read_bytes(), str(place), "exec"), vars(module))
    return module


def check_stamp(bundle: Bundle, roots: str | None) -> tuple[list[str], str]:
    """Return what is wrong with the stamp beside the manifest, and a sentence about it."""
    if STAMP not in bundle.names:
        problems = [f"{STAMP}: is missing, and you named whose it should be"] if roots else []
        return problems, "time: no time stamp; that it was made at that time is the sender's word"
    check = part("timestamp")
    answer, manifest = bundle.read(STAMP), bundle.read(MANIFEST)
    at, why = check.stamped(answer, manifest, roots) if roots else check.is_of(answer, manifest)
    if why:
        return [f"{STAMP}: {why}"], ""
    if roots is None:
        return (
            [],
            f"time: a stamp of {at} is not checked without the authority's root (--stamp-ca FILE)",
        )
    time = f"time: all this was there at {at}, by the clock of an authority under {roots}; openssl checked it"
    return [], time


def check(
    place: Path, key: str | None, stamp_roots: str | None = None, load: Callable[[str], Any] = part
) -> dict[str, Any]:
    """Check a bundle. Raises: Bad if there is none."""
    bundle = Bundle(place)
    if MANIFEST not in bundle.names:
        raise Bad(f"{place}: holds no {MANIFEST}; it is no evidence bundle")
    files, predicate = check_files(bundle)
    stamp_problems, time = check_stamp(bundle, stamp_roots)
    files += stamp_problems
    *_, recompute = map(load, COMPUTING)
    contradictions = load("contradictions").contradictions
    claims = recompute.check(bundle, is_signed, lambda: contradictions(bundle, predicate))
    count = len(set(bundle.names) - {MANIFEST, STAMP})
    return dict(part("answers").report(count, files, predicate, key, claims), time=time)


if __name__ == "__main__":
    sys.exit(part("answers").main(sys.argv[1:], check, __doc__, HERE))
