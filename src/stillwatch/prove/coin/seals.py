"""Seals: what an owner fixes before any suspect is there, so that others can hold it to that.

A seal holds the coin's commitments, the head of every ledger, each actor with its accounts and pairs as a
commitment, statistics, base, alpha, effect and the rule of exclusion, and the owner's statement on its own
training. What stays with the owner (names, accounts, pairs, salts) lies in a private file beside it.

Blind to: an owner who keeps two ledgers under two keys and shows the luckier one. A witness who is shown
every seal of a key refuses a second one of the same number; nobody can see a key that was never shown.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.cases.audit.signing import TrailSigner, is_signed
from stillwatch.coin import Pair, Throw, openings
from stillwatch.coin.verify import Verified, trees
from stillwatch.errors import refuse_os_errors
from stillwatch.new_file import write_new_file
from stillwatch.prove import ProveError
from stillwatch.prove.coin import PLACES
from stillwatch.prove.coin.actors import ActorOf
from stillwatch.prove.coin.choosing import LEAST
from stillwatch.prove.coin.leans import RATIO, STATISTICS
from stillwatch.prove.proof import EXCLUSION

LARGEST = 256 << 20
TRAINING = ("excluded", "none", "not said")  # coined answers in the owner's own training
PRIVATE, STAMP = ".private.json", ".tsr"


@dataclass(frozen=True)
class SealedTest:
    """What a seal fixes of the test.

    Raises: ProveError for what fixes nothing.
    """

    statistics: tuple[str, ...]
    base: str  # a base's name, or "none"
    alpha: float
    effect: float
    samples: int
    most: int
    places: int = PLACES

    def __post_init__(self) -> None:
        unknown = sorted(set(self.statistics) - set(STATISTICS))
        if unknown or not self.statistics:
            raise ProveError(f"statistic {', '.join(unknown) or 'none'}: give {', '.join(STATISTICS)}")
        if RATIO in self.statistics and self.base == "none":
            raise ProveError(f"statistic {RATIO}: needs a base; give --base")
        fewest = min(self.samples, self.places)
        if not 0 < self.alpha < 0.5 or not self.effect > 0 or fewest < 1 or self.most < LEAST:
            raise ProveError(
                "a seal needs alpha in (0, .5), an effect above 0, samples and places of 1 or more, "
                f"{LEAST} pairs or more"
            )


@dataclass(frozen=True)
class TrainingStatement:
    """What the owner states of its own training."""

    coined_answers: str
    excluded_sha256: str | None = None  # of the list of hashes that training leaves out (`coin exclude`)
    excluded: int = 0


@dataclass(frozen=True)
class Sealed:
    """A seal with what the owner alone knows of it."""

    path: Path
    seal: dict[str, Any]
    chain: tuple[dict[str, Any], ...]  # every seal up to this one, this one last
    actors: tuple[dict[str, Any], ...]  # name, salt, accounts, pairs

    @property
    def digest(self) -> str:
        return openings.seal_digest(self.seal)


def hashes_of(pairs: Iterable[Pair]) -> list[str]:
    """SHA-256 of every coined answer, served or not: what the owner's own training has to leave out."""
    found = {
        hashlib.sha256(normal(answer.text).encode("utf-8", "surrogatepass")).hexdigest()
        for pair in pairs
        for answer in pair.answers
    }
    return sorted(found)


def normal(text: str) -> str:
    """A text as its hash is taken of: runs of white space are one space, none at the ends.

    >>> normal(" two  words\\n")
    'two words'
    """
    return " ".join(text.split())


