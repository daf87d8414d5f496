"""What an outsider needs to check single records of a ledger: leaves, openings, inclusion, seals.

A record's opening is its text with a secret of its own; its leaf holds the hash of the opening. One opening
reveals nothing about other records. The tree over the leaves, and every proof, is RFC 6962's (2.1). This file
travels unchanged in every proof's bundle.

Source: RFC 6962, 2.1; RFC 9162, 2.1.3.2 and 2.1.4.2 for checking; RFC 2104 for the records' secrets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SEAL, WITNESS = "stillwatch seal 2", "stillwatch witness 1"
SEALS = ("stillwatch seal 1", SEAL)  # before 2026-12 seals did not count accounts' coins
ENDS = 8  # places where an actor's coins may end: at an eighth, two eighths, ... of the most that are tested
_OPENING, _ACTOR = b"stillwatch.coin.opening.1\n", b"stillwatch.coin.actor.1\n"
_TAG = b"stillwatch.coin.tag.1\n"
_SEAL, _WITNESS = b"stillwatch.coin.seal.1\n", b"stillwatch.coin.witness.1\n"
BESIDE = ("sealed", "open", "prev", "hash")  # fields of a ledger's line that are not in its leaf


def canonical(content: Any) -> bytes:
    """Encode what is hashed or signed, in its only valid form."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def commitment(opening: str) -> str:
    """Return the hash of an opening, as in the record's leaf."""
    return hashlib.sha256(_OPENING + opening.encode("ascii")).hexdigest()


def leaf_of(line: Mapping[str, Any]) -> str:
    """Return the part of a ledger's line that is in the tree: all but texts and place in the chain."""
    return canonical({name: value for name, value in line.items() if name not in BESIDE}).decode("ascii")


def coin_of(secret: str) -> int:
    """Return the coin of a record, from the secret in its opening."""
    return bytes.fromhex(secret)[0] & 1


# --- the tree ---


def leaf_hash(leaf: str) -> bytes:
    return hashlib.sha256(b"\0" + leaf.encode("ascii")).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _split(n: int) -> int:
    """Return the largest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def levels(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """Return every level of the tree, the leaves first; a node without a sibling moves up unchanged.

    >>> [len(level) for level in levels([bytes(32)] * 5)]
    [5, 3, 2, 1]
    """
    levels = [list(hashes)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [_node(below[k], below[k + 1]) for k in range(0, len(below) - 1, 2)]
        levels.append(above + below[len(below) - len(below) % 2 :])
    return levels


def root(hashes: Sequence[bytes]) -> str:
    """Return the tree's head; without leaves, the hash of nothing."""
    return levels(hashes)[-1][0].hex() if hashes else hashlib.sha256().hexdigest()


def path(tree: Sequence[Sequence[bytes]], index: int) -> list[str]:
    """Return the hashes that lead from a leaf to the head, from all `levels`."""
    path = []
    for level in tree[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling].hex())
        index >>= 1
    return path


def _hash(text: str) -> bytes:
    """Read a hash in its only valid form. Raises: ValueError."""
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError("a hash is written in another than the one way")
    return data


def leads_to(index: int, size: int, leaf: bytes, way: Sequence[str]) -> str:
    """Return the head to which a leaf's path leads. Raises: ValueError for a path of the wrong length."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} of {size}")
    at, last, digest = index, size - 1, leaf
    for sibling in way:
        if last == 0:
            raise ValueError("its path is too long")
        if at & 1 or at == last:
            digest = _node(_hash(sibling), digest)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            digest = _node(digest, _hash(sibling))
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("its path is too short")
    return digest.hex()


def consistency(hashes: Sequence[bytes], size: int) -> list[str]:
    """Return the proof that the first `size` leaves are those of an earlier head (RFC 6962, 2.1.2)."""

    def sub(m: int, low: int, high: int, whole: bool) -> list[str]:
        if m == high - low:
            return [] if whole else [root(hashes[low:high])]
        k = _split(high - low)
        if m <= k:
            return [*sub(m, low, low + k, whole), root(hashes[low + k : high])]
        return [*sub(m - k, low + k, high, False), root(hashes[low : low + k])]

    return sub(size, 0, len(hashes), True) if 0 < size < len(hashes) else []


def grew(size: int, head: str, later: int, later_head: str, way: Sequence[str]) -> bool:
    """Return whether a later head extends an earlier one unchanged (RFC 9162, 2.1.4.2)."""
    if size == later:
        return head == later_head and not way
    if not 0 < size < later or not way:
        return False
    steps = [_hash(step) for step in way]
    if size & (size - 1) == 0:
        steps.insert(0, _hash(head))
    at, last = size - 1, later - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = _node(step, old), _node(step, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = _node(new, step)
        at, last = at >> 1, last >> 1
    return last == 0 and old.hex() == head and new.hex() == later_head


# --- seals ---


def actor_commitment(actor: Mapping[str, Any]) -> str:
    """Return a seal's commitment to an actor: it fixes name, accounts and pairs without revealing them."""
    names = ("name", "salt", "accounts", "pairs", "secrets")  # secrets: not in seals before 2026-12
    opened = {name: actor[name] for name in names if name in actor}
    return hashlib.sha256(_ACTOR + canonical(opened)).hexdigest()


