"""Seals: what an owner fixes before any suspect exists, so that others can hold the owner to it.

A seal holds the coin's commitments, the head of every ledger, each actor with its accounts and pairs as a
commitment, statistics, base, alpha, effect, the rule of exclusion, and the owner's statement on its own
training. It names actors for the coins to come, and closes the coins of those that earlier seals named. Its
tally gives, under a tag, how many coins each account had. Names, accounts, pairs and salts stay with the
owner, in a private file beside it.

Blind to: an owner who keeps two ledgers under two keys and shows the luckier one. A witness who is shown
every seal of a key refuses a second one of the same number; nobody can see a key that was never shown.
"""

import base64
import bisect
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from stillwatch.cases.audit.signing import TrailSigner, is_signed
from stillwatch.coin import LedgerRecord, Pair, Throw, openings
from stillwatch.coin.keys import EpochKey
from stillwatch.coin.verify import Verified, coins_by_tag, line_at, trees
from stillwatch.errors import refuse_os_errors
from stillwatch.new_file import write_new_file
from stillwatch.prove import ProveError
from stillwatch.prove.coin import PLACES
from stillwatch.prove.coin.actors import ActorOf
from stillwatch.prove.coin.choosing import LEAST
from stillwatch.prove.coin.leans import RATIO, STATISTICS
from stillwatch.prove.proof import EXCLUSION, when

LARGEST = 256 << 20
LATEST_US = 1 << 62
TRAINING = ("excluded", "none", "not said")  # whether paired answers are in the owner's own training
PRIVATE, STAMP = ".private.json", ".tsr"
DELAY_H = 1  # hours in which a third party has to date a seal, before its actors' coins count


@dataclass(frozen=True)
class SealedTest:
    """What a seal fixes about the test.

    Raises: ProveError for settings that leave it open.
    """

    statistics: tuple[str, ...]
    base: str  # a base's name, or "none"
    alpha: float
    effect: float
    samples: int
    most: int
    places: int = PLACES
    ends: int = openings.ENDS  # number of places where the coins of an actor may end; each counts as a test

    def __post_init__(self) -> None:
        unknown = sorted(set(self.statistics) - set(STATISTICS))
        if unknown or not self.statistics:
            raise ProveError(f"statistic {', '.join(unknown) or 'none'}: give {', '.join(STATISTICS)}")
        if RATIO in self.statistics and self.base == "none":
            raise ProveError(f"statistic {RATIO}: needs a base; give --base")
        fewest = min(self.samples, self.places, self.ends)
        if not 0 < self.alpha < 0.5 or not self.effect > 0 or fewest < 1 or self.most < LEAST:
            raise ProveError(
                "a seal needs alpha in (0, .5), an effect above 0, samples, places and ends of 1 or more, "
                f"{LEAST} pairs or more"
            )


@dataclass(frozen=True)
class TrainingStatement:
    """The owner's statement on its own training."""

    coined_answers: str
    excluded_sha256: str | None = None  # of the list of hashes that training leaves out (`coin exclude`)
    excluded: int = 0


@dataclass(frozen=True)
class Sealed:
    """A seal with the owner's private data."""

    path: Path
    seal: dict[str, Any]
    chain: tuple[dict[str, Any], ...]  # every seal up to this one, this one last
    actors: tuple[dict[str, Any], ...]  # name, salt, accounts, pairs, secrets
    naming: int | None = None  # the number of the earlier seal that named the actors

    @property
    def digest(self) -> str:
        return openings.seal_digest(self.seal)

    @property
    def naming_path(self) -> Path:
        """The file of the seal that named the actors."""
        return self.path.with_name(f"{self.naming:04d}.json")

    @property
    def tests(self) -> float:
        """Factor by which a p-value is multiplied: all tests that could have been made, over all seals."""
        share = openings.share_of_alpha(self.seal["number"])
        return openings.number_of_tests(self.chain, self.naming) / share


@dataclass(frozen=True)
class SealedCoins:
    """The coins of sealed actors by name, and which coins of each are shown and which are tested."""

    pairs: dict[str, Pair]
    throws: dict[str, Throw]
    shown: dict[str, list[str]]  # by actor
    tested: dict[str, list[str]]  # by actor, in the order of testing, ties too