def actors_of(
    coins: Iterable[Pair | Throw], actor_of: ActorOf, number: int, most: int
) -> list[dict[str, Any]]:
    """Every actor with its accounts and coins, in the order in which so many are tested. Raises: ProveError.

    All of its coins, whatever came of them: one that has no pair of answers counts against. In ledgers of
    before 2026-11-29 nothing says whose such a coin was: there its pairs are listed, `most` of them.
    """
    mine: dict[str, set[str]] = {}
    thrown: dict[str, set[str]] = {}
    accounts: dict[str, set[str]] = {}
    for pair in coins:
        if isinstance(pair, Throw):
            thrown.setdefault(actor_of(pair), set()).add(pair.id)
            accounts.setdefault(actor_of(pair), set()).add(pair.account)
            continue
        if pair.index < 0 or not pair.opening:
            raise ProveError(
                f"{pair.id}: the ledger is of an older format, whose records cannot be opened one "
                f"by one; its "
                "test stays the owner's word. Let the gateway begin a new ledger: `stillwatch coin new-key`"
            )
        if not pair.tie:
            mine.setdefault(actor_of(pair), set()).add(pair.id)
            accounts.setdefault(actor_of(pair), set()).add(pair.account)
    found = [
        {
            "name": name, "salt": secrets.token_hex(16), "accounts": sorted(accounts[name]),
            "pairs": openings.in_order(thrown[name], number) if thrown
            else openings.in_order(ids, number)[:most],
        }
        for name, ids in sorted(mine.items())
        if len(ids & thrown.get(name, set()) if thrown else ids) >= LEAST
    ]  # fmt: skip
    if not found:
        raise ProveError(f"no actor has {LEAST} pairs with two different answers: there is nothing to seal")
    return found


def make(
    folder: Path, ledger: Path, verified: Verified, keys: Sequence[Mapping[str, str]],
    coins: Iterable[Pair | Throw], actor_of: ActorOf, test: SealedTest, training: TrainingStatement,
    signer: TrailSigner, at: str,
) -> Sealed:  # fmt: skip
    """Seal, as the next one in a folder of seals. Raises: ProveError."""
    before = chain_in(folder)
    number = len(before) + 1
    if before and before[-1]["owner"] != signer.key:
        raise ProveError(f"{folder}: its seals are signed by {before[-1]['owner']}, not by this key")
    heads = [{"ledger": h.ledger, "size": h.records + 1, "root": h.root} for h in verified.heads]
    gone = {h["ledger"] for seal in before[-1:] for h in seal["heads"]} - {h["ledger"] for h in heads}
    if gone:
        raise ProveError(f"{ledger}: {min(gone)}, which was sealed before, is not there any more")
    actors = actors_of(coins, actor_of, number, test.most)
    document: dict[str, Any] = {
        "kind": openings.SEAL, "number": number, "owner": signer.key, "at": at,
        "before": openings.seal_digest(before[-1]) if before else None,
        "keys": [dict(key) for key in keys], "heads": heads,
        "test": {**vars(test), "statistics": list(test.statistics), "exclusion": EXCLUSION},
        "actors": sorted(openings.actor_commitment(actor) for actor in actors),
        "own_training": vars(training),
    }  # fmt: skip
    seal = document | {"signature": signer.sign(openings.signed_of_seal(document))}
    path = folder / f"{number:04d}.json"
    _write(path, openings.seal_bytes(seal), 0o644)
    private = {"seal": openings.seal_digest(seal), "actors": actors}
    _write(path.with_suffix(PRIVATE), json.dumps(private).encode("ascii"), 0o600)
    return Sealed(path, seal, (*before, seal), tuple(actors))


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new_file(path, data, mode)
    except FileExistsError:
        raise ProveError(f"{path}: is there already; a seal is never replaced") from None
    except OSError as why:
        raise ProveError(f"{path}: cannot be written: {why.strerror}") from why


def chain_in(folder: Path) -> list[dict[str, Any]]:
    """The seals of a folder, in order. Raises: ProveError where one is missing."""
    found = [
        read_seal(path) for path in sorted(folder.glob("[0-9]*.json")) if not path.name.endswith(PRIVATE)
    ]
    if [seal["number"] for seal in found] != list(range(1, len(found) + 1)):
        raise ProveError(f"{folder}: its seals are not numbered 1, 2, 3, ...: one is missing")
    return found


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST:
            raise ProveError(f"{path}: is larger than {LARGEST >> 20} MiB")
        return json.loads(path.read_bytes())
    except OSError as why:
        raise ProveError(f"{path}: cannot be read: {why.strerror}") from why
    except (ValueError, RecursionError) as why:
        raise ProveError(f"{path}: is no JSON ({why})") from None


def _document_of_kind(path: Path, kind: str, what: str) -> dict[str, Any]:
    document = _document(path)
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise ProveError(f"{path}: is no {what}")
    return dict(document)


def read_seal(path: Path) -> dict[str, Any]:
    """Read a seal and check its signature. Raises: ProveError."""
    seal_document = _document_of_kind(path, openings.SEAL, "seal; `stillwatch coin seal` makes one")
    if not is_signed(
        str(seal_document.get("owner")),
        str(seal_document.get("signature")),
        openings.signed_of_seal(seal_document),
    ):
        raise ProveError(f"{path}: is not signed by the owner it names, or was changed since")
    return seal_document


