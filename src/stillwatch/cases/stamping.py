"""Time stamps by RFC 3161: an authority that the owner names signs when something existed.

Requests one stamp from one authority, or checks one. Not checked: whether an authority's clock is right, and
whether its certificate was revoked. The authority sees only a SHA-256 and a random number.

Source: RFC 3161 (August 2001), RFC 5816; checked by `rfc3161-client` (extra `stamp`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import (
    Certificate,
    DuplicateExtension,
    InvalidVersion,
    Name,
    UnsupportedGeneralNameType,
    load_der_x509_certificate,
    load_pem_x509_certificates,
)

from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.places import Resolve, addresses, place
from stillwatch.cases.exports.post import fetch, tls_context
from stillwatch.errors import StillwatchError

LARGEST = 65_536  # bytes of a response; one with a chain of certificates has some 6,000
UNREADABLE = (
    ValueError,
    DuplicateExtension,
    InvalidVersion,
    UnsupportedAlgorithm,
    UnsupportedGeneralNameType,
)
_OPENSSL = re.compile(r'data: "Verify error: ([^"]{1,200})"')
EXTRA = "time stamps need one more package: pip install 'stillwatch[stamp]'"


class StampError(StillwatchError):
    """No stamp was received, or it is not reliable."""


@dataclass(frozen=True)
class Stamp:
    """A stamp that was checked."""

    answer: bytes  # as received: a TimeStampResp in DER, which `openssl ts` reads
    at: datetime  # by the authority's clock
    authority: str  # subject of the certificate that signed it
    accuracy_s: float | None  # as the authority states it


@dataclass(frozen=True)
class Authority:
    """A time-stamping authority, and its trusted certificates. `resolve`: the system's by default."""

    url: str
    roots: tuple[Certificate, ...]
    resolve: Resolve | None = field(default=None, repr=False)


def read_roots(path: Path) -> tuple[Certificate, ...]:
    """Read the trusted certificates, as PEM. Raises: StampError."""
    try:
        certificates = load_pem_x509_certificates(path.read_bytes())
    except OSError as why:
        raise StampError(f"{path}: cannot be read: {why.strerror}") from why
    except ValueError as why:
        raise StampError(f"{path}: holds no certificates in PEM that can be read ({why})") from None
    return tuple(certificates)


def stamp(message: bytes, by: Authority) -> Stamp:
    """Have a message stamped, and check the response before returning it.

    The owner named the host, so it may be in the owner's network; redirects are not followed.

    Raises: StampError.
    """
    try:
        import rfc3161_client
    except ImportError as why:
        raise StampError(EXTRA) from why
    request = rfc3161_client.TimestampRequestBuilder(
        message, hash_algorithm=rfc3161_client.HashAlgorithm.SHA256
    ).build()
    try:
        where = place(by.url, ("https", "http"))
        addresses_found = addresses(where, [where.at], by.resolve)
        reply, answer = fetch(
            where,
            addresses_found,
            {"content-type": "application/timestamp-query", "accept": "application/timestamp-reply"},
            request.as_bytes(),
            tls_context() if where.scheme == "https" else None,
            LARGEST,
        )
    except ExportError as why:
        raise StampError(f"no time stamp: {why}") from why
    if reply.status != 200:
        raise StampError(f"no time stamp: {where.at} answers with status {reply.status}")
    return check(answer, message, by.roots, nonce=request.nonce)


def check(answer: bytes, message: bytes, roots: Sequence[Certificate], nonce: int | None = None) -> Stamp:
    """Check that a stamp is of this message and signed by an authority under these roots.

    Raises: StampError with what is wrong.
    """
    try:
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response
    except ImportError as why:
        raise StampError(EXTRA) from why
    if not roots:
        raise StampError("no certificate was named by which the authority could be known")
    try:
        read = decode_timestamp_response(answer)
        if read.status not in (0, 1):
            problem = "; ".join(read.status_string) or f"status {read.status}"
            raise StampError(f"the authority refused: {problem[:200]!a}")
        verifier = VerifierBuilder(roots=list(roots), nonce=nonce).build()
        verifier.verify_message(read, message)
        info = read.tst_info
        signer = next(iter(read.signed_data.signer_infos))
        signer_certificate = _signer(read.signed_data.certificates, signer.issuer, signer.serial_number)
    except VerificationError as why:
        inner = _OPENSSL.search(str(why))  # one sentence of OpenSSL's message
        problem = inner[1] if inner else str(why)[:300]
        raise StampError(f"the time stamp does not hold: {problem}") from None
    except UNREADABLE as why:
        raise StampError(f"that is no time stamp: {str(why)[:300]}") from None
    return Stamp(answer, info.gen_time.astimezone(UTC), signer_certificate, _seconds(info.accuracy))


def _signer(certificates: Iterable[bytes], issuer: Name, serial: int) -> str:
    """Return the subject of the certificate that signed. Raises: StampError if it is ambiguous."""
    read = [load_der_x509_certificate(der) for der in certificates]
    fits = [cert for cert in read if cert.issuer == issuer and cert.serial_number == serial]
    if len(fits) != 1:  # of two with one number, only one was checked
        raise StampError(
            f"the time stamp carries {len(fits)} certificates that its signer may be; one is wanted"
        )
    return fits[0].subject.rfc4514_string()


def _seconds(accuracy: object) -> float | None:
    """Return the accuracy that an authority states, in seconds."""
    if accuracy is None:
        return None
    seconds, millis, micros = (getattr(accuracy, name, None) or 0 for name in ("seconds", "millis", "micros"))
    return float(seconds) + millis / 1e3 + micros / 1e6