def sealed_coins(sealed: Sealed, coins: Iterable[Pair | Throw], ledger: Path) -> SealedCoins:
    """Gather the coins of the sealed actors. Raises: ProveError."""
    if not sealed.naming:
        return _coins_before(sealed, coins)
    lines = [json.loads(line.leaf) for line in last_lines(sealed, ledger)]
    return _coins_after(sealed, coins, min(map(whole_until_us, lines)))


def _coins_before(sealed: Sealed, coins: Iterable[Pair | Throw]) -> SealedCoins:
    """Return the coins that the seal lists: they were thrown before it."""
    shown = {actor["name"]: list(actor["pairs"]) for actor in sealed.actors}
    wanted = {name for names in shown.values() for name in names}
    found = SealedCoins(
        {}, {}, shown, {name: ids[: sealed.seal["test"]["most"]] for name, ids in shown.items()}
    )
    for coin in coins:
        if coin.id in wanted:
            _add(found, coin)
    lost = sorted(wanted - found.pairs.keys() - found.throws.keys())
    if lost:
        raise ProveError(f"{lost[0]} and {len(lost) - 1} more sealed coins are not in the ledger any more")
    return found


def _coins_after(sealed: Sealed, coins: Iterable[Pair | Throw], until_us: int) -> SealedCoins:
    """Return the coins thrown between the seal that named the actors and this one, the earliest first.

    Only coins in ledgers that were open then are tested: others could have been thrown away.
    """
    naming = sealed.chain[(sealed.naming or 0) - 1]
    begun, ended = (
        {head["ledger"]: head["size"] for head in seal["heads"]} for seal in (naming, sealed.seal)
    )
    owner = {account: actor["name"] for actor in sealed.actors for account in actor["accounts"]}
    found = SealedCoins({}, {}, {actor["name"]: [] for actor in sealed.actors}, {})
    for coin in coins:
        between = begun.get(coin.ledger, 0) <= coin.index < ended.get(coin.ledger, 0)
        if isinstance(coin, Throw) and between and coin.account in owner:
            found.shown[owner[coin.account]].append(coin.id)
            _add(found, coin)
        elif isinstance(coin, Pair) and between and coin.id in found.throws:
            _add(found, coin)
    since_us = round(when(naming["coins_from"]).timestamp() * 1e6)
    opened, test = openings.open_ledgers(naming), sealed.seal["test"]
    for name, ids in found.shown.items():
        throws = [found.throws[one] for one in ids if found.throws[one].ledger in opened]
        throws = [one for one in throws if since_us <= one.at_us < until_us]
        throws.sort(key=lambda one: (one.at_us, one.ledger, one.number))
        end = openings.end_of(len(throws), test["most"], test.get("ends", openings.ENDS))
        found.tested[name] = [one.id for one in throws[:end]]
    return found


def _add(found: SealedCoins, coin: Pair | Throw) -> None:
    if isinstance(coin, Pair):
        found.pairs[coin.id] = coin
    else:
        found.throws[coin.id] = coin


def hashes_of(pairs: Iterable[Pair]) -> list[str]:
    """Return the SHA-256 of every paired answer, served or not; the owner's training leaves these out."""
    found = {
        hashlib.sha256(normal(answer.text).encode("utf-8", "surrogatepass")).hexdigest()
        for pair in pairs
        for answer in pair.answers
    }
    return sorted(found)


def normal(text: str) -> str:
    """Normalise a text for hashing: runs of white space become one space, none at the ends.

    >>> normal(" two  words\\n")
    'two words'
    """
    return " ".join(text.split())


