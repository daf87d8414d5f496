"""What an outsider needs to check single records of a ledger: leaves, openings, inclusion, seals.

A record's opening is its text with a secret of its own; its leaf holds the hash of that. Showing one opening
tells nothing of any other record. The tree over the leaves is RFC 6962's (2.1), so is every proof. This file
travels in every proof's bundle as it is.

Source: RFC 6962, 2.1; RFC 9162, 2.1.3.2 and 2.1.4.2 for checking; RFC 2104 for the records' secrets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SEAL, WITNESS = "stillwatch seal 2", "stillwatch witness 1"
SEALS = ("stillwatch seal 1", SEAL)  # before 2026-12 a seal counted no account's coins
ENDS = 8  # where the coins of an actor may end: at an eighth, two eighths, ... of the most that are tested
_OPENING, _ACTOR = b"stillwatch.coin.opening.1\n", b"stillwatch.coin.actor.1\n"
_TAG = b"stillwatch.coin.tag.1\n"
_SEAL, _WITNESS = b"stillwatch.coin.seal.1\n", b"stillwatch.coin.witness.1\n"
BESIDE = ("sealed", "open", "prev", "hash")  # of a ledger's line: not in its leaf


def canonical(content: Any) -> bytes:
    """The one way to write what is hashed or signed."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def commitment(opening: str) -> str:
    """The hash of an opening, as the record's leaf holds it."""
    return hashlib.sha256(_OPENING + opening.encode("ascii")).hexdigest()


def leaf_of(line: Mapping[str, Any]) -> str:
    """What of a ledger's line is in the tree: all but its texts and its place in the chain."""
    return canonical({name: value for name, value in line.items() if name not in BESIDE}).decode("ascii")


def coin_of(secret: str) -> int:
    """The coin of a record, from the secret in its opening."""
    return bytes.fromhex(secret)[0] & 1


# --- the tree ---


def leaf_hash(leaf: str) -> bytes:
    return hashlib.sha256(b"\0" + leaf.encode("ascii")).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _split(n: int) -> int:
    """The largest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def levels(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """Every level of the tree, the leaves first; a node without a sibling goes up as it is.

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
    """The tree's head; of no leaves, the hash of nothing."""
    return levels(hashes)[-1][0].hex() if hashes else hashlib.sha256().hexdigest()


def path(tree: Sequence[Sequence[bytes]], index: int) -> list[str]:
    """The hashes that lead from a leaf to the head, of all `levels`."""
    path = []
    for level in tree[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling].hex())
        index >>= 1
    return path


def _hash(text: str) -> bytes:
    """Read a hash, which is written in one way. Raises: ValueError."""
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError("a hash is written in another than the one way")
    return data


def leads_to(index: int, size: int, leaf: bytes, way: Sequence[str]) -> str:
    """The head that a leaf and its path lead to. Raises: ValueError for a path of another length."""
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
    """What shows that the first `size` leaves are those of an earlier head (RFC 6962, 2.1.2)."""

    def sub(m: int, low: int, high: int, whole: bool) -> list[str]:
        if m == high - low:
            return [] if whole else [root(hashes[low:high])]
        k = _split(high - low)
        if m <= k:
            return [*sub(m, low, low + k, whole), root(hashes[low + k : high])]
        return [*sub(m - k, low + k, high, False), root(hashes[low : low + k])]

    return sub(size, 0, len(hashes), True) if 0 < size < len(hashes) else []


def grew(size: int, head: str, later: int, later_head: str, way: Sequence[str]) -> bool:
    """Whether a later head holds all that an earlier one held, in the same places (RFC 9162, 2.1.4.2)."""
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
    """What a seal holds of an actor: nobody can tell its name, accounts or pairs from it, nor change them."""
    names = ("name", "salt", "accounts", "pairs", "secrets")  # secrets: not in seals of before 2026-12
    opened = {name: actor[name] for name in names if name in actor}
    return hashlib.sha256(_ACTOR + canonical(opened)).hexdigest()


def signed_of_seal(seal: Mapping[str, Any]) -> bytes:
    """What the owner signs."""
    return _SEAL + canonical({name: value for name, value in seal.items() if name != "signature"})


def seal_bytes(seal: Mapping[str, Any]) -> bytes:
    """What a time stamp is over: the whole seal, signed."""
    return canonical(seal)


def seal_digest(seal: Mapping[str, Any]) -> str:
    return hashlib.sha256(seal_bytes(seal)).hexdigest()


def signed_of_witness(word: Mapping[str, Any]) -> bytes:
    """What a witness signs: which seal it was shown, and when."""
    return _WITNESS + canonical({name: value for name, value in word.items() if name != "signature"})


def number_of_tests(chain: Sequence[Mapping[str, Any]], naming: int | None) -> int:
    """How many tests the last seal allows: each actor by each statistic, whether it is ever shown or not.

    naming: the number of the seal that named the actors. Then every actor of every earlier seal could have
    been taken, and its coins could have ended at as many places as were sealed.
    """
    earlier = chain[-1:] if naming is None else chain[:-1]
    actors, test = sum(len(seal["actors"]) for seal in earlier), chain[-1]["test"]
    return actors * len(test["statistics"]) * (1 if naming is None else test.get("ends", ENDS))


def end_of(coins: int, most: int, ends: int = ENDS) -> int:
    """How many of so many coins are tested: the last of the places that `most` and `ends` fixed.

    >>> [end_of(coins, 400) for coins in (49, 50, 149, 400, 9000)]
    [0, 50, 100, 400, 400]
    >>> [end_of(coins, 400, 1) for coins in (399, 400, 9000)]
    [0, 400, 400]
    """
    return most * min(ends, ((coins + 1) * ends - 1) // most) // ends


def open_ledgers(seal: Mapping[str, Any]) -> list[str]:
    """The newest ledger of each worker when a seal was made: the only ones that can grow afterwards.

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
    """An account's name in the ledger, as every throw bears it: nobody can tell the account from it."""
    return hashlib.sha256(_TAG + bytes.fromhex(secret)).hexdigest()[:32]


def tally_leaf(tag: str, coins: int) -> str:
    """A leaf of a seal's tally: how many coins the ledger then had of one account. Leaves lie by tag."""
    return canonical([tag, coins]).decode("ascii")


def coins_in_tally(tag: str, tally: Mapping[str, Any], shown: Sequence[Mapping[str, Any]]) -> int:
    """How many coins of an account a seal counted; 0 where two neighbours show that it has no leaf.

    shown: one leaf, or the neighbours of where it would lie. Raises: ValueError if that shows nothing.
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
    """What the n-th seal of an owner may spend of alpha: all seals together never spend more than alpha.

    >>> abs(sum(share_of_alpha(n) for n in range(1, 100_000)) - 1) < 1e-4
    True
    """
    return 1 / (number * (number + 1))


def in_order(pairs: Iterable[str], number: int) -> list[str]:
    """Pairs in the order that a seal's number gives: by hash, known before anything is asked."""
    return sorted(pairs, key=lambda pair: hashlib.sha256(f"{number}\n{pair}".encode()).digest())