def read(path: Path) -> Sealed:
    """Read a seal with the owner's private file beside it. Raises: ProveError."""
    seal = read_seal(path)
    private = _document(path.with_suffix(PRIVATE))
    chain = chain_in(path.parent)[: int(seal["number"])]
    if private.get("seal") != openings.seal_digest(seal) or not chain or chain[-1] != seal:
        raise ProveError(f"{path}: its private file or the seals beside it are of another seal")
    return Sealed(path, seal, tuple(chain), tuple(private["actors"]))


def consistencies(chain: Sequence[Mapping[str, Any]], ledger: Path) -> list[dict[str, Any]]:
    """What shows that each sealed ledger only grew from seal to seal. Raises: CoinError."""
    leaves, found = trees(ledger), []
    for k, seal in enumerate(chain[:-1], 1):
        later = {head["ledger"]: head["size"] for head in chain[k]["heads"]}
        for head in seal["heads"]:
            hashes = leaves[head["ledger"]][: later[head["ledger"]]]
            way = openings.consistency(hashes, head["size"])
            found.append({"from": k, "ledger": head["ledger"], "path": way})
    return found


def records_of(coins: Iterable[Pair | Throw], seal: Mapping[str, Any], ledger: Path) -> list[dict[str, Any]]:
    """Pairs and throws as a proof holds them: leaf, opening and the way to the sealed head.

    Raises: ProveError.
    """
    sizes = {head["ledger"]: head["size"] for head in seal["heads"]}
    built = {
        name: openings.levels(hashes[: sizes[name]])
        for name, hashes in trees(ledger).items()
        if name in sizes
    }
    return [
        {
            "ledger": coin.ledger, "index": coin.index, "leaf": coin.leaf, "opening": coin.opening,
            "path": openings.path(built[coin.ledger], coin.index),
        }
        for coin in coins
    ]  # fmt: skip


def stamp_beside(path: Path) -> str | None:
    """The time stamp beside a seal, base64. Raises: ProveError where it cannot be read."""
    place = path.with_suffix(STAMP)
    with refuse_os_errors(ProveError, f"{place}: cannot be read"):
        return base64.b64encode(place.read_bytes()).decode("ascii") if place.exists() else None


# --- a witness ---


def witness(path: Path, kept: Path, signer: TrailSigner, at: str) -> dict[str, Any]:
    """Sign that a seal was shown, and keep it. Raises: ProveError where it contradicts one that was kept.

    kept: the witness's folder, a file a seal. That a key has two seals of one number is what a witness is
    for.
    """
    seal = read_seal(path)
    if seal["owner"] == signer.key:
        raise ProveError(f"{path}: is of this very key; nobody is witness to himself")
    own_seals = kept / seal["owner"]
    had = {seal_["number"]: seal_ for seal_ in (read_seal(p) for p in sorted(own_seals.glob("*.json")))}
    number = seal["number"]
    same = had.get(number)
    if same is not None and same != seal:
        raise ProveError(
            f"{path}: owner {seal['owner'][:16]}… showed another seal {number} before: two ledgers?"
        )
    before = had.get(number - 1)
    if before is None and number > 1:
        raise ProveError(f"{path}: is seal {number}, and seal {number - 1} was not shown; show all in order")
    if before is not None and seal["before"] != openings.seal_digest(before):
        raise ProveError(f"{path}: does not follow seal {number - 1} that was shown before")
    if same is None:
        _write(own_seals / f"{number:04d}.json", openings.seal_bytes(seal), 0o644)
    word = {"kind": openings.WITNESS, "seal": openings.seal_digest(seal), "at": at, "witness": signer.key}
    return word | {"signature": signer.sign(openings.signed_of_witness(word))}


def read_word(path: Path) -> dict[str, Any]:
    """Read what a witness signed. Raises: ProveError."""
    word = _document_of_kind(path, openings.WITNESS, "witness's word; `stillwatch coin witness` makes one")
    if not is_signed(str(word.get("witness")), str(word.get("signature")), openings.signed_of_witness(word)):
        raise ProveError(f"{path}: is not signed by the witness it names, or was changed since")
    return word
