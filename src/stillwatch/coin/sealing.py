"""Sealed texts: any writer of the ledger can close a box, only the reading key opens it.

It uses X25519 with a new key for each box, HKDF-SHA256, ChaCha20-Poly1305.
"""

from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stillwatch.coin import CoinError
from stillwatch.new_file import write_new_file

_INFO = b"stillwatch.coin.box.1"


def _cipher(shared: bytes, sender: bytes, reader: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, None, _INFO + sender + reader).derive(shared))


def seal(reader: bytes, text: bytes, place: bytes) -> bytes:
    """Close a box for the owner of a reading key. It opens only with the same `place`."""
    own = X25519PrivateKey.generate()
    sender = own.public_key().public_bytes_raw()
    shared = own.exchange(X25519PublicKey.from_public_bytes(reader))
    return sender + _cipher(shared, sender, reader).encrypt(bytes(12), text, place)


def unseal(private: X25519PrivateKey, box: bytes, place: bytes) -> bytes:
    """Open a box. Raises: CoinError if it was closed for another key, or was changed or moved."""
    sender, rest = box[:32], box[32:]
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(sender))
        reader = private.public_key().public_bytes_raw()
        return _cipher(shared, sender, reader).decrypt(bytes(12), rest, place)
    except (InvalidTag, ValueError) as why:
        raise CoinError(
            "the sealed texts do not open: another reading key, or the record was changed"
        ) from why


def new_reading_key(path: Path) -> bytes:
    """Create a reading key in a new file, with its public half beside it; return the public half.

    Raises: CoinError if the file exists: texts sealed for that key would become unreadable.
    """
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_new_file(path, f"{private.private_bytes_raw().hex()}\n".encode("ascii"))
    except FileExistsError:
        raise CoinError(f"{path}: is there already; what was sealed for it needs it. Name another") from None
    except OSError as why:
        raise CoinError(f"{path}: the reading key cannot be written: {why.strerror}") from why
    return public


def read_reading_key(path: Path) -> X25519PrivateKey:
    """Read a reading key. Raises: CoinError."""
    try:
        return X25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text("ascii").strip()))
    except OSError as why:
        raise CoinError(f"{path}: the reading key cannot be read: {why.strerror}") from why
    except (ValueError, UnicodeDecodeError) as why:
        raise CoinError(f"{path}: holds no reading key: 64 hex digits in one line") from why


def public_of(path: Path) -> bytes | None:
    """Return a reading key's public half, as a gateway stores it, or None. Raises: CoinError."""
    if not path.exists():
        return None
    try:
        found = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as why:
        raise CoinError(f"{path}: holds no public reading key: 64 hex digits in one line") from why
    if len(found) != 32:
        raise CoinError(f"{path}: holds {len(found)} bytes, not the 32 of a public reading key")
    return found
