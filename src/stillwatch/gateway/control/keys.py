"""Client keys and the admin token: their format, and the digest that is stored instead.

A key is `sk-sw-<8 characters: its id>-<40 characters: its secret part>`. The id may be shown and logged, the
secret part is shown once, when the key is issued. 40 of 62 characters are 238 bits: no salt and no slow hash
is needed, and neither would be affordable at every request.
"""

import hashlib
import hmac
import re
import secrets
import string
from functools import lru_cache

from stillwatch.gateway.folder import derive

PREFIX = "sk-sw-"
ID_CHARACTERS, SECRET_CHARACTERS = 8, 40
ADMIN_PREFIX = "sw-admin-"
METRICS_PREFIX = "sw-metrics-"
_LETTERS = string.ascii_letters + string.digits
_ID_LETTERS = string.ascii_lowercase + string.digits
_KEY = re.compile(rf"{PREFIX}([a-z0-9]{{{ID_CHARACTERS}}})-([A-Za-z0-9]{{{SECRET_CHARACTERS}}})", re.ASCII)


def parse(key: str) -> tuple[str, str] | None:
    """Split a client key into its id and its secret part; None if it is not a Stillwatch key.

    >>> parse("sk-sw-abcd1234-" + "x" * 40)[0]
    'abcd1234'
    >>> parse("sk-proj-abcd") is None
    True
    """
    matched = _KEY.fullmatch(key)
    return None if matched is None else (matched[1], matched[2])


def digest(secret_part: str, secret: bytes) -> bytes:
    """Return (32,) bytes: the stored digest of a key. Compare with `hmac.compare_digest`."""
    return hashlib.blake2b(secret_part.encode(), key=_client_key(secret), digest_size=32).digest()


@lru_cache(maxsize=4)
def _client_key(secret: bytes) -> bytes:
    return derive(secret, b"client-keys")


def new_key() -> tuple[str, str, str]:
    """Create a key: return the whole key, its id, its secret part."""
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(ID_CHARACTERS))
    part = "".join(secrets.choice(_LETTERS) for _ in range(SECRET_CHARACTERS))
    return f"{PREFIX}{key_id}-{part}", key_id, part


def new_token(prefix: str) -> str:
    """Create a token: `ADMIN_PREFIX` for the admin port, `METRICS_PREFIX` for one that only reads metrics."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(SECRET_CHARACTERS))


def admin_digest(token: str, secret: bytes) -> bytes:
    """Return (32,) bytes: the stored digest of the admin token."""
    return hashlib.blake2b(token.encode(), key=derive(secret, b"admin-token"), digest_size=32).digest()


def same(a: bytes, b: bytes) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(a, b)
