"""A test written down and signed before the suspect is asked.

The signature shows who fixed the test, and that nothing was changed since. It does not show when. That the
test was fixed *before* the answers came is shown by giving its SHA-256 to somebody else beforehand (a
time-stamping service, a notary, the other side's counsel); `made_at` alone is the signer's own word.
"""

import base64
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from stillwatch.cases.audit.signing import TrailSigner, is_signed
from stillwatch.cases.bundle.signed import sign_document
from stillwatch.cases.bundle.verify import pae
from stillwatch.errors import refuse_os_errors
from stillwatch.prove import ProveError

PAYLOAD_TYPE = "application/vnd.stillwatch.protocol+json"
LARGEST = 16 << 20  # bytes


@dataclass(frozen=True)
class Protocol:
    """What is fixed before the suspect is asked.

    Raises: ProveError for one that leaves the test open.
    """

    method: str
    suspect: str
    claim: str
    statistic: str  # precise enough that others compute the same
    null: str
    alpha: float  # over all units together
    units: tuple[str, ...]  # the actors, keys or candidates under test
    prompts: int
    prompts_sha256: str  # of `prompts_digest`
    made_at: str  # ISO, UTC
    effect: float | None = None  # the size to be found, in the evidence's unit
    commitments: tuple[str, ...] = ()  # to keys and ledgers, as published
    stop: str = "one look, when all answers are in"
    settings: tuple[tuple[str, str], ...] = ()  # whatever else the statistic depends on

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ProveError(f"a protocol's alpha lies between 0 and 1; this one is {self.alpha}")
        if not self.units or len(set(self.units)) != len(self.units):
            raise ProveError("a protocol names each actor, key or candidate under test, and each once")
        for name in ("method", "suspect", "claim", "statistic", "null", "prompts_sha256", "made_at"):
            if not getattr(self, name):
                raise ProveError(f"a protocol without {name} fixes nothing")


@dataclass(frozen=True)
class Signed:
    """A signed protocol: the bytes, their SHA-256 (which evidence refers to), the signer."""

    protocol: Protocol
    envelope: bytes
    sha256: str
    key: str  # public, hex


def prompts_digest(prompts: Sequence[str]) -> str:
    """Return the SHA-256 over the prompts in their order, one JSON string per line."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(json.dumps(prompt, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def sign(protocol: Protocol, signer: TrailSigner) -> Signed:
    """Sign a protocol: the same one and the same key give the same bytes."""
    data = sign_document(asdict(protocol), PAYLOAD_TYPE, signer)
    return Signed(protocol, data, hashlib.sha256(data).hexdigest(), signer.key)


def write(signed: Signed, path: Path) -> Path:
    """Write a protocol, without ever replacing a signed one. Writing the same again changes nothing.

    Raises: ProveError if another one is there, or the path cannot be written.
    """
    with refuse_os_errors(ProveError, f"{path}: the protocol cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("xb") as out:
            out.write(signed.envelope)
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            if path.read_bytes() != signed.envelope:
                raise ProveError(
                    f"{path}: another protocol was signed there, and stays; name another place"
                ) from None
        finally:
            temporary.unlink(missing_ok=True)
    return path


def read(path: Path, key: str | None = None) -> Signed:
    """Read a protocol and check its signature. Raises: ProveError; `key`: who must have signed."""
    with refuse_os_errors(ProveError, f"{path}: the protocol cannot be read"):
        if path.stat().st_size > LARGEST:
            raise ProveError(f"{path}: is larger than any protocol")
        return open_protocol(path.read_bytes(), str(path), key)


def taken_up(path: Path, made: Protocol) -> Signed:
    """Return the protocol already signed at a path, if it fixes the same test as `made`; the time may differ.

    Raises: ProveError if it fixes another one.
    """
    signed = read(path)
    differs = [
        name
        for name in vars(made)
        if name != "made_at" and getattr(signed.protocol, name) != getattr(made, name)
    ]
    if differs:
        raise ProveError(
            f"{path}: was signed for another test (its {', '.join(differs)} differ); a protocol is not "
            "changed after it is signed: give what it says, or name another --out"
        )
    return signed


def open_protocol(data: bytes, place: str, key: str | None = None) -> Signed:
    """Check the bytes of a signed protocol and return its content. Raises: ProveError."""
    try:
        envelope = json.loads(data)
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        signer, raw = str(signature["keyid"]), base64.b64decode(signature["sig"], validate=True)
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise ProveError(f"{place}: is signed, but no protocol ({envelope['payloadType']!r:.80})")
        document = json.loads(payload)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as why:
        raise ProveError(f"{place}: is no signed protocol ({type(why).__name__}: {why})") from None
    if not is_signed(signer, raw.hex(), pae(PAYLOAD_TYPE, payload)):
        raise ProveError(f"{place}: is not signed by the key it names, or was changed since")
    if key is not None and signer != key:
        raise ProveError(f"{place}: is signed by key {signer}, not by {key}")
    return Signed(_protocol(document, place), data, hashlib.sha256(data).hexdigest(), signer)


def _protocol(document: Any, place: str) -> Protocol:
    if not isinstance(document, dict) or set(document) != {field.name for field in fields(Protocol)}:
        raise ProveError(f"{place}: does not hold what a protocol of this version holds")
    wrong = ProveError(f"{place}: a protocol's field is of the wrong kind")
    try:
        found = msgspec.convert(document, Protocol)
    except msgspec.ValidationError:
        raise wrong from None
    if not math.isfinite(found.effect or 0.0):
        raise wrong
    return found
