"""Encrypts the secrets of authenticator apps under a key that is not in the database.

The key comes from a file beside the audit key: `second-factor.key`, created with the first second factor, or
else a gateway's `secret`, which all of a fleet share. Each secret is bound to its user's name. With the
database alone one can compute no code, and writing to it cannot assign one user another's authenticator.
"""

import base64
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, select

from stillwatch.cases import MACHINE
from stillwatch.cases.audit.erasure import scrub
from stillwatch.cases.audit.trail import Audit
from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError
from stillwatch.console.migrations import second_factors
from stillwatch.errors import refuse_os_errors
from stillwatch.new_file import sync_folder, write_new_file

FILE, GATEWAY_FILE = "second-factor.key", "secret"
KEY_BYTES, NONCE_BYTES = 32, 12
PURPOSE = b"stillwatch second factors"
MARK = "sealed:"  # Base32 has no lower-case letters and no colon
WAYS_ON = "put the one back that was there, use a recovery code, or have the second factor reset"


@dataclass(frozen=True)
class FactorSeal:
    """A key in memory, and the file that it comes from."""

    key: bytes
    file: Path

    def seal(self, secret: str, name: str) -> str:
        """Return a user's secret (Base32) in its stored form."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + ChaCha20Poly1305(self.key).encrypt(nonce, secret.encode("ascii"), _bound_to(name))
        return MARK + base64.b64encode(sealed).decode("ascii")

    def unseal(self, stored: str, name: str) -> str:
        """Return a user's secret. Raises: ConsoleError if another key or another user's name sealed it."""
        try:
            raw = base64.b64decode(stored.removeprefix(MARK), validate=True)
            cipher = ChaCha20Poly1305(self.key)
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound_to(name)).decode("ascii")
        except (InvalidTag, ValueError):
            raise ConsoleError(
                f"{self.file}: is not the key of this authenticator's secret: {WAYS_ON}"
            ) from None


def open_seal(store: Store, *, make: bool = False) -> FactorSeal:
    """Read the key of a store's second factors. make: create it if there is none and nothing is sealed.

    Raises: ConsoleError if it can be neither read nor created.
    """
    if not isinstance(store.trail, Audit):
        raise ConsoleError("a second factor needs the audit trail: its key lies beside that of the trail")
    file_of_trail = store.trail.key_file.with_name(FILE)
    shared = file_of_trail.with_name(GATEWAY_FILE)
    with refuse_os_errors(
        ConsoleError, f"{file_of_trail}: the key of second factors can be neither read nor made"
    ):
        if not file_of_trail.exists() and not shared.exists() and make and not _is_any_sealed(store):
            _write_key(file_of_trail)
        file = shared if shared.exists() and not file_of_trail.exists() else file_of_trail
        if not file.exists():
            raise ConsoleError(f"{file}: is not there, the key of all authenticators: {WAYS_ON}")
        stored = file.read_bytes()
    if len(stored) != KEY_BYTES:
        raise ConsoleError(f"{file}: holds {len(stored)} bytes, not {KEY_BYTES}: {WAYS_ON}")
    return FactorSeal(HKDF(SHA256(), 32, None, PURPOSE).derive(stored), file)


def seal_stored(store: Store, now_us: int) -> None:
    """Seal the secrets that an older version stored in plain text. Raises: ConsoleError."""
    plain = ~second_factors.c.secret.startswith(MARK)
    with store.reading() as db:
        if db.execute(select(second_factors.c.name).where(plain).limit(1)).first() is None:
            return
    seal, lite = open_seal(store, make=True), store.engine.dialect.name == "sqlite"
    with store.writing(now_us) as tx:
        if lite:  # overwritten data leaves no trace in the file
            tx.db.exec_driver_sql("PRAGMA secure_delete = ON")
        rows = [dict(row) for row in tx.db.execute(select(second_factors)).mappings()]
        sealed = [row["name"] for row in rows if not row["secret"].startswith(MARK)]
        for row in rows:
            if row["name"] in sealed:
                row["secret"] = seal.seal(row["secret"], row["name"])
        tx.db.execute(delete(second_factors))  # not an update, since pages keep earlier rows
        tx.db.execute(second_factors.insert(), rows)
        tx.audit(MACHINE, "second factors sealed", "console", {"users": len(sealed)})
    scrub(store.engine, second_factors.name)


def _is_any_sealed(store: Store) -> bool:
    c = second_factors.c
    with store.reading() as db:
        return db.execute(select(c.name).where(c.secret.startswith(MARK)).limit(1)).first() is not None


def _write_key(path: Path) -> None:
    """Write a key atomically; if two processes create one at once, the first one stays."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_new_file(beside, secrets.token_bytes(KEY_BYTES))
    try:
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink()
    sync_folder(path.parent)


def _bound_to(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
