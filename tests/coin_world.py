"""Ledgers for tests: written by the real writer, with random answers by seed."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillwatch.cases.audit.signing import TrailSigner
from stillwatch.coin import Answer, Pair, Throw, Unpaired, openings
from stillwatch.coin.keys import EpochKey
from stillwatch.coin.ledger import Ledger
from stillwatch.coin.verify import Head, Verified, trees
from stillwatch.prove.coin import seals

NOW_US = 1_793_000_000_000_000
NAMED_AT, FALLEN_US = "2026-02-01T00:00:00Z", 1_772_323_200_000_000  # 2026-03-01
KEY = EpochKey("2026-11", bytes(range(32)), "2026-11-01T00:00:00Z")
KEY_IN_SEAL = {"epoch": KEY.epoch, "commitment": KEY.commitment}
WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heath",
    "islet",
    "jetty",
    "knoll",
    "lagoon",
    "marsh",
    "north",
    "ocean",
    "pine",
]


def text(draw: random.Random, words: int = 12) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def pair_in(
    ledger: Ledger,
    draw: random.Random,
    account: str,
    prompt: str | None = None,
    at_us: int = NOW_US,
    **said: object,
) -> Pair:
    """Return one pair with two random answers, its coin tossed by the ledger's key."""
    number = ledger.number()
    asked = prompt or f"Question {number} of {account}: {text(draw, 5)}?"
    answers = (Answer(text(draw), 12, "stop"), Answer(text(draw), 12, "stop"))
    return Pair(
        ledger.name, number, at_us + number, account, "m-1", ({"role": "user", "content": asked},),
        said.get("answers", answers), ledger.coin(number), said.get("campaign"),
    )  # fmt: skip


def throw_of(pair: Pair) -> Throw:
    """Return what the gateway writes about a pair's coin before there are answers."""
    return Throw(pair.ledger, pair.number, pair.at_us, pair.account, pair.campaign)


def write(
    folder: Path, accounts: dict[str, int], *, seed: int = 1, key: EpochKey = KEY,
    reader: bytes | None = None, throws: bool = False, at_us: int = NOW_US,
) -> list[Pair]:  # fmt: skip
    """Write a closed ledger with so many pairs of each account, mixed, and one coin without; return these.

    throws: include the lines that state each coin's account, as the gateway writes them.
    """
    draw = random.Random(seed)
    order = [name for name, n in accounts.items() for _ in range(n)]
    draw.shuffle(order)
    ledger = Ledger(folder, 0, key, reader, at_us)
    pairs = [pair_in(ledger, draw, name, at_us=at_us) for name in order]
    ledger.add([one for pair in pairs for one in ((throw_of(pair),) if throws else ()) + (pair,)], at_us)
    ledger.add([Unpaired(ledger.name, ledger.number(), at_us, "second answer: 429")], at_us)
    ledger.close(at_us)
    return pairs


def as_begun(ledger: Path) -> Verified:
    """Return a ledger as of the first line of each worker's newest file."""
    leaves = trees(ledger)
    for name in openings.open_ledgers({"heads": [{"ledger": name} for name in leaves]}):
        del leaves[name][1:]
    heads = tuple(Head(name, len(of) - 1, "", openings.root(of)) for name, of in leaves.items())
    return Verified(heads, (), 0, 0, 0, 0, (), 0)


def name_actors(
    folder: Path, actors: Mapping[str, str], test: seals.SealedTest, owner: TrailSigner, witness: TrailSigner,
    at: str = NAMED_AT,
) -> dict[str, Any]:  # fmt: skip
    """Name actors in a seal that a witness dates, as of the first lines of the newest ledgers."""
    ledger = folder / "ledger"
    sealed = seals.make(
        folder / "seals", ledger, as_begun(ledger), [KEY_IN_SEAL], [],
        lambda coin: actors[coin.account], test, seals.TrainingStatement("none"), owner, at,
        key=KEY, accounts_named=actors,
    )  # fmt: skip
    return seals.witness(sealed.path, folder / "seen", witness, at)
