"""The checker's own Ed25519: RFC 8032's vectors, and the same answers as an established library."""

import random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.cases.bundle.verify import L, P, is_signed

# RFC 8032, section 7.1: public key, message, signature
VECTORS = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_rfc_8032(key: str, message: str, signature: str) -> None:
    raw = bytes.fromhex(signature)
    assert is_signed(bytes.fromhex(key), raw, bytes.fromhex(message))
    assert not is_signed(bytes.fromhex(key), raw, bytes.fromhex(message) + b"\0")
    high = int.from_bytes(raw[32:], "little") + L  # the same number plus the group order: must be refused
    assert not is_signed(bytes.fromhex(key), raw[:32] + high.to_bytes(32, "little"), bytes.fromhex(message))


@pytest.mark.slow
def test_it_agrees_with_cryptography_on_good_and_on_changed_signatures() -> None:
    rng = random.Random(3)
    for _ in range(24):
        private = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        message = rng.randbytes(rng.randrange(200))
        key, signature = private.public_key().public_bytes_raw(), private.sign(message)
        assert is_signed(key, signature, message)
        parts = [bytearray(key), bytearray(signature), bytearray(message or b"x")]
        part = rng.choice(parts)
        part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
        changed = tuple(bytes(one) for one in parts)
        assert is_signed(*changed) == _theirs(*changed)


def _theirs(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize("key", [b"", b"\0" * 31, b"\xff" * 32, P.to_bytes(32, "little")])
def test_what_is_no_key_signs_nothing(key: bytes) -> None:
    assert not is_signed(key, b"\0" * 64, b"")
    assert not is_signed(bytes.fromhex(VECTORS[0][0]), key, b"")
