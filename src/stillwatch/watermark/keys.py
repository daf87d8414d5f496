"""The owner's key in a file, and the actors' keys derived from it."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from stillwatch.errors import refuse_os_errors
from stillwatch.new_file import write_new_file
from stillwatch.watermark import MOST_KEYS, STRONGEST, WINDOW, Mark, MarkError
from stillwatch.watermark.formula import actor_key, commitment


def make_owner_key(path: Path) -> str:
    """Create a random key in a new file, readable only by its owner; return its commitment, to be published.

    Raises: MarkError if the file exists: a key that was in use is evidence and stays.
    """
    key = secrets.token_bytes(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new_file(path, f"{key.hex()}\n".encode("ascii"))
    except FileExistsError:
        raise MarkError(f"{path}: is there already; a key that marks were made with stays") from None
    except OSError as why:
        raise MarkError(f"{path}: the key cannot be written: {why.strerror}") from why
    return commitment(key)


def read_owner_key(path: Path) -> bytes:
    """Read the owner's key. Raises: MarkError."""
    with refuse_os_errors(MarkError, f"{path}: the owner's key cannot be read"):
        text = path.read_bytes()
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise MarkError(f"{path}: holds no owner's key, 64 hex digits; `stillwatch prove mark-key` makes one")
    return key


def mark_of(
    owner: bytes, actor: str, window: int = WINDOW, strength: float = STRONGEST, keys: int = 1
) -> Mark:
    """Return an actor's mark, with a number of keys. Raises: MarkError."""
    if not actor:
        raise MarkError("an actor without a name has no mark")
    if not 1 <= keys <= MOST_KEYS:
        raise MarkError(f"an actor has 1 to {MOST_KEYS} keys, not {keys}")
    first, *more = (actor_key(owner, actor, number=k) for k in range(keys))
    return Mark(actor, first, window, strength, tuple(more))


@dataclass(frozen=True)
class Owner:
    """The owner's key, with the strength and number of keys that mark an actor."""

    key: bytes
    window: int = WINDOW
    strength: float = STRONGEST
    keys: int = 1

    def mark(self, actor: str) -> Mark:
        """Return an actor's mark. Raises: MarkError."""
        return mark_of(self.key, actor, self.window, self.strength, self.keys)