def signed_of_seal(seal: Mapping[str, Any]) -> bytes:
    """Return the bytes that the owner signs."""
    return _SEAL + canonical({name: value for name, value in seal.items() if name != "signature"})


def seal_bytes(seal: Mapping[str, Any]) -> bytes:
    """Return the bytes that are time-stamped: the whole signed seal."""
    return canonical(seal)


def seal_digest(seal: Mapping[str, Any]) -> str:
    return hashlib.sha256(seal_bytes(seal)).hexdigest()


def signed_of_witness(word: Mapping[str, Any]) -> bytes:
    """Return the bytes that a witness signs: which seal it was shown, and when."""
    return _WITNESS + canonical({name: value for name, value in word.items() if name != "signature"})


def number_of_tests(chain: Sequence[Mapping[str, Any]], naming: int | None) -> int:
    """Return how many tests the last seal allows: each actor by each statistic, whether ever shown or not.

    naming: the number of the seal that named the actors. If given, every actor of every earlier seal could
    have been tested, and its coins could have ended at each of the sealed places.
    """
    earlier = chain[-1:] if naming is None else chain[:-1]
    actors, test = sum(len(seal["actors"]) for seal in earlier), chain[-1]["test"]
    return actors * len(test["statistics"]) * (1 if naming is None else test.get("ends", ENDS))


def end_of(coins: int, most: int, ends: int = ENDS) -> int:
    """Return how many coins are tested: up to the last of the places that `most` and `ends` fixed.

    >>> [end_of(coins, 400) for coins in (49, 50, 149, 400, 9000)]
    [0, 50, 100, 400, 400]
    >>> [end_of(coins, 400, 1) for coins in (399, 400, 9000)]
    [0, 400, 400]
    """
    return most * min(ends, ((coins + 1) * ends - 1) // most) // ends


def open_ledgers(seal: Mapping[str, Any]) -> list[str]:
    """Return the newest ledger of each worker when a seal was made: only these can grow afterwards.

    >>> open_ledgers({"heads": [{"ledger": f"w{name}"} for name in ("0-000009", "0-000010", "1-000002")]})
    ['w0-000010', 'w1-000002']
    """
    newest: dict[str, tuple[int, str]] = {}
    for head in seal["heads"]:
        worker, _, number = head["ledger"].rpartition("-")
        newest[worker] = max(newest.get(worker, (0, "")), (len(number), number))
    return [f"{worker}-{number}" for worker, (_, number) in sorted(newest.items())]


# --- the count of each account's coins ---


def tag_of(secret: str) -> str:
    """Return an account's tag, as in every throw of the ledger: it does not reveal the account."""
    return hashlib.sha256(_TAG + bytes.fromhex(secret)).hexdigest()[:32]


def tally_leaf(tag: str, coins: int) -> str:
    """Return a leaf of a seal's tally: the coins of one account in the ledger then. Leaves are sorted."""
    return canonical([tag, coins]).decode("ascii")


def coins_in_tally(tag: str, tally: Mapping[str, Any], shown: Sequence[Mapping[str, Any]]) -> int:
    """Return how many coins of an account a seal counted; 0 if two neighbours show that it has no leaf.

    shown: its leaf, or the neighbours of its place. Raises: ValueError if that proves nothing.
    """
    if type(shown) is not list or len(shown) > 2:
        raise ValueError("a count is shown with more than its leaf, or the two beside it")
    for one in shown:
        plain = type(one["index"]) is int and type(one["coins"]) is int and type(one["path"]) is list
        if set(one) != {"index", "tag", "coins", "path"} or not plain:
            raise ValueError("a count is written in another than the one way")
        leaf = leaf_hash(tally_leaf(one["tag"], one["coins"]))
        if leads_to(one["index"], tally["accounts"], leaf, one["path"]) != tally["root"]:
            raise ValueError("a count is not in the tally that was sealed")
        if one["tag"] == tag and len(shown) == 1:
            return int(one["coins"])
    places = [(one["index"], one["tag"]) for one in shown]
    below = [index for index, other in places if other < tag]
    above = [index for index, other in places if other > tag]
    low, high = max(below, default=-1), min(above, default=tally["accounts"])
    if high != low + 1:
        raise ValueError(
            "an account is said to have no coins, and its neighbours in the tally do not show it"
        )
    return 0


def share_of_alpha(number: int) -> float:
    """Return the part of alpha for an owner's n-th seal: all seals together never exceed alpha.

    >>> abs(sum(share_of_alpha(n) for n in range(1, 100_000)) - 1) < 1e-4
    True
    """
    return 1 / (number * (number + 1))


def in_order(pairs: Iterable[str], number: int) -> list[str]:
    """Return pairs in the order fixed by a seal's number: by hash, known before anything is asked."""
    return sorted(pairs, key=lambda pair: hashlib.sha256(f"{number}\n{pair}".encode()).digest())
