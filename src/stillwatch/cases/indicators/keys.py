"""The two kinds of key: the deployment's own, and an exchange key shared with a partner.

Two keys are derived from an exchange key: one for sketches of wording, one for identifiers. A partner who
holds it can test guesses: see docs/indicators.md.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from stillwatch.cases.indicators import IDENTIFIERS, IndicatorError, IndicatorKind
from stillwatch.errors import refuse_os_errors
from stillwatch.exchanges.log import network
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.new_file import write_new_file

EXCHANGE_BYTES = 32  # the output size of SHA-256: a shorter key would be the weak point
_FOR_SKETCHES, _FOR_IDENTIFIERS, _FOR_SEALS = b"sw.exch.sketch", b"sw.exch.ident", b"sw.exch.seal"


@dataclass(frozen=True, eq=False)
class IndicatorKey:
    """A key for indicators: `sketcher` for wording, `identify` for identifiers, `sealing` for files."""

    sketcher: Sketcher
    sealing: bytes  # for the seal of a file, which proves that a holder of the key made it
    _identifying: bytes

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the key and reveal nothing about it.

        Files sketched under it carry them too.
        """
        return self.sketcher.fingerprint

    def identify(self, kind: str, value: str) -> str:
        """Return HMAC-SHA-256 of a normalised identifier; kinds have separate values."""
        words = f"stillwatch.{kind}.1\0{value}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._identifying, words, "sha256").hex()


def own_key(raw: bytes) -> IndicatorKey:
    """Return the key that a deployment's logs are sketched under. Raises: IndicatorError for the default."""
    sketcher = Sketcher(raw)
    if sketcher.public:
        raise IndicatorError(
            "indicators need a key of your own: under the default one, which is public, a sketch is as good "
            "as its text; give --key-file or --exchange-key"
        )
    return IndicatorKey(sketcher, _part(raw, _FOR_SEALS), _part(raw, _FOR_IDENTIFIERS))


def exchange(raw: bytes) -> IndicatorKey:
    """Return a key shared with a partner. Raises: IndicatorError if it is too short."""
    if len(raw) < EXCHANGE_BYTES:
        raise IndicatorError(f"an exchange key of {len(raw)} bytes; right would be {EXCHANGE_BYTES} or more")
    return IndicatorKey(
        Sketcher(_part(raw, _FOR_SKETCHES)), _part(raw, _FOR_SEALS), _part(raw, _FOR_IDENTIFIERS)
    )


def _part(raw: bytes, purpose: bytes) -> bytes:
    short = raw if len(raw) <= 64 else hashlib.blake2b(raw, digest_size=64).digest()
    return hashlib.blake2b(short, digest_size=32, person=purpose).digest()


def read_exchange(path: Path) -> IndicatorKey:
    """Read an exchange key as `create` wrote it: 64 hexadecimal digits. Raises: IndicatorError."""
    with refuse_os_errors(IndicatorError, f"{path}: cannot read the exchange key"), path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        text = file.read(4_096)
    if mode & 0o077:
        raise IndicatorError(f"{path}: holds an exchange key and others may read it; chmod 600 {path}")
    try:
        return exchange(bytes.fromhex(text.decode("ascii").strip()))
    except ValueError:
        raise IndicatorError(
            f"{path}: holds no exchange key; right would be {2 * EXCHANGE_BYTES} hexadecimal digits, as "
            "`stillwatch indicators keygen` writes them"
        ) from None


def create(path: Path) -> IndicatorKey:
    """Write a new exchange key, readable by its owner only.

    Raises: IndicatorError if the file exists.
    """
    raw = secrets.token_bytes(EXCHANGE_BYTES)
    try:
        write_new_file(path, f"{raw.hex()}\n".encode("ascii"))
    except FileExistsError:
        raise IndicatorError(f"{path}: is there already; an exchange key is never written over") from None
    except OSError as error:
        raise IndicatorError(f"{path}: cannot write the exchange key: {error.strerror}") from error
    return exchange(raw)


def normalise(kind: IndicatorKind, value: str) -> str | None:
    """Return an identifier in the one form that both sides hash, or None if it is not one.

    >>> normalise(IndicatorKind.NETWORK, "::ffff:192.0.2.17")
    '192.0.2'
    >>> normalise(IndicatorKind.DOMAIN, " Example.COM. ")
    'example.com'
    >>> normalise(IndicatorKind.NETWORK, "unknown")
    """
    if kind is IndicatorKind.NETWORK:
        return network(value)
    if kind is IndicatorKind.DOMAIN:
        return value.strip().rstrip(".").lower() or None
    if kind not in IDENTIFIERS:
        raise ValueError(f"{kind} is made of wording, not of an identifier")
    return value.strip() or None
