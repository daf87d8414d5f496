"""Ledgers for tests: written by the real writer, with answers that any seed makes anew."""

import random
from pathlib import Path

from stillwatch.coin import Answer, Pair, Throw, Unpaired
from stillwatch.coin.keys import EpochKey
from stillwatch.coin.ledger import Ledger

NOW_US = 1_793_000_000_000_000
KEY = EpochKey("2026-11", bytes(range(32)), "2026-11-01T00:00:00Z")
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
    ledger: Ledger, draw: random.Random, account: str, prompt: str | None = None, **said: object
) -> Pair:
    """One pair with two random answers, its coin thrown by the ledger's key."""
    number = ledger.number()
    asked = prompt or f"Question {number} of {account}: {text(draw, 5)}?"
    answers = (Answer(text(draw), 12, "stop"), Answer(text(draw), 12, "stop"))
    return Pair(
        ledger.name, number, NOW_US + number, account, "m-1", ({"role": "user", "content": asked},),
        said.get("answers", answers), ledger.coin(number), said.get("campaign"),
    )  # fmt: skip


def throw_of(pair: Pair) -> Throw:
    """What the gateway writes of a pair's coin before there are answers."""
    return Throw(pair.ledger, pair.number, pair.at_us, pair.account, pair.campaign)


def write(
    folder: Path, accounts: dict[str, int], *, seed: int = 1, key: EpochKey = KEY,
    reader: bytes | None = None, throws: bool = False,
) -> list[Pair]:  # fmt: skip
    """A closed ledger with so many pairs of each account, mixed; and one coin without a pair.

    throws: with the lines that say whose each coin is, as the gateway writes them.
    """
    draw = random.Random(seed)
    order = [name for name, n in accounts.items() for _ in range(n)]
    draw.shuffle(order)
    ledger = Ledger(folder, 0, key, reader, NOW_US)
    pairs = [pair_in(ledger, draw, name) for name in order]
    ledger.add([one for pair in pairs for one in ((throw_of(pair),) if throws else ()) + (pair,)], NOW_US)
    ledger.add([Unpaired(ledger.name, ledger.number(), NOW_US, "second answer: 429")], NOW_US)
    ledger.close(NOW_US)
    return pairs
