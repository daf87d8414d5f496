"""The number that a key gives to a token after a context, and the keys. It needs only Python's standard
library.

Generator and detector both call `numbers`; this file travels unchanged in bundles, for the checker.

A token's number is 32 bits of SHAKE128(key, context, block of tokens), read as u in [0, 1). Each pair of
context and token has a number of its own: for a text that does not depend on the key, the u of its distinct
pairs are independent and uniform. Reading the lower edge of each 2^-32 makes a score slightly too small,
never too large.

Source: FIPS 202 (a keyed sponge needs no HMAC); Aaronson 2022 (lecture, Simons Institute) and Kuditipudi et
al. 2023, arXiv:2307.15593, for choosing by u^(1/p); Sander et al. 2024, arXiv:2402.14904, for distinct
k-grams.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from collections.abc import Sequence

BLOCK = 256  # tokens whose numbers are drawn together: a detector needs one block, a generator all
WORDS = 1 << 32
PURPOSES = ("evidence", "public")  # whoever can test with a key can remove the mark


def actor_key(owner: bytes, actor: str, purpose: str = "evidence", number: int = 0) -> bytes:
    """Derive an actor's numbered key; it reveals nothing about the owner's or another one."""
    if purpose not in PURPOSES:
        raise ValueError(f"{purpose!r} is no purpose; there are {', '.join(PURPOSES)}")
    label = f"stillwatch.mark.{f'2.{number}' if number else '1'}\n{purpose}\n{actor}"
    return hmac.new(owner, label.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def commitment(key: bytes) -> str:
    """Return what is published about a key before it is used: its SHA-256, with a prefix of its own."""
    return hashlib.sha256(b"stillwatch.mark.commitment.1\n" + key).hexdigest()


def numbers(key: bytes, context: Sequence[int], block: int) -> bytes:
    """Return the numbers of a block's 256 tokens after a context: four bytes each, little-endian."""
    place = struct.pack(f"<{len(context) + 2}I", len(context), *context, block)
    return hashlib.shake_128(key + place).digest(4 * BLOCK)


def number(key: bytes, context: Sequence[int], token: int) -> float:
    """Return u in [0, 1) of a token after a context."""
    at = 4 * (token % BLOCK)
    return int.from_bytes(numbers(key, context, token // BLOCK)[at : at + 4], "little") / WORDS


def score(key: bytes, context: Sequence[int], token: int) -> float:
    """Return -ln(1 - u) of a token after a context: a unit exponential for text independent of the key.

    >>> round(score(bytes(32), (1, 2), 3), 4) == round(score(bytes(32), (1, 2), 3), 4) > 0
    True
    """
    return -math.log1p(-number(key, context, token))
