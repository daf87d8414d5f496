"""The signing key: one Ed25519 key in its own file, created at first use.

Whoever has this file can rewrite a trail, which is why there are witnesses. Keep it apart from the database.
"""

import base64
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from stillwatch.cases.audit import AuditError
from stillwatch.errors import refuse_os_errors
from stillwatch.new_file import write_new_file

PUBLIC_SUFFIX = ".pub"
NONCE_BYTES = 12
SECRETS = b"stillwatch secrets of the database"
_PUBLIC, _SIGNATURE = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{128}")


def is_signed(key: str, signature: str, message: bytes) -> bool:
    """Return whether a signature is this key's over the message; both only in lower-case hex."""
    if not _PUBLIC.fullmatch(key) or not _SIGNATURE.fullmatch(signature):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class TrailSigner:
    """A private key in memory."""

    private: Ed25519PrivateKey
    key: str  # the public half, hex

    def sign(self, message: bytes) -> str:
        return self.private.sign(message).hex()

    def seal(self, secret: bytes) -> str:
        """Return a secret in its stored form, which only this key opens."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher().encrypt(nonce, secret, SECRETS)).decode("ascii")

    def unseal(self, sealed: str) -> bytes:
        """Open a sealed secret. Raises: AuditError if another key sealed it."""
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher().decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], SECRETS)
        except (InvalidTag, ValueError):
            raise AuditError("a secret of this database was not sealed with this audit key") from None

    def _cipher(self) -> ChaCha20Poly1305:
        raw = self.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return ChaCha20Poly1305(HKDF(SHA256(), 32, None, SECRETS).derive(raw))

    def public_pem(self) -> str:
        return (
            self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        )


def new_signer() -> TrailSigner:
    """Create a random key."""
    return _signer(Ed25519PrivateKey.generate())


def _signer(private: Ed25519PrivateKey) -> TrailSigner:
    return TrailSigner(private, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex())


def open_signer(path: Path) -> TrailSigner:
    """Read the key in a file, or create one, readable only by its owner, with its public half beside it.

    Raises: AuditError if it can be neither read nor created.
    """
    try:
        if not path.exists():
            _put(path, new_signer(), replace=False)
        return read_signer(path)
    except OSError as why:
        raise AuditError(
            f"{why.filename or path}: the signing key can be neither read nor made: {why.strerror}; name "
            "another file with --audit-key"
        ) from why


def read_signer(path: Path) -> TrailSigner:
    """Read the key in a file. Raises: AuditError if there is no Ed25519 key in it; OSError."""
    try:
        private = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as why:
        raise AuditError(
            f"{path}: holds no private key that can be read ({why}); put back the file that the trail was "
            "signed with: a new key would have to be handed over by the old one"
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise AuditError(f"{path}: holds a {type(private).__name__}; the trail is signed with Ed25519")
    return _signer(private)


def keep_signer(path: Path, signer: TrailSigner) -> None:
    """Write a key to a file, replacing the present one."""
    _put(path, signer, replace=True)


def _put(path: Path, signer: TrailSigner, *, replace: bool) -> None:
    """Write a key atomically; if two processes create one at once, the first one stays."""
    pem = signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    beside = path.with_name(f".{path.name}.{os.getpid()}.{signer.key[:8]}")
    write_new_file(beside, pem)
    try:
        if replace:
            os.replace(beside, path)
        else:
            try:
                os.link(beside, path)
            except FileExistsError:
                return
        public = path.with_name(path.name + PUBLIC_SUFFIX)
        public.write_text(signer.public_pem(), encoding="ascii")
    finally:
        beside.unlink(missing_ok=True)


def read_public(path: Path) -> str:
    """Read the public key in a file: PEM, or 64 hex digits. Raises: AuditError if there is none."""
    with refuse_os_errors(AuditError, f"{path}: cannot be read"):
        text = path.read_bytes()
    try:
        if len(text.strip()) == 64:
            return bytes.fromhex(text.decode("ascii").strip()).hex()
        public = load_pem_public_key(text)
    except (ValueError, TypeError) as why:
        raise AuditError(f"{path}: holds no public key that can be read ({why})") from None
    if not isinstance(public, Ed25519PublicKey):
        raise AuditError(f"{path}: holds another kind of key; the trail is signed with Ed25519")
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
