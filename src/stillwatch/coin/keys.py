"""The coin's key: one per epoch, committed to before it is used.

The coin of a request is a bit of HMAC-SHA256 over the ledger's name and the request's number in it. Both are
counted, not chosen, so that even the owner of the key cannot pick the coins; to anyone who has only the
commitment they look fair.
Source: RFC 2104 for the HMAC; commitment by SHA-256 of 32 random bytes.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from stillwatch.coin import CoinError
from stillwatch.errors import refuse_os_errors

KEY_BYTES = 32
_COIN, _COMMIT, _SAMPLE = b"stillwatch.coin.1\n", b"stillwatch.coin.key.1\n", b"stillwatch.coin.sample.1\n"
_ACCOUNT = b"stillwatch.coin.account.1\n"
_EPOCH = re.compile("[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


@dataclass(frozen=True)
class EpochKey:
    """One epoch's key. It reveals every coin of the epoch."""

    epoch: str
    secret: bytes
    made: str  # ISO time, UTC

    @property
    def commitment(self) -> str:
        """The published commitment: it binds the owner to the key and reveals nothing about it."""
        return hashlib.sha256(_COMMIT + self.epoch.encode() + b"\n" + self.secret).hexdigest()

    def coin(self, ledger: str, number: int) -> int:
        """Throw the coin of one request: 0 or 1.

        >>> key = EpochKey("2026-1", bytes(32), "2026-01-01T00:00:00Z")
        >>> [key.coin("w0-000001", n) for n in range(8)]
        [1, 0, 1, 0, 1, 1, 1, 0]
        """
        return self.secret_of(ledger, number)[0] & 1

    def secret_of(self, ledger: str, number: int) -> bytes:
        """Return one record's secret, whose first bit is the coin; it reveals nothing about other records."""
        message = _COIN + f"{self.epoch}\n{ledger}\n{number}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).digest()

    def secret_of_account(self, account: str) -> str:
        """Return the secret behind an account's tag in the ledger; it reveals no other account's."""
        message = _ACCOUNT + f"{self.epoch}\n{account}".encode("utf-8", "surrogatepass")
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()

    def drawn(self, exchange: str, share: float) -> bool:
        """Return whether an exchange is in the sampled share, independently of its answers."""
        digest = hmac.new(self.secret, _SAMPLE + exchange.encode(), hashlib.sha256).digest()
        return int.from_bytes(digest[:7], "big") < share * (1 << 56)


def new_key(epoch: str, made: str) -> EpochKey:
    """Create a random key. Raises: CoinError for an epoch that is no plain word."""
    if not _EPOCH.fullmatch(epoch):
        raise CoinError(f"epoch {epoch[:80]!r}: give letters, digits, dots and dashes, as in 2026-11")
    return EpochKey(epoch, secrets.token_bytes(KEY_BYTES), made)


def write_key(folder: Path, key: EpochKey) -> Path:
    """Store a key in a folder, readable only by its owner. Raises: CoinError if the epoch has one already."""
    path = folder / f"{key.epoch}.json"
    body = {"epoch": key.epoch, "key": key.secret.hex(), "commitment": key.commitment, "made": key.made}
    with refuse_os_errors(CoinError, f"{path}: the key cannot be written"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            raise CoinError(f"{path}: epoch {key.epoch} has its key already; name another epoch")
        temporary = folder / f".{path.name}.{os.getpid()}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(json.dumps(body, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def read_key(path: Path) -> EpochKey:
    """Read one key. Raises: CoinError if the file holds no key, or its commitment is another key's."""
    try:
        document = json.loads(path.read_bytes())
        key = EpochKey(str(document["epoch"]), bytes.fromhex(document["key"]), str(document["made"]))
        commitment = document["commitment"]
    except OSError as why:
        raise CoinError(f"{path}: the coin's key cannot be read: {why.strerror}") from why
    except (ValueError, KeyError, TypeError, RecursionError) as why:
        raise CoinError(
            f"{path}: holds no key of a coin; `stillwatch coin new-key` makes one, and the old ones stay"
        ) from why
    if len(key.secret) != KEY_BYTES or not _EPOCH.fullmatch(key.epoch) or key.commitment != commitment:
        raise CoinError(
            f"{path}: the key does not fit its commitment: the file was changed; put back the old"
        )
    return key


def read_keys(folder: Path) -> dict[str, EpochKey]:
    """Read every key of a folder, by commitment; or the one key of a file. Raises: CoinError."""
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else [folder]
    if not paths or not paths[0].exists():
        raise CoinError(f"{folder}: there is no key of a coin; `stillwatch coin new-key` makes one")
    return {key.commitment: key for key in map(read_key, paths)}


def current(folder: Path) -> EpochKey | None:
    """Return the key for throwing coins now: the latest one; None if there is none. Raises: CoinError."""
    if not folder.is_dir() or not any(folder.glob("*.json")):
        return None
    return max(read_keys(folder).values(), key=lambda key: (key.made, key.epoch))