def actors_of(
    coins: Iterable[Pair | Throw],
    actor_of: ActorOf,
    number: int,
    most: int,
    accounts_named: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return every actor with its accounts and coins, in the order of testing. Raises: ProveError.

    All of its coins are listed: one without a pair of answers counts against. Ledgers from before 2026-11-29
    do not record whose such a coin was: there its pairs are listed, `most` of them. accounts_named: accounts
    to actors, whether they have coins already or not.
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
    for account, name in (accounts_named or {}).items():
        accounts.setdefault(name, set()).add(account)
    found = [
        {
            "name": name, "salt": secrets.token_hex(16), "accounts": sorted(accounts[name]),
            "pairs": openings.in_order(thrown.get(name, ()), number) if thrown
            else openings.in_order(mine.get(name, ()), number)[:most],
        }
        for name in sorted(accounts)
        if name in (accounts_named or {}).values()
        or len(mine.get(name, set()) & thrown.get(name, set()) if thrown else mine.get(name, ())) >= LEAST
    ]  # fmt: skip
    if not found:
        raise ProveError(
            f"no actor is named, and none has {LEAST} pairs with two different answers: there is nothing to "
            "seal"
        )
    return found


def make(
    folder: Path, ledger: Path, verified: Verified, keys: Sequence[Mapping[str, str]],
    coins: Iterable[Pair | Throw], actor_of: ActorOf, test: SealedTest, training: TrainingStatement,
    signer: TrailSigner, at: str, *, key: EpochKey | None = None,
    accounts_named: Mapping[str, str] | None = None, coins_from: str | None = None,
) -> Sealed:  # fmt: skip
    """Write the next seal into a folder of seals. Raises: ProveError.

    key: with which coins are thrown now; without it no later seal can test these actors. accounts_named:
    accounts to actors, whether they have coins or not. coins_from: when the coins of these actors begin to
    count; a third party has to have dated the seal by then.
    """
    before = chain_in(folder)
    number = len(before) + 1
    if before and before[-1]["owner"] != signer.key:
        raise ProveError(f"{folder}: its seals are signed by {before[-1]['owner']}, not by this key")
    heads = [{"ledger": h.ledger, "size": h.records + 1, "root": h.root} for h in verified.heads]
    gone = {h["ledger"] for seal in before[-1:] for h in seal["heads"]} - {h["ledger"] for h in heads}
    if gone:
        raise ProveError(f"{ledger}: {min(gone)}, which was sealed before, is not there any more")
    sizes = {head.ledger: head.records + 1 for head in verified.heads}
    below = (coin for coin in coins if coin.index < sizes.get(coin.ledger, 0))  # the gateway is still writing
    actors = actors_of(below, actor_of, number, test.most, accounts_named)
    if key is not None:
        for actor in actors:
            actor["secrets"] = [key.secret_of_account(account) for account in actor["accounts"]]
    counted, untagged = coins_by_tag(ledger, sizes)
    document: dict[str, Any] = {
        "kind": openings.SEAL, "number": number, "owner": signer.key, "at": at,
        "before": openings.seal_digest(before[-1]) if before else None,
        "keys": [dict(key) for key in keys], "heads": heads,
        "test": {**vars(test), "statistics": list(test.statistics), "exclusion": EXCLUSION},
        "actors": sorted(openings.actor_commitment(actor) for actor in actors),
        "own_training": vars(training),
        "tally": {"accounts": len(counted), "root": openings.root(_tally(counted)), "untagged": untagged},
        "coins_from": coins_from or (when(at) + timedelta(hours=DELAY_H)).isoformat(),
    }  # fmt: skip
    seal = document | {"signature": signer.sign(openings.signed_of_seal(document))}
    path = folder / f"{number:04d}.json"
    _write(path, openings.seal_bytes(seal), 0o644)
    private = {"seal": openings.seal_digest(seal), "actors": actors}
    _write(path.with_suffix(PRIVATE), json.dumps(private).encode("ascii"), 0o600)
    return Sealed(path, seal, (*before, seal), tuple(actors))


def _tally(counted: Mapping[str, int]) -> list[bytes]:
    return [openings.leaf_hash(openings.tally_leaf(*one)) for one in sorted(counted.items())]


def tallies(sealed: Sealed, ledger: Path) -> list[dict[str, list[dict[str, Any]]]]:
    """Return evidence of how many coins each account had, at the seal that named it and at this one.

    Raises: CoinError.
    """
    tags = [openings.tag_of(secret) for actor in sealed.actors for secret in actor.get("secrets", ())]
    found = []
    for seal in (sealed.chain[(sealed.naming or 0) - 1], sealed.seal):
        counted, _ = coins_by_tag(ledger, {head["ledger"]: head["size"] for head in seal["heads"]})
        leaves, tree = sorted(counted.items()), openings.levels(_tally(counted))
        found.append({tag: _beside(tag, leaves, tree) for tag in tags})
    return found


def _beside(
    tag: str, leaves: Sequence[tuple[str, int]], tree: Sequence[Sequence[bytes]]
) -> list[dict[str, Any]]:
    """Return a tag's leaf with its path, or if it is absent the two leaves between which it would lie."""
    at = bisect.bisect_left(leaves, (tag, 0))
    there = at < len(leaves) and leaves[at][0] == tag
    return [
        {"index": k, "tag": leaves[k][0], "coins": leaves[k][1], "path": openings.path(tree, k)}
        for k in ((at,) if there else (at - 1, at))
        if 0 <= k < len(leaves)
    ]


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new_file(path, data, mode)
    except FileExistsError:
        raise ProveError(f"{path}: is there already; a seal is never replaced") from None
    except OSError as why:
        raise ProveError(f"{path}: cannot be written: {why.strerror}") from why


def chain_in(folder: Path) -> list[dict[str, Any]]:
    """The seals of a folder, in order. Raises: ProveError if one is missing."""
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


def _document_of_kind(path: Path, kinds: Sequence[str], what: str) -> dict[str, Any]:
    document = _document(path)
    if not isinstance(document, dict) or document.get("kind") not in kinds:
        raise ProveError(f"{path}: is no {what}")
    return dict(document)


def read_seal(path: Path) -> dict[str, Any]:
    """Read a seal and check its signature. Raises: ProveError."""
    seal_document = _document_of_kind(path, openings.SEALS, "seal; `stillwatch coin seal` makes one")
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


def with_actors_of(sealed: Sealed, number: int) -> Sealed:
    """Return a seal with the actors that an earlier one named, before their coins. Raises: ProveError."""
    if not 1 <= number < sealed.seal["number"]:
        raise ProveError(
            f"seal {number}: give one from 1 to {sealed.seal['number'] - 1}, before {sealed.path}"
        )
    named = replace(sealed, naming=number)
    earlier = read(named.naming_path)
    if earlier.seal["kind"] != openings.SEAL or any("secrets" not in actor for actor in earlier.actors):
        raise ProveError(
            f"{earlier.path}: counts no account's coins, so that nobody sees where those of its actors end; "
            "seal once more, and let coins fall"
        )
    return replace(named, actors=earlier.actors)


def consistencies(chain: Sequence[Mapping[str, Any]], ledger: Path) -> list[dict[str, Any]]:
    """Return the evidence that each sealed ledger only grew from seal to seal. Raises: CoinError."""
    leaves, found = trees(ledger), []
    for k, seal in enumerate(chain[:-1], 1):
        later = {head["ledger"]: head["size"] for head in chain[k]["heads"]}
        for head in seal["heads"]:
            hashes = leaves[head["ledger"]][: later[head["ledger"]]]
            way = openings.consistency(hashes, head["size"])
            found.append({"from": k, "ledger": head["ledger"], "path": way})
    return found


def last_lines(sealed: Sealed, ledger: Path) -> list[LedgerRecord]:
    """Return the last sealed line of each ledger that was open at the naming. Raises: CoinError."""
    sizes = {head["ledger"]: head["size"] for head in sealed.seal["heads"]}
    opened = openings.open_ledgers(sealed.chain[(sealed.naming or 0) - 1])
    return [line_at(ledger, name, sizes[name] - 1) for name in opened]


def whole_until_us(line: Mapping[str, Any]) -> int:
    """Return the time up to which a ledger is complete, by its last line; a closed ledger holds all."""
    return LATEST_US if line["kind"] == "close" else round(when(line["at"]).timestamp() * 1e6)


def records_of(coins: Iterable[LedgerRecord], seal: Mapping[str, Any], ledger: Path) -> list[dict[str, Any]]:
    """Return pairs and throws as a proof holds them: leaf, opening and path to the sealed head.

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
    """Return the time stamp beside a seal, in base64. Raises: ProveError if it cannot be read."""
    place = path.with_suffix(STAMP)
    with refuse_os_errors(ProveError, f"{place}: cannot be read"):
        return base64.b64encode(place.read_bytes()).decode("ascii") if place.exists() else None


# --- a witness ---


def witness(path: Path, kept: Path, signer: TrailSigner, at: str) -> dict[str, Any]:
    """Sign a statement that a seal was shown, and store it. Raises: ProveError if it contradicts a stored
    one.

    kept: the witness's folder, one file per seal. It exists to notice two seals of one number and key.
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
    """Read a witness's signed statement. Raises: ProveError."""
    word = _document_of_kind(path, [openings.WITNESS], "witness's word; `stillwatch coin witness` makes one")
    if not is_signed(str(word.get("witness")), str(word.get("signature")), openings.signed_of_witness(word)):
        raise ProveError(f"{path}: is not signed by the witness it names, or was changed since")
    return word
